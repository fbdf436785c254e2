"""Which upstream takes a request: the twin's own compiled policy over the upstreams that are well."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from tokenworks.control.routing import KV_AWARE, choose
from tokenworks.control.tournament import rebuild, tree_for, update
from tokenworks.errors import UnsupportedError
from tokenworks.serve.breaker import Breaker, BreakerRules
from tokenworks.serve.http.request import Refused

if TYPE_CHECKING:
    from tokenworks.serve.upstream import Upstream

BUSY_RETRY_S = 1.0


def session_number(session: str) -> int:
    """A session as the policies know it; −1: none. Same text, same number, on every gateway."""
    if not session:
        return -1
    return int.from_bytes(blake2b(session.encode(), digest_size=8).digest(), "little") >> 1


class Router:
    """The upstreams of one service. Positions are indices into the upstreams as the factory file lists them."""

    def __init__(self, service: str, upstreams: Sequence[Upstream], policy: int, seed: int, rules: BreakerRules):
        """Raises UnsupportedError for a policy that needs what a gateway does not know yet."""
        if policy == KV_AWARE and len(upstreams) > 1:
            raise UnsupportedError(
                f"{service}: kv-aware routing needs the engines' KV events, which the gateway does not read yet; "
                "choose session, least-loaded or power-of-two"
            )
        self.service, self.upstreams = service, tuple(upstreams)
        self._policy, self._seed = policy, seed
        self.breakers = tuple(Breaker(rules) for _ in upstreams)
        self.outstanding = [0] * len(upstreams)
        self._turn = self._number = 0
        self._gather()
        choose(policy, self._loads, self._tree, 0, seed, 0, 0)  # compiled before the first caller waits for it
        update(self._tree, self._loads, 0)

    def _gather(self) -> None:
        """The pool anew, out of those that are well: what the policy sees."""
        self._members = [i for i, breaker in enumerate(self.breakers) if breaker.closed]
        self._place = {upstream: place for place, upstream in enumerate(self._members)}
        self._loads = np.array([self.outstanding[i] for i in self._members], np.int64)
        self._tree = tree_for(max(1, len(self._members)))
        rebuild(self._tree, self._loads)

    def take(self, session: int, now_s: float, tried: Collection[int] = ()) -> int:
        """Chooses an upstream and counts the request as outstanding there. Raises Refused: 503 where none is well, 429 where
        all are full."""
        i = self._chosen(session, now_s, tried)
        self._change(i, 1)
        return i

    def _chosen(self, session: int, now_s: float, tried: Collection[int]) -> int:
        for i, breaker in enumerate(self.breakers):
            if breaker.may_try(now_s) and i not in tried:
                breaker.trying = True
                return i
        if not self._members:
            raise Refused(
                503, "no_upstream", f"{self.service}: no upstream answers at present",
                retry_after_s=max(1.0, min(b.retry_s for b in self.breakers) - now_s),
            )  # fmt: skip
        number, turn = self._number, self._turn
        self._number += 1
        self._turn += 1
        place = int(choose(self._policy, self._loads, self._tree, turn, self._seed, number, session))
        i = self._members[place]
        if i in tried or self._full(i):
            return self._other(i, tried)
        return i

    def _full(self, i: int) -> bool:
        most = self.upstreams[i].most
        return bool(most) and self.outstanding[i] >= most

    def _other(self, chosen: int, tried: Collection[int]) -> int:
        """Instead of one that has failed this request or is full: the least loaded of the rest, by file order."""
        rest = [i for i in self._members if i not in tried and not self._full(i)]
        if rest:
            return min(rest, key=lambda i: self.outstanding[i])
        if all(i in tried for i in self._members):
            return chosen
        raise Refused(429, "busy", f"{self.service}: all upstreams are full", retry_after_s=BUSY_RETRY_S)

    def release(self, i: int) -> None:
        self._change(i, -1)

    def _change(self, i: int, by: int) -> None:
        self.outstanding[i] += by
        place = self._place.get(i)
        if place is not None:
            self._loads[place] += by
            update(self._tree, self._loads, place)

    def well(self, i: int) -> None:
        """It answered."""
        if self.breakers[i].success():
            self._gather()

    def failed(self, i: int, now_s: float) -> None:
        """It did not."""
        if self.breakers[i].failure(now_s):
            self._gather()

    def drain(self, i: int, drained: bool) -> None:
        """No new requests from here on, or new ones again; what it works on is not touched."""
        self.breakers[i].drained = drained
        self._gather()

    def undecided(self, i: int) -> None:
        """A trial whose caller left before the upstream showed whether it is well."""
        self.breakers[i].trying = False
