"""How late the generator's own loop is: a beat that should come every 10 ms, and when it came."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType

BEAT_S = 0.01


class Pulse:
    """Beats while it is entered; ``each`` is called with every beat."""

    def __init__(self, loop: asyncio.AbstractEventLoop, each: Callable[[], object]):
        self._loop, self._each, self._due_s = loop, each, 0.0
        self._handle: asyncio.TimerHandle | None = None
        self.lags_s = list[float]()

    def __enter__(self) -> None:
        self._next()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._handle is not None:
            self._handle.cancel()

    def _next(self) -> None:
        self._due_s = self._loop.time() + BEAT_S
        self._handle = self._loop.call_at(self._due_s, self._beat)

    def _beat(self) -> None:
        self.lags_s.append(max(0.0, self._loop.time() - self._due_s))
        self._each()
        self._next()
