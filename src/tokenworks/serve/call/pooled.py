"""A call of a service with prefill and decode pools: one life, one event, two engines.

A prefill upstream reads the prompt, a decode upstream answers (`serve.handover`). While the first works the caller has got
nothing, so it may fail as any upstream may; the caller's answer, and the usage that is metered, are the second one's alone.
"""

from __future__ import annotations

import logging

from tokenworks.serve.body.usage import MISSING, Told
from tokenworks.serve.call.beside import Beside
from tokenworks.serve.call.course import Seat
from tokenworks.serve.call.handover import handover_from
from tokenworks.serve.call.relay import Relay
from tokenworks.serve.http.request import Refused

log = logging.getLogger("tokenworks.serve")


class PooledRelay(Relay):
    """Of a call that such a service, or one that stands in, may work on. Calls of other services go by as in a `Relay`."""

    _beside: Beside | None = None  # the prefill upstream, where both are asked at once
    _lender: Seat | None = None  # the prefill upstream from which the cache is fetched
    _read: Told | None = None  # what that one said of the prompt, until another one answers

    def _ask(self, fresh: bool) -> None:
        course, question = self._course, self._question
        if not course.fills:
            if course.served.prefill is None:
                question.handover = None
                self._cache_is_there()
            super()._ask(fresh)
            return
        self._cache_is_there()
        self._forget_beside()
        question.handover = handover_from(course.upstream)
        if question.handover.at_once:
            self._ask_both()
        else:
            super()._ask(fresh)

    def _ask_both(self) -> None:
        """The decode upstream first: where none is well, nobody is asked."""
        course, attempt = self._course, self._tally.attempt
        attempt.service, attempt.model = course.served.name, course.served.model
        prefill = course.upstream
        payload = self._question.payload(prefill, course.name_at(prefill), attempt.id)
        try:
            seat = course.hand_over(self._loop.time())
        except Refused as refused:
            self._without_decode(refused)
            return
        self._beside = Beside(self, seat)
        self._beside.ask(prefill, payload)
        super()._ask(False)

    def _without_decode(self, refused: Refused) -> None:
        """No decode upstream is well: a service that stands in may do it all."""
        self._meter_read()
        if self._started or not self._another():
            self._end_without(refused)

    # ------------------------------------------------------------------ the prefill upstream's answer, where it comes first

    def answer_head(self, status: int, headers: dict[bytes, bytes]) -> None:
        if not self._course.fills or status != 200:
            if status == 200:
                self._read = None  # it stands in this one's usage
            super().answer_head(status, headers)
        elif self._incoming.head(status, headers):
            self._give_up_upstream("streams what it was asked to hand over")

    def answer_end(self) -> None:
        if self._course.fills and self._incoming.status == 200:
            self._hand_over()
        else:
            super().answer_end()

    def _hand_over(self) -> None:
        course, question, body = self._course, self._question, self._incoming.body
        assert question.handover is not None
        if not question.handover.filled(body):
            self.answer_broken("handed over no KV cache: it runs without a connector", "broken")
            return
        self._handle, self._read = None, question.way.told(body)
        try:
            seat = course.hand_over(self._loop.time())
        except Refused as refused:
            self._without_decode(refused)
            return
        seat.filled()
        seat.lend()
        seat.leave()
        self._lender = seat
        self._ask(False)

    def _was_asked(self) -> bool:
        return super()._was_asked() or self._beside is not None or self._read is not None

    # ------------------------------------------------------------------ a prompt that was read for nobody

    def _meter_read(self) -> None:
        """The attempt is over with it, unless more of it was lost."""
        read, self._read = self._read, None
        if read is not None and not self._tally.written:
            self._tally.write(read, failed=True)

    def _another(self) -> bool:
        self._meter_read()
        return super()._another()

    def _pass_on_error(self) -> None:
        self._meter_read()
        super()._pass_on_error()

    def answer_body(self, data: bytes) -> None:
        if self._lender and not self._course.fills:
            self._cache_is_there()
        super().answer_body(data)

    def _cache_is_there(self) -> None:
        """At the decode upstream, which has begun to answer; or nobody wants it any more."""
        if self._lender:
            self._lender.take_back()
            self._lender = None

    # ------------------------------------------------------------------ the prefill upstream beside the one that answers

    def prefill_failed(self) -> None:
        """Of the one beside. An answer that has begun does not need it any more."""
        self._beside = None
        if self._started or self._gone or self._over or self._tally.written:
            return
        self._course.undecided()
        handle, self._handle = self._handle, None
        if handle:
            handle.abandon()
        self._tally.write(MISSING, failed=True)
        attempt = self._tally.next_attempt()
        if attempt is None or not self._course.refill(self._loop.time()):
            self._fail_unanswered()
            return
        self._tally.again(attempt)
        self._ask(False)

    def _forget_beside(self) -> None:
        if self._beside:
            self._beside.drop()
            self._beside = None

    def _close(self, status: int) -> None:
        super()._close(status)
        self._forget_beside()
        self._cache_is_there()
