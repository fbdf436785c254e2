"""Which upstream works on a call, which have failed it, and where it goes next: within its service, then to those that
stand in for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from tokenworks.serve.call.question import Question
from tokenworks.serve.http.request import Refused
from tokenworks.serve.upstreams.prompt import Prompt
from tokenworks.serve.upstreams.routing import NO_SESSION, Router, session_number
from tokenworks.serve.upstreams.served import Served
from tokenworks.serve.upstreams.upstream import Upstream


class Seat(NamedTuple):
    """An upstream that works on the prompt of a call while another one is asked for its answer."""

    router: Router
    position: int
    prompt: Prompt | None

    def leave(self) -> None:
        self.router.release(self.position, self.prompt)

    def lend(self) -> None:
        """A decode upstream fetches the cache from it."""
        self.router.fetched[self.position] += 1

    def take_back(self) -> None:
        """The cache is fetched, or nobody wants it any more."""
        self.router.fetched[self.position] -= 1

    def filled(self) -> None:
        """It has read the prompt."""
        self.router.well(self.position)
        if self.prompt is not None:
            self.router.prefilled(self.position, self.prompt)


class Course(msgspec.Struct, eq=False):
    """Of one call. ``router``: of the pool that it is at; ``position``: of the upstream among the pool's; ``open``: while it works
    on the call."""

    served: Served
    _asked: Served
    _question: Question
    _session: int
    _standby: Sequence[Served]  # those that are left
    router: Router
    position: int = -1
    open: bool = False
    _prompt: Prompt | None = None
    _tried: Sequence[int] = ()
    _lost: Sequence[int] = ()  # decode upstreams that have failed the call
    _filler: Sequence[int] = ()  # prefill upstreams that were tried for the present leg, the last one included
    _attempts: int = 0

    @classmethod
    def of(cls, served: Served, question: Question, session: str, standby: Sequence[Served] = ()) -> Course:
        """``session``: what calls of one conversation share; ``standby``: services that stand in, in order."""
        number = session_number(session) if session else NO_SESSION
        return cls(served, served, question, number, standby, served.prefill or served.router)

    @property
    def upstream(self) -> Upstream:
        return self.router.upstreams[self.position]

    @property
    def fills(self) -> bool:
        """Whether it is at a pool that reads prompts and answers nothing."""
        return self.router is self.served.prefill

    def name_at(self, upstream: Upstream) -> str | None:
        """The upstream's name of the model; a service that stands in does not know the name that the caller wrote."""
        return upstream.model or (None if self.served is self._asked else self.served.name)

    @property
    def header(self) -> bytes:
        """Names the service that stands in."""
        return b"" if self.served is self._asked else b"X-Tokenworks-Service: %b\r\n" % self.served.name.encode()

    def begin(self, now_s: float) -> None:
        """Raises the Refused of the service that was asked for, where no other takes the call either."""
        wary = bool(self._standby)
        try:
            self.position = self._take(self.served, now_s, ())
        except Refused:
            if self._stand_in(now_s):
                return
            if not (wary and self.router.may_take((), now_s)):
                raise
            self.position = self._take(self.served, now_s, ())  # nobody is left to leave it to
        self.open, self._attempts = True, 1

    def _take(self, served: Served, now_s: float, tried: Sequence[int], begun: bool = False) -> int:
        router = served.prefill or served.router
        if served.prefill is not None and not served.router.may_take(
            self._lost if served is self.served else (), now_s
        ):
            if not any(served.router.up):
                raise served.router.starting()
            said = f"{served.name}: no decode upstream answers at present"
            raise Refused(503, "no_upstream", said, retry_after_s=1.0)
        if router.reads_prompts and self._prompt is None:
            self._prompt = Prompt.of(self._question.said)
        return router.take(self._session, now_s, tried, self._prompt, begun, bool(self._standby))

    def _go(self, served: Served, position: int, tried: Sequence[int]) -> None:
        self._attempts = self._attempts + 1 if served is self.served else 1
        self.served, self.position, self.open, self._tried = served, position, True, tried
        self.router = served.prefill or served.router

    def another(self, now_s: float) -> bool:
        """On to another upstream, where there is one and patience for it, or to a service that stands in. Otherwise nothing
        has changed."""
        if self._attempts <= self.served.retries and self._on([*self._tried, self.position], now_s):
            return True
        return self._stand_in(now_s)

    def _on(self, tried: list[int], now_s: float, begun: bool = False) -> bool:
        router = self.router
        barred = [i for i, u in enumerate(router.upstreams) if not u.continues] if begun else []
        if not router.has_other([*tried, *barred], now_s if begun else None):
            return False
        anew = self.served.prefill is not None and not self.fills
        try:
            chosen = self._take(self.served, now_s, () if anew else [*tried, *barred], begun)
        except Refused:
            return False
        self.leave()
        if anew:  # what one decode upstream has fetched no other one can fetch: the prompt is read again
            self._lost = [*tried, *barred]
        self._go(self.served, chosen, () if anew else tried)
        return True

    # ------------------------------------------------------------------ from a prefill pool to a decode pool

    def hand_over(self, now_s: float) -> Seat:
        """On to a decode upstream, full or not: whose prompt is read is not turned away. Returns the prefill upstream, which is
        still taken. Raises Refused, the prefill upstream left, where no decode upstream is well."""
        router, seat = self.served.router, Seat(self.router, self.position, self._prompt)
        try:
            chosen = router.take(self._session, now_s, self._lost, self._prompt, begun=True)
        except Refused:
            self.leave()
            raise
        self._filler = [*self._tried, self.position]
        self.router, self.position, self._tried = router, chosen, self._lost
        return seat

    def refill(self, now_s: float) -> bool:
        """Back to another prefill upstream, where there is one and patience for it; the decode upstream is no worse for it."""
        prefill = self.served.prefill
        if prefill is None or self._attempts > self.served.retries or not prefill.has_other(self._filler, None):
            return False
        try:
            chosen = self._take(self.served, now_s, self._filler)
        except Refused:
            return False
        self.leave()
        self._go(self.served, chosen, self._filler)
        return True

    def _stand_in(self, now_s: float) -> bool:
        while self._standby:
            served, *self._standby = self._standby
            try:
                words = self._question.put_to(served)
                chosen = self._take(served, now_s, ())
            except Refused:
                continue
            self._question.turn(*words)
            self.leave()
            self._lost = ()
            self._go(served, chosen, ())
            return True
        return False

    def onward(self, now_s: float, progressed: bool) -> bool:
        """On to an upstream that can go on with a begun answer, full or not: who has been served comes before who waits.
        ``progressed``: the present one has added to it, so that all others may be tried again."""
        return self._on([self.position] if progressed else [*self._tried, self.position], now_s, begun=True)

    def leave(self) -> None:
        """The upstream is done with it, one way or the other."""
        if self.open:
            self.open = False
            self.router.release(self.position, self._prompt)

    def move(self, position: int) -> None:
        """To an upstream that has been taken already."""
        self.leave()
        self.position, self.open = position, True

    def beside(self, now_s: float) -> int | None:
        """A second upstream to ask beside the present one; None where there is none."""
        tried = [*self._tried, self.position]
        if self.served.prefill is not None:
            return None
        if not self.served.router.has_other(tried, None):
            return None
        try:
            return self._take(self.served, now_s, tried)
        except Refused:
            return None

    def give_back(self, position: int) -> None:
        """One that was taken by `beside`, perhaps as a trial of its breaker."""
        self.served.router.undecided(position)
        self.served.router.release(position, self._prompt)

    # ------------------------------------------------------------------ what the upstream has shown

    def failed(self, now_s: float, status: int = 0) -> None:
        self.router.failed(self.position, now_s, status)

    def undecided(self) -> None:
        if self.open:
            self.router.undecided(self.position)

    def prefilled(self) -> None:
        """The upstream has read the prompt."""
        if self.router.ailing:
            self.router.begun(self.position)
        if self._prompt is not None:
            self.router.prefilled(self.position, self._prompt)
