"""When a stream that lets its caller wait is asked for a second time: after the 95th percentile of the times to the first
token of late, and for a bounded share of calls ("The Tail at Scale", Dean and Barroso 2013)."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

FEW, WINDOW, EVERY = 20, 512, 32  # times that a delay needs; that are kept; after which it is found anew


@dataclass(frozen=True)
class HedgeRules:
    share: float = 0.05  # of calls that are asked for twice, at most
    quantile: float = 0.95


class Hedging:
    """Of one service."""

    def __init__(self, rules: HedgeRules):
        self._rules = rules
        self._times_s: deque[float] = deque(maxlen=WINDOW)
        self._since = 0
        self._delay_s: float | None = None
        self.calls = self.hedged = self.won = 0

    def observe(self, ttft_s: float) -> None:
        self._times_s.append(ttft_s)
        self._since += 1
        if self._since >= EVERY or self._delay_s is None:
            self._since = 0
            self._delay_s = self._quantile()

    def _quantile(self) -> float | None:
        """Nearest rank."""
        if len(self._times_s) < FEW:
            return None
        return sorted(self._times_s)[min(len(self._times_s) - 1, int(self._rules.quantile * len(self._times_s)))]

    def delay_s(self) -> float | None:
        """For a call that is asked now; None while too little is known."""
        self.calls += 1
        return self._delay_s

    def may(self) -> bool:
        """Whether one more fits the share. It counts once it is asked."""
        return self.hedged + 1 <= self._rules.share * self.calls
