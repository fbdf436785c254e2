"""A circuit breaker: an upstream that fails again and again is left alone for a while, then tried with one request.

A plain 500 is weak evidence: an engine says it of a body that it chokes on as it does of its own end, and whoever sends such
bodies must not shut others out. It counts, but an upstream whose latest failure was one is `doubtful`: passed over while others
are well, and asked where none is. Its pause does not grow, so that nobody who keeps on failing holds it off for longer.
"""

from __future__ import annotations

from dataclasses import dataclass

MOST_DOUBLINGS = 5
PLAIN = 500
NOT_IMPLEMENTED = 501  # about the question, not about the engine's health


def fails(status: int) -> bool:
    """Whether an answer's status says that the upstream is not well."""
    return status >= 500 and status != NOT_IMPLEMENTED


@dataclass(frozen=True)
class BreakerRules:
    failures: int = 3  # in a row
    pause_s: float = 2.0  # the first; it doubles with every trial that fails, up to 32 times


class Breaker:
    """Closed: used. Open: left alone until ``retry_s`` on the loop's clock; then one request at a time tries, and as soon as its
    answer begins the upstream is used on probation: the next failure opens it again, a whole answer ends it."""

    __slots__ = ("_in_a_row", "_open", "_openings", "_plain", "drained", "retry_s", "rules", "trying")

    def __init__(self, rules: BreakerRules):
        self.rules = rules
        self._in_a_row = 0
        self._openings = 0  # since the last whole answer
        self._open = False
        self._plain = False  # the latest failure was a plain 500
        self.retry_s = 0.0
        self.trying = False
        self.drained = False  # by somebody's wish: open until that is taken back, whatever the upstream does

    @property
    def closed(self) -> bool:
        return not self._open and not self.drained

    @property
    def doubtful(self) -> bool:
        """Open, though it may be the questions that were wrong."""
        return self._open and self._plain and not self.drained

    def may_try(self, now_s: float) -> bool:
        """Whether an open one is due for a trial."""
        return self._open and not self.drained and not self.trying and now_s >= self.retry_s

    def begun(self) -> bool:
        """An answer begins. Whether that closed it."""
        if not (self._open and self.trying):
            return False
        self._open = self.trying = False
        return True

    def success(self) -> bool:
        """A whole answer. Whether this closed it."""
        was_open = self._open
        self._in_a_row = self._openings = 0
        self._open = self.trying = False
        return was_open

    def failure(self, now_s: float, status: int = 0) -> bool:
        """``status``: that the upstream answered; 0: none. Whether this opened it."""
        was_open, self._plain = self._open, status == PLAIN
        self.trying = False
        self._in_a_row += 1
        if not self._openings and self._in_a_row < self.rules.failures:
            return False
        self._openings = 1 if self._plain else self._openings + 1
        self.retry_s = now_s + self.rules.pause_s * 2 ** min(self._openings - 1, MOST_DOUBLINGS)
        self._open = True
        return not was_open
