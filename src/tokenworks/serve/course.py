"""Which upstream works on a call, which have failed it, and where it goes next: within its service, then to those that
stand in for it."""

from __future__ import annotations

from collections.abc import Sequence

from tokenworks.serve.http.request import Refused
from tokenworks.serve.prompt import Prompt
from tokenworks.serve.question import Question
from tokenworks.serve.routing import NO_SESSION, session_number
from tokenworks.serve.served import Served
from tokenworks.serve.upstream import Upstream


class Course:
    """Of one call. ``position``: of the upstream among its service's; ``open``: while it works on the call."""

    __slots__ = (
        "_asked",
        "_attempts",
        "_prompt",
        "_question",
        "_session",
        "_standby",
        "_tried",
        "open",
        "position",
        "served",
    )

    def __init__(self, served: Served, question: Question, session: str, standby: Sequence[Served] = ()):
        """``session``: what calls of one conversation share; ``standby``: services that stand in, in order."""
        self.served, self._asked, self._standby = served, served, list(standby)
        self._question, self._session = question, session_number(session) if session else NO_SESSION
        self._prompt: Prompt | None = None
        self._tried: list[int] = []
        self._attempts = 0
        self.position, self.open = -1, False

    @property
    def upstream(self) -> Upstream:
        return self.served.router.upstreams[self.position]

    def name_at(self, upstream: Upstream) -> str | None:
        """The upstream's name of the model; a service that stands in does not know the name that the caller wrote."""
        return upstream.model or (None if self.served is self._asked else self.served.name)

    @property
    def header(self) -> bytes:
        """Names the service that stands in."""
        return b"" if self.served is self._asked else b"X-Tokenworks-Service: %b\r\n" % self.served.name.encode()

    def begin(self, now_s: float) -> None:
        """Raises the Refused of the service that was asked for, where no other takes the call either."""
        try:
            self._go(self.served, self._take(self.served, now_s, ()), [])
        except Refused:
            if not self._stand_in(now_s):
                raise

    def _take(self, served: Served, now_s: float, tried: Sequence[int], begun: bool = False) -> int:
        router = served.router
        if router.reads_prompts and self._prompt is None:
            self._prompt = Prompt.of(self._question.said)
        return router.take(self._session, now_s, tried, self._prompt, begun)

    def _go(self, served: Served, position: int, tried: list[int]) -> None:
        self._attempts = self._attempts + 1 if served is self.served else 1
        self.served, self.position, self.open, self._tried = served, position, True, tried

    def another(self, now_s: float) -> bool:
        """On to another upstream, where there is one and patience for it, or to a service that stands in. Otherwise nothing
        has changed."""
        if self._attempts <= self.served.retries and self._on([*self._tried, self.position], now_s):
            return True
        return self._stand_in(now_s)

    def _on(self, tried: list[int], now_s: float, begun: bool = False) -> bool:
        router = self.served.router
        barred = [i for i, u in enumerate(router.upstreams) if not u.continues] if begun else []
        if not router.has_other([*tried, *barred], now_s if begun else None):
            return False
        try:
            chosen = self._take(self.served, now_s, [*tried, *barred], begun)
        except Refused:
            return False
        self.leave()
        self._go(self.served, chosen, tried)
        return True

    def _stand_in(self, now_s: float) -> bool:
        while self._standby:
            served = self._standby.pop(0)
            try:
                words = self._question.put_to(served)
                chosen = self._take(served, now_s, ())
            except Refused:
                continue
            self._question.turn(*words)
            self.leave()
            self._go(served, chosen, [])
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
            self.served.router.release(self.position, self._prompt)

    def move(self, position: int) -> None:
        """To an upstream that has been taken already."""
        self.leave()
        self.position, self.open = position, True

    def beside(self, now_s: float) -> int | None:
        """A second upstream to ask beside the present one; None where there is none."""
        tried = [*self._tried, self.position]
        if not self.served.router.has_other(tried, None):
            return None
        try:
            return self._take(self.served, now_s, tried)
        except Refused:
            return None

    def give_back(self, position: int) -> None:
        """One that was taken by `beside`."""
        self.served.router.release(position, self._prompt)

    # ------------------------------------------------------------------ what the upstream has shown

    def well(self) -> None:
        self.served.router.well(self.position)

    def failed(self, now_s: float) -> None:
        self.served.router.failed(self.position, now_s)

    def undecided(self) -> None:
        if self.open:
            self.served.router.undecided(self.position)

    def prefilled(self) -> None:
        """The upstream has read the prompt."""
        if self._prompt is not None:
            self.served.router.prefilled(self.position, self._prompt)
