"""Emulated time: the wall clock, faster or slower by a stated factor."""

from __future__ import annotations

import time

from tokenworks.physics.worker_model import TICKS_PER_S


class Clock:
    """Ticks of 10 ps since it was made."""

    def __init__(self, speed: float):
        self.speed = speed
        self._start_s = time.perf_counter()

    def now(self) -> int:
        return int((time.perf_counter() - self._start_s) * self.speed * TICKS_PER_S)

    def wait_s(self, tick: int) -> float:
        """Seconds of the wall clock until ``tick``; 0 where it has passed."""
        return max(0.0, tick / TICKS_PER_S / self.speed + self._start_s - time.perf_counter())
