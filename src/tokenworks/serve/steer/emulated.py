"""Emulated replicas: a start takes what the worker model says, in emulated time; one that is gone draws nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

Switches = Mapping[tuple[str, int], Callable[[bool], None]]  # by pool and place


class EmulatedStarter:
    """``load_s``: of each pool's replicas. As in the twin, a replica that loads draws what an idle one does."""

    def __init__(self, load_s: Mapping[str, float], speed: float, switches: Switches):
        self._load_s, self._speed, self._switches = load_s, speed, switches

    async def start(self, pool: str, place: int) -> None:
        self._switches[pool, place](True)
        try:
            await asyncio.sleep(self._load_s[pool] / self._speed)
        except asyncio.CancelledError:
            self._switches[pool, place](False)
            raise

    async def stop(self, pool: str, place: int) -> None:
        self._switches[pool, place](False)

    def alive(self, pool: str, place: int) -> bool:
        return True
