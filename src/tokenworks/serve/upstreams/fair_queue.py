"""Requests that wait for a place at full upstreams: tenants share by weight, each one's own come by priority, then arrival.

Self-clocked fair queueing (Golestani 1994) with a request as the unit: a tenant's next request gets the finish time
max(now, its last one) + 1 / weight in virtual time, the least is served, and virtual time is the finish time of the one in
service. A tenant that was away gains no credit, one that floods delays only itself.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tokenworks.serve.http.request import Refused

SMOOTH = 0.1  # weight of the latest pause between two places in their mean
FULL_RETRY_S = 1.0


@dataclass(frozen=True)
class QueueRules:
    most: int = 1000  # requests that wait
    longest_s: float = 10.0  # that one may have to wait
    weights: Mapping[str, float] = field(default_factory=dict)  # by tenant; 1 where none is stated


@dataclass(slots=True)
class Waiting:
    """One request. ``start`` takes a place for it: False where there is none after all; what it raises is that request's own
    trouble, of which its caller has heard. ``refuse`` ends it."""

    tenant: str
    start: Callable[[], bool]
    refuse: Callable[[Refused], None]
    timer: asyncio.TimerHandle | None = None
    gone: bool = False


class _Line:
    """One tenant's."""

    __slots__ = ("finish", "heap", "weight")

    def __init__(self, weight: float):
        self.weight, self.finish = weight, 0.0
        self.heap: list[tuple[int, int, Waiting]] = []


class FairQueue:
    """In front of one service's upstreams. Refuses who would have to wait longer than the rules allow."""

    def __init__(self, service: str, rules: QueueRules, loop: asyncio.AbstractEventLoop | None = None):
        self._service, self.rules, self._given_loop = service, rules, loop
        self._lines: dict[str, _Line] = {}
        self._number = 0
        self._virtual = 0.0
        self._pause_s: float | None = None  # mean time between two places
        self._last_s = 0.0  # when the latest place was given, or the first of those who wait came
        self._pumping = False
        self.length = 0

    @property
    def _loop(self) -> asyncio.AbstractEventLoop:
        return self._given_loop or asyncio.get_running_loop()

    def enter(
        self, tenant: str, priority: int, start: Callable[[], bool], refuse: Callable[[Refused], None]
    ) -> Waiting:
        """``priority``: the greater, the sooner among the tenant's own. Raises Refused: 429 where the queue is full or too
        slow, with the time after which it would not be."""
        rules, line = self.rules, self._lines.get(tenant) or _Line(self.rules.weights.get(tenant, 1.0))
        wait_s = self.expected_s(tenant)
        if self.length >= rules.most:
            raise self._refused("the queue is full", wait_s)
        if wait_s > rules.longest_s and self.length:  # of an old pace only one who waits can teach another
            raise self._refused(
                f"about {wait_s:.1f} s to wait, {rules.longest_s:g} s is the limit", wait_s - rules.longest_s
            )
        waiting = Waiting(tenant, start, refuse)
        waiting.timer = self._loop.call_later(rules.longest_s, self._late, waiting)
        if not line.heap:
            line.finish = max(self._virtual, line.finish) + 1 / line.weight
        if not self.length:
            self._last_s = self._loop.time()
        self._lines[tenant] = line
        self._number += 1
        heapq.heappush(line.heap, (-priority, self._number, waiting))
        self.length += 1
        return waiting

    def _refused(self, why: str, again_s: float) -> Refused:
        return Refused(429, "busy", f"{self._service}: {why}", retry_after_s=max(FULL_RETRY_S, again_s))

    def expected_s(self, tenant: str) -> float:
        """How long a request of this tenant that enters now will wait, at the pace of late: all others' that its weight lets
        come before it, and its own."""
        if self._pause_s is None:
            return 0.0
        line = self._lines.get(tenant)
        weight = line.weight if line else self.rules.weights.get(tenant, 1.0)
        own = len(line.heap) + 1 if line else 1
        others = (x for name, x in self._lines.items() if name != tenant)
        before = sum(min(len(x.heap), own * x.weight / weight) for x in others)
        return (own + before) * self._pause_s

    def _late(self, waiting: Waiting) -> None:
        if not waiting.gone:
            self.leave(waiting)
            waiting.refuse(self._refused("no place became free in time", self._pause_s or FULL_RETRY_S))

    def leave(self, waiting: Waiting) -> None:
        """Its caller has gone, or waits no longer."""
        if waiting.gone:
            return
        line = self._lines[waiting.tenant]
        line.heap = [entry for entry in line.heap if entry[2] is not waiting]
        heapq.heapify(line.heap)
        self._end(waiting)

    def _end(self, waiting: Waiting) -> None:
        waiting.gone = True
        self.length -= 1
        if waiting.timer:
            waiting.timer.cancel()
        if not self.length:  # nobody waits: nobody is owed anything
            self._lines.clear()
            self._virtual = 0.0

    def freed(self) -> None:
        """A place may be free: looked at when the present callbacks are through."""
        if self.length and not self._pumping:
            self._pumping = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        self._pumping = False
        while self.length:
            line = min((x for x in self._lines.values() if x.heap), key=lambda x: x.finish)
            entry, finish = heapq.heappop(line.heap), line.finish  # while it starts others may enter this line
            if not self._started(entry[2]):
                heapq.heappush(line.heap, entry)
                return
            self._virtual, line.finish = finish, finish + 1 / line.weight
            self._measure()
            self._end(entry[2])

    def _started(self, waiting: Waiting) -> bool:
        """Whether it needs the queue no more. One that raises does not: those behind it are served."""
        try:
            return waiting.start()
        except Exception as error:  # noqa: BLE001 - handed on to the loop
            said = f"{self._service}: a call could not be started from the queue"
            self._loop.call_exception_handler({"message": said, "exception": error})
            return True

    def _measure(self) -> None:
        now = self._loop.time()
        pause, self._last_s = now - self._last_s, now
        self._pause_s = pause if self._pause_s is None else (1 - SMOOTH) * self._pause_s + SMOOTH * pause
