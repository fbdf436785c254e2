"""Which upstream takes a request: the twin's own compiled policy over the upstreams that are well."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from tokenworks.control.routing import choose
from tokenworks.control.tournament import rebuild, tree_for, update
from tokenworks.serve.http.request import Refused
from tokenworks.serve.upstreams.breaker import Breaker, BreakerRules

if TYPE_CHECKING:
    from tokenworks.serve.upstreams.engine_page import EngineState
    from tokenworks.serve.upstreams.prompt import Prompt
    from tokenworks.serve.upstreams.upstream import Upstream

BUSY_RETRY_S = 1.0
NO_SESSION = -1


def session_number(session: str) -> int:
    """A session as the policies know it; −1: none. Same text, same number, on every gateway."""
    if not session:
        return NO_SESSION
    return int.from_bytes(blake2b(session.encode(), digest_size=8).digest(), "little") >> 1


class Router:
    """The upstreams of one service. Positions are indices into the upstreams as the factory file lists them. ``elsewhere``:
    requests that an upstream has from others than this gateway, as its own metrics say. ``freed``: called after a place has
    become free. ``fetched``: KV caches of answered prefills that a decode upstream still fetches from it: no load to the
    policy, as in the twin, but it must not stop."""

    reads_prompts = False

    def __init__(self, service: str, upstreams: Sequence[Upstream], policy: int, seed: int, rules: BreakerRules):
        self.service, self.upstreams = service, list(upstreams)
        self._policy, self._seed, self._rules = policy, seed, rules
        self.breakers: list[Breaker] = []
        self.outstanding: list[int] = []
        self.elsewhere: list[int] = []
        self.fetched: list[int] = []
        self.crowded: list[bool] = []  # its KV cache is full: passed over while others' are not
        self.engines: list[EngineState | None] = []  # as they say of themselves
        self.up: list[bool] = []  # replicas that take requests
        for upstream in upstreams:
            self._enlist(upstream)
        self.positions = list(range(len(upstreams)))  # of those that take calls, in the order of the file
        self.freed: Callable[[], None] | None = None
        self._turn = 0  # requests routed so far
        self.starts_s = 1.0  # what the first of them takes to start
        self.arrived = self.refused = 0  # requests; those of them that found no replica up
        self._gather()
        choose(policy, self._loads, self._tree, 0, seed, 0, 0)  # compiled before the first caller waits for it
        update(self._tree, self._loads, 0)

    @property
    def listed(self) -> list[Upstream]:
        """Those that take calls."""
        return [self.upstreams[i] for i in self.positions]

    def _enlist(self, upstream: Upstream) -> None:
        """What is kept of each upstream, at the next position."""
        self.breakers.append(Breaker(self._rules))
        self.outstanding.append(0)
        self.elsewhere.append(0)
        self.fetched.append(0)
        self.crowded.append(False)
        self.engines.append(None)
        self.up.append(True)

    def take_over(self, fresh: Router) -> list[Upstream]:
        """Upstreams, policy and rules of another router; returns the upstreams that are gone. Their positions stay, for the
        calls that are under way there."""
        gone = {self.upstreams[i].identity: i for i in reversed(self.positions)}
        self._rules = fresh._rules
        before, self.positions = self.positions, []
        for new in fresh.upstreams:
            place = gone.pop(new.identity, len(self.upstreams))
            if place == len(self.upstreams):
                self.upstreams.append(new)
                self._enlist(new)
            self.upstreams[place].most = new.most
            self.breakers[place].rules = fresh._rules
            self.positions.append(place)
        self._policy, self._seed = fresh._policy, fresh._seed
        self._gather()
        self._call_waiting()
        return [self.upstreams[i] for i in before if i not in self.positions]

    def _gather(self) -> None:
        """The pool anew, out of those that are well: what the policy sees."""
        self._members = [i for i in self.positions if self.breakers[i].closed and self.up[i]]
        self.ailing = [i for i in self.positions if not self.breakers[i].closed]
        self._place = {upstream: place for place, upstream in enumerate(self._members)}
        self._loads = np.array([self._load(i) for i in self._members], np.int64)
        self._tree = tree_for(max(1, len(self._members)))
        rebuild(self._tree, self._loads)

    def _load(self, i: int) -> int:
        """What the policy compares."""
        return self.outstanding[i] + self.elsewhere[i]

    def take(
        self, session: int, now_s: float, tried: Collection[int] = (), prompt: Prompt | None = None, begun: bool = False,
        wary: bool = False,
    ) -> int:  # fmt: skip
        """Chooses an upstream and counts the request as outstanding there. ``begun``: its answer has begun elsewhere, so
        nobody is too full for it. ``wary``: another service may take it rather than an upstream that is doubtful. Raises
        Refused: 503 where none is well, 429 where all are full."""
        self.arrived += not tried
        i = self._chosen(session, now_s, tried, prompt, begun, wary)
        self.outstanding[i] += 1
        self._follow(i)
        return i

    def has_other(self, tried: Collection[int], now_s: float | None) -> bool:
        """Whether there is one that is well, or (``now_s`` given) due for a trial."""
        return any(
            self.up[i] and i not in tried and (b.closed or (now_s is not None and b.may_try(now_s)))
            for i, b in ((i, self.breakers[i]) for i in self.positions)
        )

    def may_take(self, tried: Collection[int], now_s: float) -> bool:
        """Whether `take` would find one, full or not."""
        return self.has_other(tried, now_s) or (not self._members and bool(self._doubtful(tried)))

    def _doubtful(self, tried: Collection[int]) -> list[int]:
        return [i for i in self.ailing if self.up[i] and i not in tried and self.breakers[i].doubtful]

    def _chosen(
        self, session: int, now_s: float, tried: Collection[int], prompt: Prompt | None, begun: bool, wary: bool
    ) -> int:  # fmt: skip
        for i in self.ailing:
            breaker = self.breakers[i]
            if self.up[i] and breaker.may_try(now_s) and i not in tried:
                breaker.trying = True
                return i
        if not self._members:
            if not any(self.up):
                self.refused += not tried
                raise self.starting()
            return self._last_resort(now_s, () if wary else self._doubtful(tried), begun)
        i = self._members[self._place_for(session, prompt)]
        if i in tried or self.crowded[i] or (self.upstreams[i].most and self._full(i) and not begun):
            return self._other(i, tried, begun)
        return i

    def _last_resort(self, now_s: float, doubtful: Sequence[int], begun: bool) -> int:
        """The least loaded of those who have failed with plain 500s alone, while nobody is well."""
        free = [i for i in doubtful if begun or not self._full(i)]
        if free:
            return min(free, key=self._load)
        if doubtful:
            raise self._busy()
        raise Refused(
            503, "no_upstream", f"{self.service}: no upstream answers at present",
            retry_after_s=max(1.0, min(self.breakers[i].retry_s for i in self.positions) - now_s),
        )  # fmt: skip

    def _busy(self) -> Refused:
        return Refused(429, "busy", f"{self.service}: all upstreams are full", retry_after_s=BUSY_RETRY_S)

    def starting(self) -> Refused:
        """No replica is up."""
        said = f"{self.service}: no replica is up; the first one is asked for"
        return Refused(503, "starting", said, retry_after_s=self.starts_s)

    def _place_for(self, session: int, prompt: Prompt | None) -> int:
        """The policy's choice among the members."""
        self._turn = 1 + (turn := self._turn)
        return choose(self._policy, self._loads, self._tree, turn, self._seed, turn, session)  # type: ignore[no-any-return]

    def _full(self, i: int) -> bool:
        most = self.upstreams[i].most
        return bool(most) and self.outstanding[i] >= most

    def _other(self, chosen: int, tried: Collection[int], begun: bool) -> int:
        """Instead of one that has failed this request, is full or crowded: the least loaded of the rest, by file order."""
        rest = [i for i in self._members if i not in tried and (begun or not self._full(i))]
        if rest:
            return min(rest, key=lambda i: (self.crowded[i], self._load(i)))
        if all(i in tried for i in self._members):
            return chosen
        raise self._busy()

    def release(self, i: int, prompt: Prompt | None = None) -> None:
        self.outstanding[i] -= 1
        self._follow(i)
        if self.freed:
            self.freed()

    def _call_waiting(self) -> None:
        """There may be more places than before."""
        if self.freed:
            self.freed()

    def prefilled(self, i: int, prompt: Prompt) -> None:
        """An upstream has read a prompt: for those who remember it."""

    def _follow(self, i: int) -> None:
        """The policy sees the load of ``i`` as it is now."""
        place = self._place.get(i)
        if place is not None:
            self._loads[place] = self._load(i)
            update(self._tree, self._loads, place)

    @property
    def able(self) -> bool:
        """Whether a request would be taken, or a replica started for it."""
        return not any(self.up) or bool(self._members) or bool(self._doubtful(()))

    def works_on(self, i: int) -> int:
        """Calls that need it to go on."""
        return self.outstanding[i] + self.fetched[i]

    def open(self, i: int, up: bool) -> None:
        """Whether a replica takes requests from now on; those that it works on go on."""
        self.up[i] = up
        self._gather()
        if up:
            self._call_waiting()

    def reported(self, i: int, elsewhere: int, crowded: bool, state: EngineState | None) -> None:
        """By the engine's own metrics; ``state`` None: there are none any more."""
        self.elsewhere[i], self.crowded[i], self.engines[i] = elsewhere, crowded, state
        self._follow(i)

    def well(self, i: int) -> None:
        """It has given a whole answer."""
        if self.breakers[i].success():
            self._gather()
            self._call_waiting()

    def begun(self, i: int) -> None:
        """Its answer has begun: where that was a trial others need not wait for its end."""
        if self.breakers[i].begun():
            self._gather()
            self._call_waiting()

    def failed(self, i: int, now_s: float, status: int = 0) -> None:
        """It did not answer, or with an error of this ``status``."""
        if self.breakers[i].failure(now_s, status):
            self._gather()

    def drain(self, i: int, drained: bool) -> None:
        """No new requests from here on, or new ones again; what it works on is not touched."""
        self.breakers[i].drained = drained
        self._gather()
        if not drained:
            self._call_waiting()

    def undecided(self, i: int) -> None:
        """A trial has ended before the upstream showed whether it is well."""
        self.breakers[i].trying = False
