"""Whose joules the steps of a live worker were: the rule of docs/decisions/0011 for dynamic energy, keys in closed form.

Written for its speed; `reference_shares` says the same by adding up, and a test holds one against the other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tokenworks.twin.reference import FINE, _at, _keys

Pairs = Callable[[int, int, int], int]  # keys that a chunk's tokens read: stored before, tokens, limit


class EnergyShares:
    """Of one worker, in fine microjoules. Σ requests + lost + carried remainders = the joules of its steps."""

    def __init__(self, pairs: Pairs):
        self._pairs = pairs
        self._own: dict[int, int] = {}  # of requests that are here, by number
        self._rest = self._settled = self._lost = 0
        self._left: list[tuple[Any, Any]] = []  # (rank, request) of the present step whose callers have left

    @property
    def lost_uj(self) -> int:
        """Of prefills that preemption threw away or repeated, and of requests whose callers left."""
        return self._lost // FINE

    @property
    def carried(self) -> int:
        """Fine microjoules that nobody has got yet; those of requests that are still here are theirs."""
        return self._rest + self._settled + self._lost % FINE

    def of(self, number: int) -> int:
        """Whole microjoules of a request that is still here."""
        return self._own.get(number, 0) // FINE

    def step(self, worker: Any) -> None:
        """Divides the step that ends, before its tokens are booked, over those it was begun with: who left in the middle of it
        leaves nothing to others to pay."""
        mixed, alone = worker.mixed, worker.model.prefill_alone
        batches = [rank.running + [r for at, r in self._left if at is rank] for rank in worker.ranks]
        running, gone = [r for batch in batches for r in batch], {r.number for _, r in self._left}
        self._left = []
        fills = [r for r in running if mixed and r.chunk]
        decoding = [r for r in running if r.decoding and not (mixed and (alone or r.chunk))]
        keys = [self._prefill_keys(worker, r) for r in fills] + [self._decode_keys(worker, r) for r in decoding]
        busy = sum(any(r.chunk or (r.decoding and not alone) for r in batch) for batch in batches)
        sequence, token = self._divided(worker, worker.joule_fine - sum(keys), fills, len(decoding), busy)
        for r, own in zip((*fills, *decoding), keys, strict=True):
            own += sequence + token * (r.chunk if mixed and r.chunk else 1)
            if r.number in gone or (mixed and r.chunk and r.first >= 0):  # computed before: nobody should pay twice
                self._lost += own
            else:
                self._own[r.number] = self._own.get(r.number, 0) + own

    def _divided(self, worker: Any, rest: int, fills: list[Any], decoding: int, busy: int) -> tuple[int, int]:
        """(by sequence, by token) of what no key pays for."""
        left, sequence = rest + self._rest, 0
        if fills:
            table = worker.model.levels[0]
            fixed = busy * _at(table.joule_mixed, 1) + _at(table.joule_shared_mixed, 1)
            sequence = min(rest, fixed) // (decoding + len(fills))
            left -= sequence * (decoding + len(fills))
        token, self._rest = divmod(left, decoding + sum(r.chunk for r in fills))
        return sequence, token

    def _prefill_keys(self, worker: Any, r: Any) -> int:
        prices = worker.model.levels[0].joule_pair
        return sum(int(prices[k]) * int(self._pairs(r.stored, r.chunk, limit)) for k, limit in _classes(worker))

    @staticmethod
    def _decode_keys(worker: Any, r: Any) -> int:
        prices = worker.model.levels[0].joule_context
        return sum(int(prices[k]) * _keys(r.stored, limit) for k, limit in _classes(worker))

    def settle(self, number: int) -> int:
        """Whole microjoules of a request that finished; what is below one goes to the next that does."""
        whole, self._settled = divmod(self._own.pop(number, 0) + self._settled, FINE)
        return whole

    def leave(self, rank: Any, request: Any) -> None:
        """Its caller left while a step is under way: it takes part in that one still."""
        self._left.append((rank, request))

    def lose(self, number: int) -> None:
        """What it used was in vain: its prefill was thrown away, or its caller left."""
        self._lost += self._own.pop(number, 0)


def _classes(worker: Any) -> list[tuple[int, int]]:
    """(class, limit) of keys that the model has; 0: no limit."""
    return [(k, limit) for k, limit in enumerate((0, *worker.model.limits)) if k == 0 or limit]
