"""The loop: looks at the gateway's own arrivals and loads, decides as the twin does, tells the fleet."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from tokenworks.control.scaling.autoscale import Memory, Rules, begin, decide
from tokenworks.control.scaling.capacity import DECODE, PREFILL, SERVE
from tokenworks.control.scaling.seen import Seen
from tokenworks.serve.steer.fleet import Counts, Fleet, FleetError
from tokenworks.serve.steer.supply import Supply
from tokenworks.serve.upstreams.fed import Fed
from tokenworks.serve.upstreams.served import Served
from tokenworks.spec.fleet import pool_name

log = logging.getLogger("tokenworks.serve")
ROLE = {SERVE: None, PREFILL: "prefill", DECODE: "decode"}


class Pilot:
    """Steers a service, or the pool of it that the rules are for. ``speed``: of emulated time, in which the rules are written.
    ``supply``: what power is there."""

    def __init__(
        self,
        served: Served,
        rules: Rules,
        fleet: Fleet,
        speed: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
        supply: Supply | None = None,
    ):
        self.served, self.rules, self._fleet, self._speed, self._clock = served, rules, fleet, speed, clock
        self.memory: Memory = begin(rules)
        self._supply = supply
        role = ROLE[rules.role]
        self.pool, self._router = pool_name(served.name, role), served.pool(role)
        self._noted = served.fed.setdefault(role or "", Fed())
        self._began_s = clock()
        self._counts = self._counted()
        self._refused = 0
        self._told = -1  # replicas that the fleet took notice of
        self._router.starts_s = max(1.0, rules.load_s / speed)

    async def run(self) -> None:
        """Until cancelled. A look that comes late is not made up for."""
        await self._tell(self._fed(self.rules.start, 0.0))
        every_s = self.rules.every_s / self._speed
        due_s = self._clock()
        while True:
            due_s = max(due_s + every_s, self._clock())
            await asyncio.sleep(due_s - self._clock())
            await self.look()

    async def look(self) -> None:
        """One look, one decision. What the fleet cannot do now, or somebody else has undone, is asked for again at the next."""
        try:
            counts = await self._fleet.counts(self.pool)
        except FleetError as error:
            log.error("%s: its replicas cannot be counted: %s", self.pool, error)
            return
        seen = self.seen(counts)
        self.memory = decide(self.rules, self.memory, seen)
        replicas = self._fed(self.memory.replicas, seen.now_s)
        if replicas != self._told or sum(counts) != self._told:
            await self._tell(replicas)

    def _fed(self, wanted: int, now_s: float) -> int:
        """Of the replicas that are wanted, those that the power budget feeds until the next look."""
        if self._supply is None:
            return wanted
        name, supply = self.pool, self._supply
        supply.measure(name, self._router)
        granted = supply.grant(name, wanted, now_s, self.rules.every_s)
        budget_w = supply.limit_w(now_s, self.rules.every_s)
        self._noted.note(wanted, granted, budget_w, supply.replica_w(name))
        return granted

    async def _tell(self, replicas: int) -> None:
        try:
            await self._fleet.scale(self.pool, replicas)
        except FleetError as error:
            log.error("%s: cannot be scaled to %d replicas: %s", self.pool, replicas, error)
            return
        self._told = replicas

    def seen(self, counts: Counts) -> Seen:
        """What has happened since the look before. Callers who found no replica up come back: they count as held, where the
        pool is the one that they come to."""
        router, before = self._router, self._counts
        self._counts = self._counted()
        fresh = [now - then for now, then in zip(self._counts, before, strict=True)]
        refused = 0 if self.rules.role == DECODE else router.refused
        held, self._refused = refused - self._refused, refused
        now_s = (self._clock() - self._began_s) * self._speed
        return Seen._make((now_s, *fresh, sum(router.outstanding), held, counts.ready, counts.loading))

    def _counted(self) -> tuple[int, int, int, int]:
        """Of the service, whichever pool it is: requests come to the first one."""
        metrics = self.served.metrics
        return (
            self.served.routers[0].arrived, metrics.answers.get(200, 0), metrics.tokens["input"], metrics.tokens["output"],
        )  # fmt: skip
