"""The life of one call of a model: routed, asked, forwarded, metered.

Another upstream is tried only while the caller has got nothing. A stream's end, and a whole answer, wait until the event is
durable. A caller who leaves ends the upstream's work, and what was produced is metered.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from tokenworks.serve.body.splice import Body, spliced
from tokenworks.serve.body.stream import Stream
from tokenworks.serve.body.usage import MISSING, Told, told, usage_of_answer
from tokenworks.serve.http.client import Broken
from tokenworks.serve.http.pool import Handle
from tokenworks.serve.http.replies import JSON, error_body
from tokenworks.serve.http.request import Refused, Request
from tokenworks.serve.http.server import ServerConnection
from tokenworks.serve.metering import Attempt, Meter, Then, nobody, uuid7
from tokenworks.serve.routing import session_number
from tokenworks.serve.served import Served

if TYPE_CHECKING:
    from tokenworks.serve.keys import Key

log = logging.getLogger("tokenworks.serve")
EVENT_STREAM = b"text/event-stream"
TRY_ANOTHER = (429, 502, 503, 504)
MOST_ANSWER_BYTES = 256 << 20
CLIENT_LEFT = 499  # nginx's number for it


class Relay:
    """One call. Callbacks come from the caller's connection, the upstream's and the ledger, all on one loop."""

    __slots__ = (
        "_attempt",
        "_body",
        "_connection",
        "_counted",
        "_ended",
        "_gone",
        "_handle",
        "_held",
        "_key",
        "_loop",
        "_meter",
        "_metered",
        "_more",
        "_open",
        "_path",
        "_pieces",
        "_request",
        "_served",
        "_session",
        "_size",
        "_started",
        "_status",
        "_stream",
        "_tried",
        "_type",
        "_upstream",
    )  # fmt: skip

    def __init__(
        self, served: Served, request: Request, body: Body, key: Key, attempt: Attempt, meter: Meter,
        connection: ServerConnection, loop: asyncio.AbstractEventLoop,
    ):  # fmt: skip
        self._served, self._request, self._body, self._key = served, request, body, key
        self._attempt, self._meter, self._connection, self._loop = attempt, meter, connection, loop
        self._path = request.path
        self._session = session_number(body.session)
        self._tried: list[int] = []
        self._upstream = -1  # position of the one that works on it
        self._handle: Handle | None = None
        self._stream: Stream | None = None
        self._pieces: list[bytes] = []
        self._size = self._status = 0
        self._type, self._more = JSON, b""
        self._open = self._started = self._gone = self._metered = self._held = self._ended = self._counted = False

    # ------------------------------------------------------------------ asking

    def start(self) -> None:
        """Raises Refused where no upstream can take it."""
        self._take()
        self._connection.listener = self
        self._served.metrics.active += 1
        self._counted = True
        self._ask(False)

    def _take(self) -> None:
        self._upstream = self._served.router.take(self._session, self._loop.time(), self._tried)
        self._open = True

    def _ask(self, fresh: bool) -> None:
        upstream = self._served.router.upstreams[self._upstream]
        text = spliced(self._body, upstream.model, self._path != b"/v1/embeddings", upstream.continuous_usage)
        self._status, self._size, self._pieces = 0, 0, []
        upstream.pool.ask(upstream.payload(self._path, text, self._forwarded()), self, self._taken, fresh)

    def _forwarded(self) -> bytes:
        """Of the caller's headers those that join traces."""
        parent = self._request.headers.get(b"traceparent", b"")
        trace = b"traceparent: %b\r\n" % parent if parent and len(parent) < 100 else b""
        return b"%bX-Request-Id: %b\r\n" % (trace, self._attempt.id.encode())

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
        wait = headers.get(b"retry-after", b"")
        self._more = self._identity() + (b"Retry-After: %b\r\n" % wait if wait and status >= 400 else b"")
        if status == 200 and self._type.startswith(EVENT_STREAM):
            self._stream = Stream(not self._body.wants_usage)

    def _identity(self) -> bytes:
        return b"X-Request-Id: %b\r\n" % (self._attempt.request or self._attempt.id).encode()

    def answer_body(self, data: bytes) -> None:
        if self._stream is None:
            self._size += len(data)
            self._pieces.append(data)
            if self._size > MOST_ANSWER_BYTES:
                self._give_up_upstream("its answer is too large")
            return
        out = self._stream.feed(data)
        if out:
            self._send(out)
        if self._stream.done and not self._metered:
            self._close_stream()

    def _send(self, out: bytes) -> None:
        if not self._started:
            self._begin_stream()
        if self._gone or self._ended:
            return
        self._connection.chunk(out)

    def _begin_stream(self) -> None:
        self._started = True
        self._attempt.ttft_us = round((time.perf_counter() - self._request.arrived_s) * 1e6)
        self._served.metrics.ttft.observe(self._attempt.ttft_us / 1e6)
        if not self._gone:
            self._connection.begin(200, self._type, self._more)

    def answer_end(self) -> None:
        self._leave_upstream()
        if self._metered or self._gone:
            return
        if self._stream is not None:
            self._close_stream()
        elif self._status == 200:
            self._close_answer()
        else:
            self._pass_on_error()

    def _pass_on_error(self) -> None:
        """An error of the upstream, in its own words; but its refusal of the gateway's own key is no matter of the caller's."""
        if self._status in (401, 403):
            log.error("%s: upstream %d refuses the gateway's credential", self._served.name, self._upstream)
            self._fail(Refused(502, "upstream_credential", f"{self._served.name}: the upstream refuses the gateway"))
            return
        self._finished(self._status)
        self._connection.respond(self._status, b"".join(self._pieces), self._type, self._more)

    def answer_broken(self, reason: str, kind: Broken) -> None:
        if self._gone or self._metered:
            self._leave_upstream()
            return
        if kind == "stale" and not self._started:
            self._ask(True)
            return
        self._served.router.failed(self._upstream, self._loop.time())
        log.warning("%s: upstream %d %s", self._served.name, self._upstream, reason)
        self._broken(kind)

    def _give_up_upstream(self, reason: str) -> None:
        handle = self._handle
        if handle:
            handle.abandon()
        self.answer_broken(reason, "broken")

    def _broken(self, kind: Broken) -> None:
        """The attempt is over without an answer, or with half of one."""
        if self._started:
            self._leave_upstream()
            self._write(self._told(whole=False))
            self._finished(502)
            self._connection.break_off(_error_event())
            return
        if kind == "broken":
            self._write(MISSING, failed=True)
            self._metered = False
        if not self._another():
            self._leave_upstream()
            self._fail(Refused(502, "upstream_failed", f"{self._served.name}: the upstream did not answer"))

    def _another(self) -> bool:
        """Tries another upstream, where there is one and patience for it."""
        served, attempt = self._served, self._attempt
        if attempt.attempt > served.retries:
            return False
        self._tried.append(self._upstream)
        router = served.router
        if not any(b.closed and i not in self._tried for i, b in enumerate(router.breakers)):
            return False
        handle = self._handle
        self._leave_upstream()
        if handle and self._status == 0:
            handle.abandon()
        try:
            self._take()
        except Refused:
            return False
        served.metrics.retries += 1
        attempt.request = attempt.request or attempt.id
        attempt.id, attempt.attempt = uuid7(), attempt.attempt + 1
        self._ask(False)
        return True

    # ------------------------------------------------------------------ metering and the end

    def _told(self, whole: bool) -> Told:
        stream = self._stream
        if stream is not None:
            return told(stream.usage, stream.counted, whole)
        return told(usage_of_answer(b"".join(self._pieces)) if whole else None, 0, whole)

    def _write(self, of: Told, then: Then = nobody, failed: bool = False) -> None:
        self._metered = True
        attempt = self._attempt
        attempt.failed = failed
        attempt.duration_us = round((time.perf_counter() - self._request.arrived_s) * 1e6)
        self._count(of)
        self._meter.write(attempt, of, then)

    def _count(self, of: Told) -> None:
        metrics, buckets = self._served.metrics, of.buckets
        made = (buckets.output_visible or 0) + (buckets.output_reasoning or 0) + (buckets.output_tool or 0)
        metrics.tokens["input"] += (buckets.input_fresh or 0) + (buckets.cache_read or 0) + (buckets.cache_write or 0)
        metrics.tokens["output"] += made
        attempt = self._attempt
        if self._stream is not None and attempt.ttft_us is not None and made > 1:
            assert attempt.duration_us is not None
            metrics.tpot.observe((attempt.duration_us - attempt.ttft_us) / 1e6 / (made - 1))

    def _close_stream(self) -> None:
        self._write(self._told(whole=True), self._end_stream)

    def _close_answer(self) -> None:
        self._write(self._told(whole=True), self._end_answer)

    def _end_stream(self, durable: bool) -> None:
        if self._gone:
            return
        if not durable:
            self._unmetered()
            return
        assert self._stream is not None
        if not self._started:
            self._begin_stream()
        self._finished(200)
        self._ended = True
        self._connection.finish(self._stream.rest())

    def _end_answer(self, durable: bool) -> None:
        if self._gone:
            return
        if not durable:
            self._unmetered()
            return
        self._finished(200)
        self._connection.respond(200, b"".join(self._pieces), self._type, self._more)

    def _unmetered(self) -> None:
        """What cannot be metered is not handed out as if it were."""
        error = Refused(503, "not_metered", "the answer could not be metered", retry_after_s=1.0)
        if self._started:
            self._finished(503)
            self._connection.break_off(_error_event())
        else:
            self._fail(error)

    def _fail(self, refused: Refused) -> None:
        self._finished(refused.status)
        self._connection.respond_error(refused)

    def _finished(self, status: int) -> None:
        metrics = self._served.metrics
        if self._counted:
            self._counted = False
            metrics.active -= 1
            metrics.answered(status)
            metrics.duration.observe(time.perf_counter() - self._request.arrived_s)

    # ------------------------------------------------------------------ the caller

    def client_gone(self) -> None:
        """Closes the upstream's connection, which is how engines learn of it, and meters what was produced."""
        if self._gone:
            return
        self._gone = True
        handle = self._handle
        if self._open:
            self._served.router.undecided(self._upstream)
        self._leave_upstream()
        if handle:
            handle.abandon()
        if not self._metered:
            self._write(self._told(whole=False), failed=self._stream is None)
        self._finished(CLIENT_LEFT)

    def hold(self) -> None:
        self._held = True
        if self._handle:
            self._handle.hold()

    def resume(self) -> None:
        self._held = False
        if self._handle:
            self._handle.resume()


def _error_event() -> bytes:
    """What the SDKs raise as an error in the middle of a stream."""
    return (
        b"data: " + error_body(502, "upstream_failed", "the upstream broke off in the middle of its answer") + b"\n\n"
    )


def now_us() -> int:
    return time.time_ns() // 1000
