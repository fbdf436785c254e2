"""A circuit breaker: an upstream that fails again and again is left alone for a while, then tried with one request."""

from __future__ import annotations

from dataclasses import dataclass

MOST_DOUBLINGS = 5
NOT_IMPLEMENTED = 501  # about the question, not about the engine's health


def fails(status: int) -> bool:
    """Whether an answer's status says that the upstream is not well."""
    return status >= 500 and status != NOT_IMPLEMENTED


@dataclass(frozen=True)
class BreakerRules:
    failures: int = 3  # in a row
    pause_s: float = 2.0  # the first; it doubles with every trial that fails, up to 32 times


class Breaker:
    """Closed: used. Open: left alone until ``retry_s`` on the loop's clock; then one request at a time tries."""

    __slots__ = ("_in_a_row", "_openings", "drained", "retry_s", "rules", "trying")

    def __init__(self, rules: BreakerRules):
        self.rules = rules
        self._in_a_row = self._openings = 0
        self.retry_s = 0.0
        self.trying = False
        self.drained = False  # by somebody's wish: open until that is taken back, whatever the upstream does

    @property
    def closed(self) -> bool:
        return not self._openings and not self.drained

    def may_try(self, now_s: float) -> bool:
        """Whether an open one is due for a trial."""
        return bool(self._openings) and not self.drained and not self.trying and now_s >= self.retry_s

    def success(self) -> bool:
        """Whether this closed it."""
        opened = bool(self._openings)
        self._in_a_row = self._openings = 0
        self.trying = False
        return opened

    def failure(self, now_s: float) -> bool:
        """Whether this opened it."""
        was_closed, self.trying = not self._openings, False
        self._in_a_row += 1
        if was_closed and self._in_a_row < self.rules.failures:
            return False
        self.retry_s = now_s + self.rules.pause_s * 2 ** min(self._openings, MOST_DOUBLINGS)
        self._openings += 1
        return was_closed
