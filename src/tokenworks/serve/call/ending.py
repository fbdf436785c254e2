"""How a call of a model ends: whole, refused, broken off, left by its caller, too late. In each way it is metered."""

from __future__ import annotations

import asyncio
import logging

import msgspec

from tokenworks.serve.body.stream import priced
from tokenworks.serve.call.admission import Admission
from tokenworks.serve.call.continuity import Continuity
from tokenworks.serve.call.course import Course
from tokenworks.serve.call.hedge import Hedge
from tokenworks.serve.call.incoming import Incoming
from tokenworks.serve.call.question import Question
from tokenworks.serve.call.tally import Tally
from tokenworks.serve.dialects.way import Translation, Unfit
from tokenworks.serve.http.pool import Connecting, Handle
from tokenworks.serve.http.request import Refused
from tokenworks.serve.http.server import ServerConnection

log = logging.getLogger("tokenworks.serve")
CLIENT_LEFT = 499  # nginx's number for it
LATE = Refused(504, "deadline", "the answer was not there in the time that X-Request-Timeout allows")
UNMETERED = Refused(503, "not_metered", "the answer could not be metered", retry_after_s=1.0)


class Ending(msgspec.Struct, eq=False):
    """The caller's side of a call: what he has got, and how it is closed. `Relay` is the upstreams' side."""

    _course: Course
    _question: Question
    _tally: Tally
    _connection: ServerConnection
    _loop: asyncio.AbstractEventLoop
    _incoming: Incoming  # of the present attempt
    _handle: Handle | None = None
    _started: bool = False
    _over: bool = False
    _gone: bool = False
    _held: bool = False
    _mends: bool = False  # whether its stream changes on its way
    _moves: int = 0
    _continuity: Continuity | None = None
    _translation: Translation | None = None  # of what goes to the caller
    _admission: Admission | None = None
    _hedge: Hedge | None = None
    _timer: asyncio.TimerHandle | None = None

    # ------------------------------------------------------------------ the answer begins

    def _begin_stream(self) -> None:
        self._started = True
        ttft_s, hedging = self._tally.first_byte(), self._course.served.hedging
        if hedging:
            hedging.observe(ttft_s)
        self._course.prefilled()
        self._connection.begin(200, self._incoming.kind, self._lines())

    def _lines(self) -> bytes:
        """Header lines of the answer."""
        wait = self._incoming.wait
        retry = b"Retry-After: %b\r\n" % wait if wait else b""
        granted = self._tally.grant.lines() if self._tally.grant else b""
        return b"X-Request-Id: %b\r\n%b%b%b" % (self._tally.request_id.encode(), self._course.header, retry, granted)

    # ------------------------------------------------------------------ the upstream is let go

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

    # ------------------------------------------------------------------ the end

    def _end_stream(self, durable: bool, rest: bytes | None = None) -> None:
        """``rest``: the end, where it is not the upstream's own."""
        if self._gone:
            return
        if not durable:
            self._end_without(UNMETERED)
            return
        if rest is None:
            assert self._incoming.stream is not None
            rest = self._incoming.stream.rest()
            rest = self._continuity.forward(rest) if self._continuity else rest
        cost = self._cost_usd()
        if cost and self._question.said.wants_usage:
            rest = priced(rest, cost)
        if self._translation is not None:
            try:
                rest = self._translation.put(rest) + self._translation.end()
            except Unfit as why:
                self._end_without(self._unfit(why))
                return
        if not self._started:
            self._begin_stream()
        self._close(200)
        self._connection.finish(rest)

    def _end_answer(self, durable: bool) -> None:
        """What cannot be metered is not handed out as if it were."""
        if self._gone:
            return
        if not durable:
            self._fail(UNMETERED)
            return
        self._course.prefilled()
        self._close(200)
        cost = self._cost_usd()
        line = b"X-Tokenworks-Cost-Usd: %b\r\n" % cost if cost else b""
        self._connection.respond(200, self._incoming.answer, self._incoming.kind, self._lines() + line)

    def _cost_usd(self) -> bytes:
        return self._tally.grant.cost_usd() if self._tally.grant else b""

    def _unfit(self, why: Unfit) -> Refused:
        course = self._course
        log.warning("%s: upstream %d: %s", course.served.name, course.position, why)
        return Refused(502, "upstream_failed", f"{course.served.name}: {why}")

    def _end_without(self, why: Refused) -> None:
        """No answer, or no end of the one that has begun."""
        if self._started:
            self._break_off(why)
        else:
            self._fail(why)

    def _break_off(self, why: Refused) -> None:
        self._close(why.status)
        told = self._translation or self._incoming.stream
        self._connection.break_off(self._question.dialect.broken_off(why, told.events if told else 0))

    def _fail(self, refused: Refused) -> None:
        self._close(refused.status)
        status, body, more = self._question.dialect.refusal(refused)
        self._connection.respond(status, body, more=more)

    def _close(self, status: int) -> None:
        """The answer is over."""
        self._over = True
        self._tally.end(status)
        if self._timer:
            self._timer.cancel()
        self._end_hedge()

    def _end_hedge(self) -> None:
        if self._hedge:
            self._hedge.cancel()
            self._hedge = None

    # ------------------------------------------------------------------ the caller

    def _stop(self) -> None:
        """Ends its wait, or the upstream's work, and meters what was produced."""
        if self._admission and self._admission.leave():
            return
        asked = self._was_asked()
        self._drop_upstream()
        if asked and not self._tally.written:
            incoming = self._incoming
            self._tally.write(incoming.told(whole=False), failed=incoming.stream is None)

    def _was_asked(self) -> bool:
        """Whether an upstream has the call. To one that is still being connected nothing was sent."""
        return not isinstance(self._handle, Connecting)

    def client_gone(self) -> None:
        self._gone = True
        self._stop()
        self._close(CLIENT_LEFT)

    def _expire(self) -> None:
        """Its deadline has passed. Whose end only waits for the ledger is in time."""
        if self._over or self._gone or self._tally.written:
            return
        self._stop()
        self._end_without(LATE)

    def hold(self) -> None:
        self._held = True
        if self._handle:
            self._handle.hold()

    def resume(self) -> None:
        self._held = False
        if self._handle:
            self._handle.resume()
