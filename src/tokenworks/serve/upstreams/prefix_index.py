"""What the gateway believes the prefix caches of a service's upstreams hold: units by hash, the least recently used go first.

As the twin's caches: a prompt's units enter at the end of its prefill; when it leaves they become the youngest, its front
last, so that the end of a prompt is forgotten before its beginning. A look-up of one hash answers for all upstreams.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


class PrefixIndex:
    """``capacities``: units of each upstream."""

    def __init__(self, capacities: Sequence[int] = ()):
        self._holders: dict[int, int] = {}  # hash → bits of the upstreams that hold it
        self._units: list[dict[int, None]] = []  # of each upstream, oldest first
        self._capacity: list[int] = []
        for capacity in capacities:
            self.add(capacity)

    def add(self, capacity: int) -> None:
        """One more upstream."""
        self._units.append({})
        self._capacity.append(capacity)

    def runs(self, hashes: Sequence[int]) -> NDArray[np.int64]:
        """Units at the front of a prompt that each upstream holds."""
        runs = np.zeros(len(self._units), np.int64)
        left = (1 << len(self._units)) - 1
        for count, value in enumerate(hashes):
            having = self._holders.get(value, 0)
            _fill(runs, left & ~having, count)
            left &= having
            if not left:
                return runs
        _fill(runs, left, len(hashes))
        return runs

    def touch(self, i: int, hashes: Sequence[int]) -> None:
        """Upstream ``i`` holds these units now, the first of them the youngest."""
        units, bit = self._units[i], 1 << i
        for value in reversed(hashes):
            units.pop(value, None)
            units[value] = None
            self._holders[value] = self._holders.get(value, 0) | bit
        self._trim(i, self._capacity[i])

    def shrink(self, i: int, capacity: int) -> None:
        """The engine holds fewer units than was believed."""
        self._trim(i, min(capacity, self._capacity[i]))

    def clear(self, i: int) -> None:
        self._trim(i, 0)

    def size(self, i: int) -> int:
        return len(self._units[i])

    def _trim(self, i: int, capacity: int) -> None:
        units = self._units[i]
        while len(units) > capacity:
            value = next(iter(units))
            del units[value]
            rest = self._holders[value] & ~(1 << i)
            if rest:
                self._holders[value] = rest
            else:
                del self._holders[value]


def _fill(runs: NDArray[np.int64], bits: int, count: int) -> None:
    while bits:
        runs[(bits & -bits).bit_length() - 1] = count
        bits &= bits - 1
