"""The gateway as an application of the HTTP server: which path asks for what, and who may."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version

import msgspec

from tokenworks.serve.access.access import Access, may_ask
from tokenworks.serve.access.keys import Key
from tokenworks.serve.admin import PREFIX, Admin
from tokenworks.serve.body.splice import read
from tokenworks.serve.call.intake import Intake
from tokenworks.serve.call.question import Question
from tokenworks.serve.dialects.dialect import COMPLETIONS, EMBEDDINGS, PLAIN, Dialect
from tokenworks.serve.dialects.messages.dialect import COUNT_TOKENS, MESSAGES, Messages
from tokenworks.serve.dialects.responses.dialect import RESPONSES, Responses
from tokenworks.serve.http.replies import JSON
from tokenworks.serve.http.request import READS, Refused, Request, not_allowed
from tokenworks.serve.http.server import ServerConnection
from tokenworks.serve.limits.admission import Limits
from tokenworks.serve.metering import OF_RUNS, Attempt, Meter, run_of
from tokenworks.serve.pages.board import Board
from tokenworks.serve.pages.nim import licence, manifest
from tokenworks.serve.pages.openapi import document
from tokenworks.serve.pages.steering_metrics import HELP as STEERING_HELP
from tokenworks.serve.pages.steering_metrics import steering_lines
from tokenworks.serve.telemetry import metrics
from tokenworks.serve.telemetry.trace import Tracing
from tokenworks.serve.upstreams.served import Served
from tokenworks.serve.upstreams.split import Split
from tokenworks.serve.uuids import uuid7

log = logging.getLogger("tokenworks.serve")
DIALECTS: dict[bytes, Dialect] = {
    PLAIN.path: PLAIN,
    COMPLETIONS.path: COMPLETIONS,
    EMBEDDINGS.path: EMBEDDINGS,
    RESPONSES: Responses(),
    MESSAGES: Messages(MESSAGES),
    COUNT_TOKENS: Messages(COUNT_TOKENS),
}


class Gateway:
    """One factory's front door."""

    def __init__(
        self, factory: str, services: Sequence[Served], aliases: Mapping[str, str], access: Access, meter: Meter,
        loop: asyncio.AbstractEventLoop, splits: Mapping[str, Split] = {}, board: Board | None = None,
        limits: Limits | None = None,
    ):  # fmt: skip
        self.factory, self.access, self.meter, self.limits = factory, access, meter, limits
        self.draining = False
        self.limits_said: tuple[object, ...] = ((), (), (), None)  # by the factory file, for whoever reads it again
        self.usd_h = 0.0  # of the factory's systems, energy apart
        self.tracing: Tracing | None = None
        self.admin: Admin | None = None
        self._loop, self._board = loop, board
        read(b'{"model":""}')  # compiled before the first caller waits for it
        self.serve(services, aliases, splits)
        self._gets: dict[bytes, Callable[[Request, ServerConnection], None]] = {
            b"/v1/models": self._models,
            b"/v1/health/live": self._live,
            b"/v1/health/ready": self._ready,
            b"/v1/metrics": self._metrics,
            b"/v1/version": self._version,
            b"/v1/metadata": self._metadata,
            b"/v1/manifest": self._manifest,
            b"/v1/license": lambda _, connection: connection.respond(200, licence()),
            b"/openapi.json": lambda _, connection: connection.respond(200, document()),
        }

    def serve(self, services: Sequence[Served], aliases: Mapping[str, str], splits: Mapping[str, Split] = {}) -> None:
        """Under which names what is served from now on."""
        self.services, self._splits = tuple(services), splits
        by_name = {s.name: s for s in services}
        once = {m: [s for s in services if s.model == m] for m in {s.model for s in services}}
        known = {model: found[0] for model, found in once.items() if len(found) == 1}
        self._known = known | by_name | {alias: by_name[service] for alias, service in aliases.items()}

    def handle(self, request: Request, connection: ServerConnection) -> None:
        dialect = DIALECTS.get(request.path)
        try:
            if dialect:
                self._infer(dialect, request, connection)
            else:
                self._get(request, connection)
        except Refused as refused:
            _refuse(dialect or PLAIN, refused, connection)

    def gate(self, request: Request, connection: ServerConnection) -> None:
        """Of a request with a large body before that is kept. Raises Refused: nobody who has no key makes us keep it."""
        dialect = DIALECTS.get(request.path)
        if dialect is None:
            raise Refused(413, "body_too_large", "only calls of models have a body of this size")
        try:
            self._caller(request, connection)
        except Refused as refused:
            refused.said = dialect.refusal(refused)
            raise

    # ------------------------------------------------------------------ calls of models

    def _caller(self, request: Request, connection: ServerConnection) -> Key:
        """Who calls a model. Raises Refused."""
        if request.method != b"POST":
            raise not_allowed(request.path, "POST")
        return self.access.of(request, connection, "infer")

    def _infer(self, dialect: Dialect, request: Request, connection: ServerConnection) -> None:
        key = self._caller(request, connection)
        body = read(request.body)
        session = dialect.session(body)
        split = self._splits.get(body.known.model) if self._splits else None
        served = self._service(split.service(session, key.tenant) if split else body.known.model, key)
        headers = request.headers
        attempt = Attempt(
            uuid7(), key.tenant, served.name, served.model, body.known.model, dialect.operation, time.time_ns() // 1000,
            {} if OF_RUNS.isdisjoint(headers) else run_of(headers),
        )  # fmt: skip
        if self.tracing:
            attempt.trace = self.tracing.joined(headers, attempt.id)
        question = Question.of(dialect, request, body, served, attempt.trace)
        intake = Intake(
            key, attempt, question.said, question.way.limits, dialect.metered, served, session, question, connection,
            self.meter, self._loop,
        )  # fmt: skip
        try:
            if self.limits is None:
                intake.go(None)
            else:
                self.limits.admit(intake, connection)
        except Refused as refused:
            served.metrics.answered(refused.status)
            raise

    def _service(self, model: str, key: Key) -> Served:
        """A model that this key may not ask for does not exist for it. Raises Refused."""
        served = self._known.get(model)
        if served is None or not may_ask(key, served.name):
            raise Refused(404, "model_not_found", f"there is no model {model[:200]!r}; see /v1/models", param="model")
        return served

    # ------------------------------------------------------------------ what can be looked at

    def _get(self, request: Request, connection: ServerConnection) -> None:
        if self.admin and request.path.startswith(PREFIX):
            self.admin.handle(request, connection, self)
            return
        page = self._gets.get(request.path)
        if page is None:
            if not request.path.startswith(b"/v1/models/"):
                raise Refused(404, "not_found", "there is no such path")
            page = self._model
        if request.method not in READS:
            raise not_allowed(request.path, "GET", "HEAD")
        page(request, connection)

    def _names(self, key: Key) -> list[tuple[str, Served]]:
        known = self._known | {name: split.first for name, split in self._splits.items()}
        return [(name, served) for name, served in sorted(known.items()) if may_ask(key, served.name)]

    def _models(self, request: Request, connection: ServerConnection) -> None:
        key = self.access.of(request, connection, "infer")
        found = [_model(name, served) for name, served in self._names(key)]
        connection.respond(200, msgspec.json.encode({"object": "list", "data": found}))

    def _model(self, request: Request, connection: ServerConnection) -> None:
        from urllib.parse import unquote

        key = self.access.of(request, connection, "infer")
        name = unquote(request.path.removeprefix(b"/v1/models/").decode("latin-1"))
        served = dict(self._names(key)).get(name) or self._service(name, key)
        connection.respond(200, msgspec.json.encode(_model(name, served)))

    def _live(self, request: Request, connection: ServerConnection) -> None:
        connection.respond(200, b'{"object":"health.response","message":"live"}')

    def _ready(self, request: Request, connection: ServerConnection) -> None:
        why = self._unready()
        if why:
            body = {"object": "health.response", "message": f"not ready: {why}"}
            connection.respond(503, msgspec.json.encode(body), JSON, b"Retry-After: 1\r\n")
            return
        connection.respond(200, b'{"object":"health.response","message":"ready"}')

    def _unready(self) -> str:
        """Why calls should go elsewhere; "" where each service has an upstream that is believed to be well, and the ledger, too."""
        if self.draining:
            return "draining"
        if not all(router.able for service in self.services for router in service.routers):
            return "services without an upstream"
        return "" if self.meter.health.well() else "the ledger stores no events"

    def _version(self, request: Request, connection: ServerConnection) -> None:
        connection.respond(200, msgspec.json.encode({"release": version("tokenworks"), "api": "v1"}))

    def _metadata(self, request: Request, connection: ServerConnection) -> None:
        key = self.access.of(request, connection, "infer")
        found = [{"name": s.name, "model": s.model} for s in self.services if may_ask(key, s.name)]
        body = {"version": version("tokenworks"), "factory": self.factory, "modelInfo": found}
        connection.respond(200, msgspec.json.encode(body))

    def _manifest(self, request: Request, connection: ServerConnection) -> None:
        key = self.access.of(request, connection, "infer")
        found = [s for s in self.services if may_ask(key, s.name)]
        connection.respond(200, manifest(self.factory, found))

    def _metrics(self, request: Request, connection: ServerConnection) -> None:
        self.access.of(request, connection, "metrics")
        parts = self.lines() if self._board is None else [self._board.all()]
        connection.respond(200, metrics.page(parts, STEERING_HELP), metrics.TEXT)

    def lines(self) -> list[dict[str, list[str]]]:
        """Of the page of metrics, this process's."""
        parts = [metrics.service_lines(s.name, s.metrics) for s in self.services]
        parts += [_upstream_lines(s) for s in self.services]
        parts += [steering_lines(s) for s in self.services]
        parts.append({"tokenworks_events_lost_total": [f"tokenworks_events_lost_total {self.meter.lost}"]})
        parts.append({"tokenworks_usd_per_hour": [f"tokenworks_usd_per_hour {self.usd_h:.6f}"]})
        parts.append(metrics.process_lines())
        return parts


def _refuse(dialect: Dialect, refused: Refused, connection: ServerConnection) -> None:
    status, body, more = dialect.refusal(refused)
    connection.respond(status, body, more=more)


def _model(name: str, served: Served) -> dict[str, object]:
    return {"id": name, "object": "model", "created": served.created_s, "owned_by": "tokenworks", "root": served.name}


def _upstream_lines(served: Served) -> dict[str, list[str]]:
    labelled = [(place, served.labels(number)) for number, place in enumerate(served.places)]
    return {
        "tokenworks_upstream_up": [
            f"tokenworks_upstream_up{at} {int(router.breakers[i].closed)}" for (router, i), at in labelled
        ],
        "tokenworks_upstream_outstanding": [
            f"tokenworks_upstream_outstanding{at} {router.outstanding[i]}" for (router, i), at in labelled
        ],
    }
