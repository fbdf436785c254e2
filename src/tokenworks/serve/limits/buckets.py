"""Token buckets in exact integers: a minute's worth, filled evenly.

A unit of a bucket is kept as `SCALE` parts, of which every microsecond brings as many as the limit per minute is.
"""

from __future__ import annotations

SCALE = 60_000_000  # microseconds of a minute


class Bucket:
    """``limit`` units per minute."""

    __slots__ = ("_at_us", "_parts", "limit")

    def __init__(self, limit: int, now_us: int):
        self.limit, self._at_us = limit, now_us
        self._parts = limit * SCALE

    def level(self, now_us: int) -> int:
        """Whole units that are there; below 0 where more was used than was known."""
        self._fill(now_us)
        return self._parts // SCALE

    def _fill(self, now_us: int) -> None:
        passed = now_us - self._at_us
        if passed > 0:
            self._at_us = now_us
            self._parts = min(self.limit * SCALE, self._parts + passed * self.limit)

    def wait_us(self, units: int, now_us: int) -> int:
        """Until so many are there; 0: they are."""
        self._fill(now_us)
        return max(0, -(-(units * SCALE - self._parts) // self.limit))

    def take(self, units: int) -> None:
        """Whether or not they are there; negative: gives back."""
        self._parts = min(self.limit * SCALE, self._parts - units * SCALE)

    def full_us(self, now_us: int) -> int:
        """Until it is full."""
        return self.wait_us(self.limit, now_us)
