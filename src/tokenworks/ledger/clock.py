"""How far an event may be ahead of the ledger's clock."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from tokenworks.ledger.periods import Period


def wall_us() -> int:
    return time.time_ns() // 1000


class Clock(msgspec.Struct, frozen=True):
    """Events more than ``flag_s`` ahead are marked, more than ``limit_s`` refused."""

    flag_s: int = 300
    limit_s: int = 86_400
    now_us: Callable[[], int] = wall_us

    def usual(self, periods: list[Period]) -> tuple[int, int]:
        """Times in [first, second] need no second look: after all closed periods, not ahead."""
        earliest = max((period.to_us for period in periods), default=0)
        return earliest, self.now_us() + self.flag_s * 1_000_000

    def refusal(self, time_us: int) -> str:
        """Why an event of this time is refused; "" where it is not."""
        ahead_s = (time_us - self.now_us()) / 1e6
        if ahead_s <= self.limit_s:
            return ""
        return f"its time is {ahead_s:.0f} s ahead of the clock; at most {self.limit_s} s are accepted"

    def ahead(self, time_us: int) -> str:
        ahead_s = (time_us - self.now_us()) / 1e6
        return f"ahead of the clock by {ahead_s:.0f} s" if ahead_s > self.flag_s else ""
