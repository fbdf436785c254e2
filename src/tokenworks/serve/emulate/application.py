"""All emulated workers of a factory behind one port: worker 3 answers at /3/v1/…"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tokenworks.serve.emulate.answer import Answer
from tokenworks.serve.emulate.asked import read
from tokenworks.serve.http.request import Refused, Request
from tokenworks.serve.http.server import ServerConnection

if TYPE_CHECKING:
    from tokenworks.serve.emulate.worker import EmulatedWorker
    from tokenworks.twin.reference import Request as Sequence_

CALLS = {b"/v1/chat/completions": True, b"/v1/completions": False}


class Ticket:
    """A call under way: a caller who leaves takes it out of its worker's batch."""

    def __init__(self, app: EmulatedEngines, worker: EmulatedWorker):
        self._app, self._worker = app, worker
        self.sequence: Sequence_ | None = None
        app.active += 1

    def done(self) -> None:
        self._app.active -= 1

    def client_gone(self) -> None:
        self.done()
        if self.sequence is not None:
            self._worker.drop(self.sequence)

    def hold(self) -> None:
        """An engine does not wait for a slow reader; what he has not read yet is a few bytes a token."""

    def resume(self) -> None: ...


class EmulatedEngines:
    """An application of the HTTP server."""

    draining = False

    def __init__(self, workers: Sequence[EmulatedWorker], most: int):
        """``most``: calls at a time; 0: no limit."""
        self._workers, self._most = workers, most
        self._number = self.active = 0

    def handle(self, request: Request, connection: ServerConnection) -> None:
        try:
            self._answer(request, connection)
        except Refused as refused:
            connection.respond_error(refused)

    def _answer(self, request: Request, connection: ServerConnection) -> None:
        number, slash, path = request.path[1:].partition(b"/")
        chat = CALLS.get(slash + path)
        if chat is None or not number.isdigit() or int(number) >= len(self._workers):
            raise Refused(404, "not_found", "emulated engines answer chat completions and completions")
        if self._most and self.active >= self._most:
            raise Refused(429, "busy", f"{self._most} answers are emulated at a time", retry_after_s=1.0)
        call, worker = read(request.body, chat), self._workers[int(number)]
        self._number += 1
        answer, ticket = Answer(self._number, chat, call, connection), Ticket(self, worker)

        def tell(tokens: int, last: bool, energy_uj: int) -> None:
            if last:
                ticket.done()
            answer.tell(tokens, last, energy_uj)

        if not call.output_tokens:
            tell(0, True, 0)
            return
        ticket.sequence = worker.ask(call.input_tokens, call.output_tokens, tell)
        if ticket.sequence is None:
            ticket.done()
            raise Refused(400, "context_length_exceeded", "the call does not fit the worker's KV cache")
        connection.listener = ticket
