"""Emulated replicas: a start takes what the worker model says, in emulated time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping


class EmulatedStarter:
    """``load_s``: of each service's replicas."""

    def __init__(self, load_s: Mapping[str, float], speed: float):
        self._load_s, self._speed = load_s, speed

    async def start(self, service: str, place: int) -> None:
        await asyncio.sleep(self._load_s[service] / self._speed)

    async def stop(self, service: str, place: int) -> None: ...

    def alive(self, service: str, place: int) -> bool:
        return True
