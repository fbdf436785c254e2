"""All emulated workers of a factory behind one port: worker 3 answers at /3/v1/…, its metrics are at /3/metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tokenworks.serve.emulate import embedding
from tokenworks.serve.emulate.answer import Answer
from tokenworks.serve.emulate.asked import read, too_long
from tokenworks.serve.emulate.page import page_of
from tokenworks.serve.emulate.pools import Pools
from tokenworks.serve.http.request import Refused, Request
from tokenworks.serve.http.server import ServerConnection
from tokenworks.serve.telemetry.metrics import TEXT

if TYPE_CHECKING:
    from tokenworks.serve.emulate.handover import Cache, Caches
    from tokenworks.serve.emulate.worker import EmulatedWorker
    from tokenworks.twin.reference import Request as Sequence_

CHAT, COMPLETIONS, EMBEDDINGS = b"/v1/chat/completions", b"/v1/completions", b"/v1/embeddings"
METRICS = b"/metrics"
UNFIT = {CHAT: "Chat Completions", COMPLETIONS: "Completions", EMBEDDINGS: "Embeddings"}


class Ticket:
    """A call under way: a caller who leaves takes it out of its worker's batch."""

    def __init__(self, app: EmulatedEngines, worker: EmulatedWorker):
        self._app, self._worker = app, worker
        self.sequences: list[Sequence_] = []
        self.cache: Cache | None = None  # that it waits for
        app.active += 1

    def done(self) -> None:
        self._app.active -= 1

    def client_gone(self) -> None:
        self.done()
        if self.cache:
            self.cache.drop()
        for sequence in self.sequences:
            self._worker.drop(sequence)

    def enter(self, sequence: Sequence_ | None) -> None:
        """Raises Refused, and gives everything back, where the worker did not take it."""
        if sequence is None:
            self.client_gone()
            raise too_long()
        self.sequences.append(sequence)

    def hold(self) -> None:
        """An engine does not wait for a slow reader; what he has not read yet is a few bytes a token."""

    def resume(self) -> None: ...


class EmulatedEngines:
    """An application of the HTTP server."""

    draining = False

    def __init__(self, workers: Sequence[EmulatedWorker], most: int, caches: Caches | None = None):
        """``most``: calls at a time; 0: no limit. ``caches``: that go from pool to pool."""
        self._workers, self._most = workers, most
        self._pools = Pools(caches) if caches else None
        self._number = self.active = 0

    def handle(self, request: Request, connection: ServerConnection) -> None:
        try:
            self._answer(request, connection)
        except Refused as refused:
            connection.respond_error(refused)

    def _answer(self, request: Request, connection: ServerConnection) -> None:
        number, slash, rest = request.path[1:].partition(b"/")
        path = slash + rest
        if path not in (*UNFIT, METRICS) or not number.isdigit() or int(number) >= len(self._workers):
            raise Refused(404, "not_found", "emulated engines answer chat completions, completions and embeddings")
        worker = self._workers[int(number)]
        if path == METRICS:
            connection.respond(200, page_of(worker), TEXT)
            return
        if (path == EMBEDDINGS) != (worker.loaded.dimensions is not None):
            raise Refused(400, "not_supported", f"The model does not support {UNFIT[path]} API")  # vLLM's words
        if self._most and self.active >= self._most:
            raise Refused(429, "busy", f"{self._most} answers are emulated at a time", retry_after_s=1.0)
        if path == EMBEDDINGS:
            self._embed(request.body, worker, connection)
        else:
            self._say(request.body, path == CHAT, worker, connection)

    def _say(self, body: bytes, chat: bool, worker: EmulatedWorker, connection: ServerConnection) -> None:
        call = read(body, chat)
        self._number += 1
        answer, ticket = Answer(self._number, chat, call, connection), Ticket(self, worker)
        connection.listener = ticket
        if worker.role and self._pools:
            self._pools.say(call, answer, ticket, worker)
            return

        def tell(tokens: int, last: bool, energy_uj: int) -> None:
            if last:
                ticket.done()
            answer.tell(tokens, last, energy_uj)

        if not call.output_tokens:
            tell(0, True, 0)
            return
        ticket.enter(worker.ask(call.input_tokens, call.output_tokens, tell))

    def _embed(self, body: bytes, worker: EmulatedWorker, connection: ServerConnection) -> None:
        assert worker.loaded.dimensions is not None
        call, inputs = embedding.read(body, worker.loaded.dimensions)
        answer, ticket = embedding.Vectors(call, inputs, connection), Ticket(self, worker)

        def tell(tokens: int, last: bool, energy_uj: int) -> None:
            if last and answer.tell(energy_uj):
                ticket.done()

        for one in inputs:
            ticket.enter(worker.embed(one.tokens, tell))
        connection.listener = ticket
