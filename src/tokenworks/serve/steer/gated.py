"""Replicas that the gateway starts and stops itself: the first so many of a pool are up, by the rules of the twin.

Starting: not routed to until it answers. Stopping: no longer routed to, off when its last request has left, and the last KV
cache that a decode engine fetches from it; taken back before that where it is wanted again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Protocol

from tokenworks.serve.steer.fleet import Counts, FleetError
from tokenworks.serve.upstreams.routing import Router

log = logging.getLogger("tokenworks.serve")
LOOK_S = 0.05  # at a replica that drains
RETRY_S = 5.0  # after a start that failed


class Starter(Protocol):
    """Starts and stops one kind of replica."""

    async def start(self, pool: str, place: int) -> None:
        """Returns when it takes requests; cancelled, it undoes what it began. Raises FleetError."""

    async def stop(self, pool: str, place: int) -> None:
        """Returns when it is gone."""

    def alive(self, pool: str, place: int) -> bool:
        """False where one that was started has died."""


class GatedFleet:
    """Positions are those of the upstreams in a pool's router."""

    def __init__(self, starter: Starter) -> None:
        self._starter = starter
        self._routers: dict[str, Router] = {}
        self._wanted: dict[str, int] = {}
        self._starts: dict[tuple[str, int], asyncio.Task[None]] = {}
        self._stops: dict[tuple[str, int], asyncio.Task[None]] = {}
        self._closing = False
        self._there: set[tuple[str, int]] = set()  # started, and not stopped since

    def add(self, pool: str, router: Router, ready: int = 0) -> None:
        """The first ``ready`` of its replicas are up already."""
        self._routers[pool], self._wanted[pool] = router, ready
        self._there |= {(pool, place) for place in range(ready)}
        for place in range(len(router.up)):
            router.open(place, place < ready)

    async def counts(self, pool: str) -> Counts:
        for key in [k for k in self._there if k[0] == pool and not self._starter.alive(*k)]:
            log.error("%s: replica %d has died", *key)
            self._there.discard(key)
            self._routers[pool].open(key[1], False)
            self._follow(*key)
        loading = sum(name == pool for name, _ in self._starts)
        return Counts(sum(self._routers[pool].up), loading)

    async def scale(self, pool: str, replicas: int) -> None:
        self._wanted[pool] = replicas
        for place in range(len(self._routers[pool].up)):
            self._follow(pool, place)

    def _follow(self, pool: str, place: int) -> None:
        key, router = (pool, place), self._routers[pool]
        loop, wanted = asyncio.get_running_loop(), place < self._wanted[pool]
        if wanted and key in self._there:
            router.open(place, True)
        elif wanted and key not in self._starts and key not in self._stops:
            self._starts[key] = loop.create_task(self._start(pool, place))
        elif not wanted and key in self._starts:
            self._starts[key].cancel()
        elif not wanted and key in self._there:
            router.open(place, False)
            if key not in self._stops:
                self._stops[key] = loop.create_task(self._drain(pool, place))

    async def _start(self, pool: str, place: int) -> None:
        key = (pool, place)
        try:
            await self._starter.start(pool, place)
            self._there.add(key)
        except FleetError as error:
            log.error("%s: replica %d did not start: %s", pool, place, error)
            await asyncio.sleep(RETRY_S)
        except asyncio.CancelledError:
            pass  # not wanted any more; wanted again by now, it is started anew
        finally:
            del self._starts[key]
        self._follow(pool, place)

    async def _drain(self, pool: str, place: int) -> None:
        key, router = (pool, place), self._routers[pool]
        try:
            while router.works_on(place) and not self._closing:
                await asyncio.sleep(LOOK_S)
                if router.up[place]:
                    return
            self._there.discard(key)
            await self._starter.stop(pool, place)
        finally:
            del self._stops[key]
        self._follow(pool, place)

    async def close(self) -> None:
        """All replicas stop, whatever they are at."""
        self._wanted, self._closing = dict.fromkeys(self._wanted, 0), True
        starts, stops = list(self._starts.values()), list(self._stops.values())
        for task in starts:
            task.cancel()
        for task in (*starts, *stops):
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await asyncio.gather(*(self._starter.stop(*key) for key in sorted(self._there)))
        self._there.clear()
