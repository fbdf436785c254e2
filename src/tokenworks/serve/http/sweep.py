"""One clock for the deadlines of all connections: a look a second costs less than a timer a request."""

from __future__ import annotations

import asyncio
from typing import Protocol

NEVER = float("inf")


class Mortal(Protocol):
    """A connection with a deadline on the loop's clock."""

    deadline_s: float

    def expire(self) -> None: ...


class Sweep:
    """Calls ``expire`` of every member whose deadline has passed."""

    def __init__(self, loop: asyncio.AbstractEventLoop, interval_s: float = 0.5):
        self.members: set[Mortal] = set()
        self._loop, self._interval_s = loop, interval_s
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._timer = self._loop.call_later(self._interval_s, self._look)

    def stop(self) -> None:
        if self._timer:
            self._timer.cancel()

    def _look(self) -> None:
        """A defect of one member is the loop's to tell, and nobody else's deadline waits for it."""
        self.start()
        now = self._loop.time()
        for member in [m for m in self.members if m.deadline_s < now]:
            try:
                member.expire()
            except Exception as error:  # noqa: BLE001 - whatever it is, the loop is told
                self._loop.call_exception_handler({"message": f"{member!r} could not expire", "exception": error})
