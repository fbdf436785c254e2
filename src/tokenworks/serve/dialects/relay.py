"""The life of a call in a dialect of its own (`/v1/responses`, `/v1/messages`): routed, asked, put into its words, metered.

Another upstream is tried only while the caller has got nothing. A stream's end, and a whole answer, wait until the event is
durable. A caller who leaves ends the upstream's work, and what was produced is metered. Queues, hedges, deadlines and migration
are of chat completions alone (`serve.relay`).
"""

from __future__ import annotations

import asyncio
import logging

from tokenworks.serve.body.usage import MISSING, Told
from tokenworks.serve.dialects.dialect import Call, Passage, Unfit
from tokenworks.serve.http.client import Broken
from tokenworks.serve.http.pool import Handle
from tokenworks.serve.http.replies import JSON
from tokenworks.serve.http.request import Refused, Request
from tokenworks.serve.http.server import ServerConnection
from tokenworks.serve.routing import session_number
from tokenworks.serve.served import Served
from tokenworks.serve.tally import Tally

log = logging.getLogger("tokenworks.serve")
EVENT_STREAM = b"text/event-stream"
TRY_ANOTHER = (429, 502, 503, 504)
MOST_ANSWER_BYTES = 256 << 20  # of an answer that is no stream
CLIENT_LEFT = 499  # nginx's number for it


class DialectRelay:
    """One call. Callbacks come from the caller's connection, the upstream's and the ledger, all on one loop."""

    __slots__ = (
        "_answer", "_call", "_connection", "_gone", "_handle", "_held", "_loop", "_more", "_open", "_over", "_pieces", "_request",
        "_served", "_session", "_size", "_started", "_status", "_stream", "_tally", "_tried", "_type", "_upstream", "_way",
    )  # fmt: skip

    def __init__(
        self, served: Served, request: Request, call: Call, tally: Tally, connection: ServerConnection,
        loop: asyncio.AbstractEventLoop,
    ):  # fmt: skip
        self._served, self._request, self._call, self._tally = served, request, call, tally
        self._connection, self._loop = connection, loop
        self._session = session_number(call.session)
        self._tried: list[int] = []
        self._upstream = -1  # position of the one that works on it
        self._open = False  # … while it does
        self._handle: Handle | None = None
        self._started = self._over = self._gone = self._held = False

    # ------------------------------------------------------------------ asking

    def start(self) -> None:
        """Raises Refused where no upstream can take it."""
        self._upstream = self._served.router.take(self._session, self._loop.time(), self._tried)
        self._open = True
        self._connection.listener = self
        self._tally.begin()
        self._ask(False)

    def _ask(self, fresh: bool) -> None:
        upstream = self._served.router.upstreams[self._upstream]
        self._way = way = self._call.way(upstream)
        self._stream: Passage | None = None
        self._pieces: list[bytes] = []
        self._size = self._status = 0
        self._type, self._more = JSON, b""
        upstream.pool.ask(upstream.payload(way.path, way.text, self._forwarded() + way.head), self, self._taken, fresh)

    def _forwarded(self) -> bytes:
        """Of the caller's headers those that join traces."""
        parent = self._request.headers.get(b"traceparent", b"")
        trace = b"traceparent: %b\r\n" % parent if parent and len(parent) < 100 else b""
        return b"%bX-Request-Id: %b\r\n" % (trace, self._tally.attempt_id.encode())

    def _taken(self, handle: Handle) -> None:
        self._handle = handle
        if self._held:
            handle.hold()

    def _leave_upstream(self) -> None:
        """The upstream is done with it, one way or the other."""
        self._handle = None
        if self._open:
            self._open = False
            self._served.router.release(self._upstream)

    def _another(self) -> bool:
        """Tries another upstream, where there is one and patience for it. Otherwise nothing has changed."""
        served, router = self._served, self._served.router
        tried = [*self._tried, self._upstream]
        if len(tried) > served.retries or not router.has_other(tried, None):
            return False
        attempt = self._tally.next_attempt()
        if attempt is None:
            return False
        try:
            chosen = router.take(self._session, self._loop.time(), tried)
        except Refused:
            return False
        handle = self._handle
        self._leave_upstream()
        if handle:
            handle.abandon()
        self._upstream, self._open, self._tried = chosen, True, tried
        self._tally.again(attempt)
        self._ask(False)
        return True

    # ------------------------------------------------------------------ the upstream's answer

    def answer_head(self, status: int, headers: dict[bytes, bytes]) -> None:
        router = self._served.router
        if status >= 500:
            router.failed(self._upstream, self._loop.time())
        else:
            router.well(self._upstream)
        if status in TRY_ANOTHER and self._another():
            return
        self._status = status
        self._type = headers.get(b"content-type", JSON)
        wait = headers.get(b"retry-after", b"") if status >= 400 else b""
        granted = self._tally.grant.lines() if self._tally.grant else b""
        self._more = b"X-Request-Id: %b\r\n%b" % (self._tally.request_id.encode(), granted)
        if wait:
            self._more += b"Retry-After: %b\r\n" % wait
        if status == 200 and self._type.startswith(EVENT_STREAM):
            self._stream = self._way.stream()

    def answer_body(self, data: bytes) -> None:
        if self._stream is None:
            self._size += len(data)
            self._pieces.append(data)
            if self._size > MOST_ANSWER_BYTES:
                self._give_up_upstream("its answer is too large")
            return
        try:
            out = self._stream.feed(data)
        except Unfit as why:
            self._give_up_upstream(str(why))
            return
        if out and not self._gone and not self._over:
            if not self._started:
                self._begin_stream()
            self._connection.chunk(out)
        if self._stream.done and not self._tally.written:
            self._tally.write(self._told(whole=True), self._end_stream)

    def _begin_stream(self) -> None:
        self._started = True
        self._tally.first_byte()
        self._connection.begin(200, self._type, self._more)

    def answer_end(self) -> None:
        if self._stream is not None and not self._stream.complete:
            self.answer_broken("ended its answer before the end", "broken")
            return
        self._leave_upstream()
        if self._tally.written or self._gone:
            return
        if self._status != 200:
            self._pass_on_error()
        elif self._stream is not None:
            self._tally.write(self._told(whole=True), self._end_stream)
        else:
            self._meter_answer()

    def _meter_answer(self) -> None:
        """What cannot be put into the caller's words is metered as failed: he did not get it."""
        told, body = self._told(whole=True), b"".join(self._pieces)
        try:
            self._answer = self._way.answer(body)
        except Unfit as why:
            self._tally.write(told, failed=True)
            self._fail(Refused(502, "upstream_failed", f"{self._served.name}: {why}"))
            return
        self._tally.write(told, self._end_answer)

    def _pass_on_error(self) -> None:
        """An error of the upstream, in its own words; but its refusal of the gateway's own key is no matter of the caller's."""
        if self._status in (401, 403):
            log.error("%s: upstream %d refuses the gateway's credential", self._served.name, self._upstream)
            self._fail(Refused(502, "upstream_credential", f"{self._served.name}: the upstream refuses the gateway"))
            return
        self._tally.end(self._status)
        body = self._way.error(self._status, b"".join(self._pieces))
        self._connection.respond(self._status, body, self._type, self._more)

    def answer_broken(self, reason: str, kind: Broken) -> None:
        if self._gone or self._tally.written:
            self._leave_upstream()
            return
        if kind == "stale" and not self._started:
            self._ask(True)
            return
        self._served.router.failed(self._upstream, self._loop.time())
        log.warning("%s: upstream %d %s", self._served.name, self._upstream, reason)
        if self._started:
            self._leave_upstream()
            self._tally.write(self._told(whole=False))
            self._break_off(502)
            return
        if kind == "broken":  # nobody knows what it did with the request
            self._tally.write(MISSING, failed=True)
        if not self._another():
            self._leave_upstream()
            self._fail(Refused(502, "upstream_failed", f"{self._served.name}: the upstream did not answer"))

    def _give_up_upstream(self, reason: str) -> None:
        if self._handle:
            self._handle.abandon()
        self.answer_broken(reason, "broken")

    # ------------------------------------------------------------------ the end

    def _told(self, whole: bool) -> Told:
        if self._stream is not None:
            return self._stream.told(whole)
        return self._way.told(b"".join(self._pieces)) if whole else MISSING

    def _end_stream(self, durable: bool) -> None:
        if self._gone:
            return
        if not durable:
            self._unmetered()
            return
        assert self._stream is not None
        try:
            rest = self._stream.rest()
        except Unfit as why:
            log.warning("%s: upstream %d: %s", self._served.name, self._upstream, why)
            self._not_handed_out(Refused(502, "upstream_failed", f"{self._served.name}: {why}"))
            return
        if not self._started:
            self._begin_stream()
        self._over = True
        self._tally.end(200)
        self._connection.finish(rest)

    def _end_answer(self, durable: bool) -> None:
        if self._gone:
            return
        if not durable:
            self._unmetered()
            return
        self._tally.end(200)
        self._connection.respond(200, self._answer, self._type, self._more)

    def _unmetered(self) -> None:
        """What cannot be metered is not handed out as if it were."""
        self._not_handed_out(Refused(503, "not_metered", "the answer could not be metered", retry_after_s=1.0))

    def _not_handed_out(self, why: Refused) -> None:
        if self._started:
            self._break_off(why.status)
        else:
            self._fail(why)

    def _break_off(self, status: int) -> None:
        self._over = True
        self._tally.end(status)
        self._connection.break_off(self._call.dialect.broke_off)

    def _fail(self, refused: Refused) -> None:
        self._tally.end(refused.status)
        status, body, more = self._call.dialect.refusal(refused)
        self._connection.respond(status, body, more=more)

    # ------------------------------------------------------------------ the caller

    def client_gone(self) -> None:
        """Closes the upstream's connection, which is how engines learn of it, and meters what was produced."""
        self._gone = True
        handle = self._handle
        if self._open:
            self._served.router.undecided(self._upstream)
        self._leave_upstream()
        if handle:
            handle.abandon()
        if not self._tally.written:
            self._tally.write(self._told(whole=False), failed=self._stream is None)
        self._tally.end(CLIENT_LEFT)

    def hold(self) -> None:
        self._held = True
        if self._handle:
            self._handle.hold()

    def resume(self) -> None:
        self._held = False
        if self._handle:
            self._handle.resume()


def start(
    served: Served, request: Request, call: Call, tally: Tally, connection: ServerConnection,
    loop: asyncio.AbstractEventLoop,
) -> None:  # fmt: skip
    """Raises Refused where no upstream can take it, and for a call that a budget would have to hold: its limit stands in another
    place than the budget's bound looks at."""
    if tally.reserves:
        raise Refused(
            400, "no_bound", f"{served.name}: budgets hold chat completions, completions and embeddings alone"
        )
    DialectRelay(served, request, call, tally, connection, loop).start()
