"""The life of one call of a model, in every dialect: routed, asked, forwarded, metered.

Another upstream is tried while the caller has got nothing; a stream that has begun goes on at an upstream that can continue
it. A stream's end, and a whole answer, wait until the event is durable. A caller who leaves, and a deadline that passes, end
the upstream's work, and what was produced is metered.
"""

from __future__ import annotations

import logging
from functools import partial

from tokenworks.serve.body.faults import is_json
from tokenworks.serve.body.stream import END_OF_EVENT
from tokenworks.serve.body.usage import MISSING
from tokenworks.serve.call.admission import Admission
from tokenworks.serve.call.continuity import Continuity
from tokenworks.serve.call.demands import TIMEOUT, deadline_s
from tokenworks.serve.call.hedge import Hedge
from tokenworks.serve.call.incoming import Incoming
from tokenworks.serve.call.onward import Onward
from tokenworks.serve.dialects.way import Passage, Unfit
from tokenworks.serve.http.client import Broken
from tokenworks.serve.http.pool import Handle
from tokenworks.serve.http.request import Refused
from tokenworks.serve.metering import Attempt
from tokenworks.serve.upstreams.breaker import fails
from tokenworks.serve.upstreams.hedging import Hedging

log = logging.getLogger("tokenworks.serve")
TRY_ANOTHER = (429, 502, 503, 504)
ENCODED = b"content-encoding"


class Relay(Onward):
    """One call. Callbacks come from the caller's connection, the upstream's and the ledger, all on one loop."""

    # ------------------------------------------------------------------ asking

    def start(self, headers: dict[bytes, bytes]) -> None:
        """Raises Refused where no upstream can take it, now or soon."""
        wait_s = deadline_s(headers) if TIMEOUT in headers else None
        queue, placed = self._course.served.queue, True
        if queue is None:
            self._course.begin(self._loop.time())
        else:
            self._admission = Admission(self._course, queue, self._loop.time, self._ask_first, self._fail)
            placed = self._admission.enter(self._tally.tenant, headers)
        self._connection.listener = self
        self._tally.begin()
        if wait_s is not None:
            self._timer = self._loop.call_later(wait_s, self._expire)
        if placed:
            self._ask_first()

    def _ask_first(self) -> None:
        if self._course.served.hedging is not None:
            self._prepare_hedge(self._course.served.hedging)
        self._ask(False)

    def _prepare_hedge(self, hedging: Hedging) -> None:
        delay_s = hedging.delay_s() if self._question.said.streams and not self._tally.reserves else None
        if delay_s is not None:
            self._hedge = Hedge(self, self._course, self._question, self._tally, hedging, delay_s, self._loop)

    def _ask(self, fresh: bool) -> None:
        course, attempt = self._course, self._tally.attempt
        served, upstream = course.served, course.router.upstreams[course.position]
        attempt.service, attempt.model = served.name, served.model  # one that stands in, perhaps
        if self._incoming.status:
            self._incoming = Incoming()
        payload = self._question.payload(upstream, course.name_at(upstream), attempt.id)
        upstream.pool.ask(payload, self, self._taken, fresh)

    def _taken(self, handle: Handle) -> None:
        self._handle = handle
        if self._held:
            handle.hold()

    def _another(self) -> bool:
        """Tries another upstream, where there is one and patience for it. Otherwise nothing has changed."""
        if self._hedge and self._hedge.take_over():
            return True
        handle, attempt = self._handle, self._tally.next_attempt()
        if attempt is None or not self._course.another(self._loop.time()):
            return False
        if handle:
            handle.abandon()
        self._tally.again(attempt)
        self._ask(False)
        return True

    def adopt(self, position: int, handle: Handle | None, attempt: Attempt, spoils: bool) -> None:
        """The hedge's attempt is the one that counts from here on."""
        if spoils:
            self._tally.write(MISSING, failed=True)
        self._hedge = None
        self._drop_upstream()
        self._course.move(position)
        self._tally.turn_to(attempt)
        self._incoming = Incoming()
        if handle:
            self._taken(handle)

    # ------------------------------------------------------------------ the upstream's answer

    def answer_head(self, status: int, headers: dict[bytes, bytes]) -> None:
        course = self._course
        if fails(status):
            course.failed(self._loop.time(), status)
        elif status >= 400:
            course.router.well(course.position)  # of a 200 that is not known before its end
        elif status != 200 or ENCODED in headers:
            why = f"answers {status}" if status != 200 else "encodes its answer, which nobody asked for"
            self._give_up_upstream(why)
            return
        if status in TRY_ANOTHER and not self._started and self._another():
            return
        if self._incoming.head(status, headers):
            self._ready_stream()
        elif self._started:
            self._drop_upstream()
            self._go_on(asked=status < 400)

    def _ready_stream(self) -> None:
        question = self._question
        if not self._started:
            self._translation = question.way.translation()
        if not question.goes_on or self._tally.reserves:  # a begun answer is a longer prompt than was reserved
            self._continuity = None
        elif self._continuity is None and self._course.upstream.continues:
            self._continuity = Continuity()
        self._mends = self._continuity is not None or self._translation is not None
        self._incoming.stream = question.way.passage(question.said, self._continuity is not None)

    def answer_body(self, data: bytes) -> None:
        stream = self._incoming.stream
        if stream is None:
            if not self._incoming.keep(data):
                self._give_up_upstream("its answer is too large")
            return
        if self._tally.written:  # it goes on after the end of its answer: nobody listens
            self._drop_upstream()
            return
        self._end_hedge()
        try:
            out = self._mended(stream, data) if self._mends else stream.feed(data)
        except Unfit as why:
            self._continuity = None  # nobody can go on with it
            self._give_up_upstream(str(why))
            return
        if out and not self._gone and not self._over:
            if not self._started:
                self._begin_stream()
            self._connection.chunk(out)
        if stream.failed and self._continuity is not None:
            self._give_up_upstream("says in its stream that it has failed")
        elif stream.done and not self._tally.written:
            self._meter_stream()

    def _mended(self, stream: Passage, data: bytes) -> bytes:
        """Kept for whoever may have to go on with it, and in the caller's words. Raises Unfit."""
        out = stream.feed(data)
        if self._continuity is not None:
            out = self._continuity.forward(out)
        return out if self._translation is None else self._translation.put(out)

    def answer_end(self) -> None:
        incoming = self._incoming
        stream = incoming.stream
        if stream is not None and stream.unended:
            self.answer_body(END_OF_EVENT)
            if self._over or self._incoming is not incoming:
                return
        if not (self._whole() if stream is None else stream.done or self._may_end(stream)):
            self.answer_broken("ended its answer before the end", "broken")
            return
        if stream is not None and stream.failed:
            self._course.undecided()
        self._leave_upstream()
        self._end_hedge()
        if self._gone:
            return
        if incoming.status != 200:
            self._pass_on_error()
        elif self._tally.written:
            return
        elif stream is not None:
            self._meter_stream()
        else:
            self._meter_answer()

    def _meter_stream(self) -> None:
        incoming = self._incoming
        failed = incoming.stream is not None and incoming.stream.failed
        if not failed:
            self._course.router.well(self._course.position)
        self._tally.write(incoming.told(whole=True), self._end_stream, failed=failed)

    def _whole(self) -> bool:
        """Of an answer that is no stream. One that nothing but the end of its connection ended may be a part."""
        handle = self._handle
        return handle is None or handle.framed or self._incoming.status != 200 or is_json(self._incoming.body)

    def _may_end(self, stream: Passage) -> bool:
        """Whether it is whole without the end that its dialect has."""
        if self._translation is None or self._continuity is not None:
            return stream.open_ended
        return self._translation.finished

    def _meter_answer(self) -> None:
        """What cannot be put into the caller's words is metered as failed: he did not get it."""
        way, body = self._question.way, self._incoming.body
        self._course.router.well(self._course.position)
        read = partial(way.told, body)
        try:
            self._incoming.answer = way.answer(body)
        except Unfit as why:
            self._tally.write(read, failed=True)
            self._fail(self._unfit(why))
            return
        self._tally.write(read, self._end_answer)

    def _pass_on_error(self) -> None:
        """An error of the upstream, in its own words; but its refusal of the gateway's own key is no matter of the caller's."""
        course, incoming = self._course, self._incoming
        if incoming.status in (401, 403):
            log.error("%s: upstream %d refuses the gateway's credential", course.served.name, course.position)
            self._fail(Refused(502, "upstream_credential", f"{course.served.name}: the upstream refuses the gateway"))
            return
        self._close(incoming.status)
        body, kind = self._question.way.error(incoming.status, incoming.body, incoming.kind)
        self._connection.respond(incoming.status, body, kind, self._lines())

    def answer_broken(self, reason: str, kind: Broken) -> None:
        if self._gone or self._tally.written:
            self._course.undecided()
            self._leave_upstream()
            return
        if kind == "stale":
            self._ask(True)
            return
        course, self._handle = self._course, None
        course.failed(self._loop.time())
        log.warning("%s: upstream %d %s", course.served.name, course.position, reason)
        if self._started:
            self._go_on(asked=kind == "broken")
            return
        if kind == "broken":  # nobody knows what it did with the request
            self._tally.write(MISSING, failed=True)
        if not self._another():
            self._fail_unanswered()

    def _fail_unanswered(self) -> None:
        self._leave_upstream()
        said = f"{self._course.served.name}: the upstream did not answer"
        self._fail(Refused(502, "upstream_failed", said))

    def _give_up_upstream(self, reason: str) -> None:
        if self._handle:
            self._handle.abandon()
        self.answer_broken(reason, "broken")
