"""The life of one call of a model: routed, asked, forwarded, metered.

Another upstream is tried while the caller has got nothing; a stream that has begun goes on at an upstream that can continue
it. A stream's end, and a whole answer, wait until the event is durable. A caller who leaves, and a deadline that passes, end
the upstream's work, and what was produced is metered.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial

from tokenworks.serve.body.splice import Body, read, spliced
from tokenworks.serve.body.stream import DONE, END_OF_EVENT, Stream
from tokenworks.serve.body.usage import MISSING, Told, told, usage_of_answer
from tokenworks.serve.continuity import Continuity
from tokenworks.serve.course import Course
from tokenworks.serve.demands import deadline_s, priority
from tokenworks.serve.fair_queue import FairQueue, Waiting
from tokenworks.serve.hedge import EVENT_STREAM, Hedge
from tokenworks.serve.http.client import Broken
from tokenworks.serve.http.pool import Handle
from tokenworks.serve.http.replies import JSON, error_body
from tokenworks.serve.http.request import Refused, Request
from tokenworks.serve.http.server import ServerConnection
from tokenworks.serve.metering import Attempt
from tokenworks.serve.tally import Tally
from tokenworks.serve.upstream import Upstream

log = logging.getLogger("tokenworks.serve")
EMBEDDINGS = b"/v1/embeddings"
TRY_ANOTHER = (429, 502, 503, 504)
MOST_ANSWER_BYTES = 256 << 20  # of an answer that is no stream
CLIENT_LEFT = 499  # nginx's number for it
BROKE_OFF = Refused(502, "upstream_failed", "the upstream broke off in the middle of its answer")
LATE = Refused(504, "deadline", "the answer was not there in the time that X-Request-Timeout allows")


class Relay:
    """One call. Callbacks come from the caller's connection, the upstream's and the ledger, all on one loop."""

    __slots__ = (
        "_body", "_connection", "_continuity", "_course", "_gone", "_handle", "_hedge", "_held", "_loop", "_more", "_onward",
        "_over", "_pieces", "_request", "_size", "_started", "_status", "_stream", "_tally", "_timer", "_type", "_waiting",
    )  # fmt: skip

    def __init__(
        self, course: Course, request: Request, body: Body, tally: Tally, connection: ServerConnection,
        loop: asyncio.AbstractEventLoop,
    ):  # fmt: skip
        self._course, self._request, self._body, self._tally = course, request, body, tally
        self._onward = body  # what is sent: the caller's words, or a call that goes on with the answer
        self._connection, self._loop = connection, loop
        self._handle: Handle | None = None
        self._continuity: Continuity | None = None
        self._waiting: Waiting | None = None
        self._hedge: Hedge | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._started = self._over = self._gone = self._held = False
        self._expect()

    def _expect(self) -> None:
        """Nothing of the present attempt has come yet."""
        self._stream: Stream | None = None
        self._pieces: list[bytes] = []
        self._size = self._status = 0
        self._type, self._more = JSON, b""

    # ------------------------------------------------------------------ asking

    def start(self) -> None:
        """Raises Refused where no upstream can take it, now or soon."""
        wait_s = deadline_s(self._request.headers)
        queue = self._course.served.queue
        if queue is None:
            self._course.begin(self._loop.time())
        elif queue.length or not self._begun():
            self._enter(queue)
        self._connection.listener = self
        self._tally.begin()
        if wait_s is not None:
            self._timer = self._loop.call_later(wait_s, self._expire)
        if not self._waiting:
            self._ask_first()

    def _begun(self) -> bool:
        """Whether there is a place for it. Raises Refused where the reason is another."""
        try:
            self._course.begin(self._loop.time())
        except Refused as refused:
            if refused.code != "busy":
                raise
            return False
        return True

    def _enter(self, queue: FairQueue) -> None:
        self._waiting = queue.enter(self._tally.tenant, priority(self._request.headers), self._called, self._fail)

    def _called(self) -> bool:
        """Its turn has come."""
        try:
            if not self._begun():
                return False
        except Refused as refused:
            self._waiting = None
            self._fail(refused)
            return True
        self._waiting = None
        self._ask_first()
        return True

    def _ask_first(self) -> None:
        hedging = self._course.served.hedging
        if hedging and self._body.streams:
            delay_s = hedging.delay_s()
            if delay_s is not None:
                self._hedge = Hedge(self, self._course, hedging, delay_s, self._loop)
        self._ask(False)

    def _ask(self, fresh: bool) -> None:
        course = self._course
        self._tally.serves(course.served.name, course.served.model)
        self._expect()
        payload = self._payload(course.upstream, self._tally.attempt_id)
        course.upstream.pool.ask(payload, self, self._taken, fresh)

    def _payload(self, upstream: Upstream, attempt: str) -> bytes:
        """Of the caller's headers those that join traces go on."""
        usage = self._request.path != EMBEDDINGS
        text = spliced(self._onward, self._course.name_at(upstream), usage, upstream.continuous_usage)
        parent = self._request.headers.get(b"traceparent", b"")
        trace = b"traceparent: %b\r\n" % parent if parent and len(parent) < 100 else b""
        return upstream.payload(self._request.path, text, b"%bX-Request-Id: %b\r\n" % (trace, attempt.encode()))

    def _taken(self, handle: Handle) -> None:
        self._handle = handle
        if self._held:
            handle.hold()

    def _leave_upstream(self) -> None:
        """The upstream is done with it, one way or the other."""
        self._handle = None
        self._course.leave()

    def _drop_upstream(self) -> None:
        """Closing its connection is how an engine learns that nobody wants the answer any more."""
        handle = self._handle
        self._course.undecided()
        self._leave_upstream()
        if handle:
            handle.abandon()

    def _another(self) -> bool:
        """Tries another upstream, where there is one and patience for it. Otherwise nothing has changed."""
        if self._hedge and self._hedge.take_over():
            return True
        handle = self._handle
        if not self._course.another(self._loop.time()):
            return False
        if handle:
            handle.abandon()
        self._tally.next_attempt()
        self._ask(False)
        return True

    # ------------------------------------------------------------------ a second attempt beside the first

    def ask_beside(self, hedge: Hedge) -> Attempt:
        attempt = self._tally.beside()
        upstream = self._course.served.router.upstreams[hedge.position]
        upstream.pool.ask(self._payload(upstream, attempt.id), hedge, hedge.taken)
        return attempt

    def adopt(self, hedge: Hedge, spoils: bool) -> None:
        if spoils:
            self._tally.write(MISSING, failed=True)
        handle, self._hedge = self._handle, None
        self._course.undecided()
        self._course.move(hedge.position)
        if handle:
            handle.abandon()
        assert hedge.attempt is not None
        self._tally.turn_to(hedge.attempt)
        self._expect()
        if hedge.handle:
            self._taken(hedge.handle)

    def spoiled(self, attempt: Attempt) -> None:
        self._tally.spoiled(attempt)

    # ------------------------------------------------------------------ the upstream's answer

    def answer_head(self, status: int, headers: dict[bytes, bytes]) -> None:
        if status >= 500:
            self._course.failed(self._loop.time())
        else:
            self._course.well()
        if status in TRY_ANOTHER and not self._started and self._another():
            return
        self._status = status
        self._type = headers.get(b"content-type", JSON)
        wait = headers.get(b"retry-after", b"") if status >= 400 else b""
        self._more = b"X-Request-Id: %b\r\n%b" % (self._tally.request_id.encode(), self._course.header)
        if wait:
            self._more += b"Retry-After: %b\r\n" % wait
        if status == 200 and self._type.startswith(EVENT_STREAM):
            if self._continuity is None and self._course.upstream.continues and self._body.goes_on:
                self._continuity = Continuity()
            self._stream = Stream(not self._body.wants_usage, self._continuity is not None)
        elif self._started:
            self._drop_upstream()
            self._go_on(asked=status < 400)

    def answer_body(self, data: bytes) -> None:
        if self._stream is None:
            self._size += len(data)
            self._pieces.append(data)
            if self._size > MOST_ANSWER_BYTES:
                self._give_up_upstream("its answer is too large")
            return
        if self._hedge:
            self._hedge.cancel()
            self._hedge = None
        out = self._stream.feed(data)
        if self._continuity is not None:
            out = self._continuity.forward(out)
        if out and not self._gone and not self._over:
            if not self._started:
                self._begin_stream()
            self._connection.chunk(out)
        if self._stream.done and not self._tally.written:
            self._tally.write(self._told(whole=True), self._end_stream)

    def _begin_stream(self) -> None:
        self._started = True
        ttft_s, hedging = self._tally.first_byte(), self._course.served.hedging
        if hedging:
            hedging.observe(ttft_s)
        self._course.prefilled()
        self._connection.begin(200, self._type, self._more)

    def answer_end(self) -> None:
        stream = self._stream
        if self._continuity is not None and stream is not None and not (stream.done or stream.held):
            self.answer_broken("ended its answer before the end", "broken")
            return
        self._leave_upstream()
        if self._tally.written or self._gone:
            return
        if self._status == 200:
            self._tally.write(self._told(whole=True), self._end_stream if self._stream else self._end_answer)
        else:
            self._pass_on_error()

    def _pass_on_error(self) -> None:
        """An error of the upstream, in its own words; but its refusal of the gateway's own key is no matter of the caller's."""
        if self._status in (401, 403):
            log.error(
                "%s: upstream %d refuses the gateway's credential", self._course.served.name, self._course.position
            )
            name = self._course.served.name
            self._fail(Refused(502, "upstream_credential", f"{name}: the upstream refuses the gateway"))
            return
        self._close(self._status)
        self._connection.respond(self._status, b"".join(self._pieces), self._type, self._more)

    def answer_broken(self, reason: str, kind: Broken) -> None:
        if self._gone or self._tally.written:
            self._leave_upstream()
            return
        if kind == "stale":
            self._ask(True)
            return
        course = self._course
        course.failed(self._loop.time())
        log.warning("%s: upstream %d %s", course.served.name, course.position, reason)
        if self._started:
            self._go_on(asked=kind == "broken")
            return
        self._handle = None
        if kind == "broken":  # nobody knows what it did with the request
            self._tally.write(MISSING, failed=True)
        if not self._another():
            self._leave_upstream()
            self._fail(Refused(502, "upstream_failed", f"{course.served.name}: the upstream did not answer"))

    def _give_up_upstream(self, reason: str) -> None:
        if self._handle:
            self._handle.abandon()
        self.answer_broken(reason, "broken")

    # ------------------------------------------------------------------ a stream that goes on elsewhere

    def _go_on(self, asked: bool) -> None:
        """The upstream of a stream that has begun is lost: another one goes on where it broke off, or the stream breaks off.
        ``asked``: it had the call, so what it made is metered."""
        part, now = self._told(whole=False), self._loop.time()
        if end := self._all_but_end():
            self._leave_upstream()
            self._tally.write(part, partial(self._end_stream, rest=end))
            return
        if asked:
            self._tally.write(part, failed=part is MISSING)
        text = self._continuity.continuation(self._body.text) if self._continuity else None
        progressed = self._stream is not None and self._stream.events > 0
        self._handle = None
        if text is not None and self._course.onward(now, progressed):
            self._onward = read(text)
            self._tally.next_attempt()
            self._ask(False)
            return
        self._leave_upstream()
        self._break_off(BROKE_OFF)

    def _all_but_end(self) -> bytes:
        """The end of an answer whose text is whole; b"" where more of it is to come."""
        continuity, stream = self._continuity, self._stream
        if continuity is None:
            return b""
        if stream is not None and stream.held:
            return continuity.forward(b"".join(stream.held)) + DONE + END_OF_EVENT
        return continuity.end(self._body.wants_usage) if continuity.exhausted(self._body.text) else b""

    # ------------------------------------------------------------------ the end

    def _told(self, whole: bool) -> Told:
        stream = self._stream
        if stream is not None:
            return told(stream.usage, stream.counted, whole)
        return told(usage_of_answer(b"".join(self._pieces)) if whole else None, 0, whole)

    def _end_stream(self, durable: bool, rest: bytes | None = None) -> None:
        if self._gone:
            return
        if not durable:
            self._unmetered()
            return
        if rest is None:
            assert self._stream is not None
            rest = self._stream.rest()
            rest = self._continuity.forward(rest) if self._continuity else rest
        if not self._started:
            self._begin_stream()
        self._close(200)
        self._connection.finish(rest)

    def _end_answer(self, durable: bool) -> None:
        if self._gone:
            return
        if not durable:
            self._unmetered()
            return
        self._course.prefilled()
        self._close(200)
        self._connection.respond(200, b"".join(self._pieces), self._type, self._more)

    def _unmetered(self) -> None:
        """What cannot be metered is not handed out as if it were."""
        refused = Refused(503, "not_metered", "the answer could not be metered", retry_after_s=1.0)
        if self._started:
            self._break_off(refused)
        else:
            self._fail(refused)

    def _break_off(self, why: Refused) -> None:
        """What the SDKs raise as an error in the middle of a stream."""
        self._close(why.status)
        self._connection.break_off(b"data: " + error_body(why.status, why.code, why.message) + b"\n\n")

    def _fail(self, refused: Refused) -> None:
        self._close(refused.status)
        self._connection.respond_error(refused)

    def _close(self, status: int) -> None:
        """The answer is over."""
        self._over = True
        self._tally.end(status)
        if self._timer:
            self._timer.cancel()
        if self._hedge:
            self._hedge.cancel()
            self._hedge = None

    # ------------------------------------------------------------------ the caller

    def _stop(self) -> bool:
        """Ends its wait or the upstream's work. Whether an upstream has to do with it, or had."""
        if self._waiting and self._course.served.queue:
            self._course.served.queue.leave(self._waiting)
            return False
        self._drop_upstream()
        if not self._tally.written:
            self._tally.write(self._told(whole=False), failed=self._stream is None)
        return True

    def client_gone(self) -> None:
        self._gone = True
        self._stop()
        self._close(CLIENT_LEFT)

    def _expire(self) -> None:
        """Its deadline has passed. Whose end only waits for the ledger is in time."""
        if self._over or self._gone or (self._tally.written and not self._course.open):
            return
        self._stop()
        if self._started:
            self._break_off(LATE)
        else:
            self._fail(LATE)

    def hold(self) -> None:
        self._held = True
        if self._handle:
            self._handle.hold()

    def resume(self) -> None:
        self._held = False
        if self._handle:
            self._handle.resume()
