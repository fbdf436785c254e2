"""Emulated replicas: a start takes what the worker model says, in emulated time; one that is gone draws nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

Switches = Mapping[tuple[str, int], Callable[[bool], None]]  # by service and place


class EmulatedStarter:
    """``load_s``: of each service's replicas. As in the twin, a replica that loads draws what an idle one does."""

    def __init__(self, load_s: Mapping[str, float], speed: float, switches: Switches):
        self._load_s, self._speed, self._switches = load_s, speed, switches

    async def start(self, service: str, place: int) -> None:
        self._switches[service, place](True)
        try:
            await asyncio.sleep(self._load_s[service] / self._speed)
        except asyncio.CancelledError:
            self._switches[service, place](False)
            raise

    async def stop(self, service: str, place: int) -> None:
        self._switches[service, place](False)

    def alive(self, service: str, place: int) -> bool:
        return True
