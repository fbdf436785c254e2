"""The reference simulator with replicas that start and stop: every feature, in the words of the page."""

from __future__ import annotations

from typing import Any

from tokenworks.control.scaling.autoscale import begin
from tokenworks.control.scaling.capacity import DECODE
from tokenworks.control.scaling.power import grant, least_w, standing_of, watts_of
from tokenworks.control.scaling.seen import Seen
from tokenworks.events.requests import Requests
from tokenworks.physics.worker_model import TICKS_PER_S
from tokenworks.twin import cell as c
from tokenworks.twin.cell import DRAINING, LOADING, OFF, READY, Cell, ScalingPlan, TwinOptions
from tokenworks.twin.reference_features import FeatureReference


class Scaled:
    """A pool that is scaled."""

    def __init__(self, cell: Cell, plan: ScalingPlan):
        service = cell.services[plan.service]
        self.plan, self.memory = plan, begin(plan.rules)
        self.pool = service.decode if plan.rules.role == DECODE else service.prefill or service.workers
        self.every = max(1, round(plan.rules.every_s * TICKS_PER_S))
        self.look = self.every
        self.before = (0, 0, 0, 0)


class ScalingReference(FeatureReference):
    """Workers without a scaling plan are always ready."""

    def __init__(self, cell: Cell, requests: Requests, options: TwinOptions):
        super().__init__(cell, requests, options)
        self.scaled = [Scaled(cell, plan) for plan in cell.scaling]
        self.standing = standing_of([plan.rules.start for plan in cell.scaling])
        self.state = [READY] * len(self.workers)
        self.since = [0] * len(self.workers)  # of the state
        self.off = [0] * len(self.workers)  # ticks off, of spans that are over
        self.seen_off = [0] * len(self.workers)
        self.life: list[tuple[int, int, int]] = []  # (tick, worker, state)
        self.held: list[Any] = []
        self.now = 0
        for scaled in self.scaled:
            for place, w in enumerate(scaled.pool):
                self._set(w, READY if place < scaled.memory.replicas else OFF, 0)

    def _set(self, w: int, state: int, now: int) -> None:
        if self.state[w] == OFF:
            self.off[w] += now - self.since[w]
        self.state[w], self.since[w] = state, now
        self.life.append((now, w, state))
        if state == OFF:
            for rank in self.workers[w].ranks:
                rank.free += self._unit(self.workers[w]) * len(rank.lru[0])
                rank.units, rank.lru = {}, [[], [], [], []]

    def off_until(self, w: int, end: int) -> int:
        """Ticks that a worker has been off by ``end``."""
        return self.off[w] + (end - self.since[w] if self.state[w] == OFF else 0)

    # ------------------------------------------------------------------ events

    def run(self) -> int:
        tick = self.options.control_ticks if self.cell.caps else 0  # of the power caps; 0: there are none
        while True:
            times = [w.end for w in self.workers if w.end is not None] + [m[0] for m in self.moving]
            times += [self.coming[0].arrival] if self.coming else []
            times += [self.now for w in self.workers if w.woken]
            if not times and not self.held:
                break
            scale = min([s.look for s in self.scaled] + self._loaded(), default=None)
            now = min(times + ([tick] if tick else []) + ([] if scale is None else [scale]))
            if self.options.horizon_ticks and now >= self.options.horizon_ticks:
                break
            self.now = now
            if scale == now:
                self._scale(now)
            elif tick == now:
                self._control(tick)
                tick += self.options.control_ticks
            else:
                self.last = now
                self._handle(now)
        return self.options.horizon_ticks or self.last

    def _loaded(self) -> list[int]:
        return [self._ready_at(w) for w, state in enumerate(self.state) if state == LOADING]

    def _ready_at(self, w: int) -> int:
        load: int = round(self.workers[w].model.load_s * TICKS_PER_S)
        return self.since[w] + load

    def _handle(self, now: int) -> None:
        super()._handle(now)
        for w in range(len(self.workers)):
            self._retire(w, now)

    def _retire(self, w: int, now: int) -> None:
        """A draining worker at which nothing is left."""
        moving = any(m[2].place is not None and m[2].place[0] == w for m in self.moving)
        if self.state[w] == DRAINING and not self.workers[w].outstanding and not moving:
            self._set(w, OFF, now)

    def _scale(self, now: int) -> None:
        for scaled in self.scaled:
            if scaled.look == now:
                scaled.look += scaled.every
                self._look(scaled, now)
            for w in scaled.pool:
                if self.state[w] == LOADING and self._ready_at(w) <= now:
                    self._set(w, READY, now)
        for scaled in self.scaled:
            waiting = [r for r in self.held if scaled.plan.rules.role != DECODE and r.service == scaled.plan.service]
            if any(self.state[w] == READY for w in scaled.pool):
                for request in waiting:
                    self.held.remove(request)
                    self.last = now
                    self._send(request, now)

    def _look(self, scaled: Scaled, now: int) -> None:
        rules = scaled.plan.rules
        seen = self._seen(scaled, now)
        scaled.memory = scaled.plan.decide(rules, scaled.memory, seen)
        wanted = min(rules.most, max(rules.least, scaled.memory.replicas, 1 if seen.held else 0))
        if self.cell.budget:
            budget, number = self.cell.budget, self.scaled.index(scaled)
            limit_w = least_w(budget.day, budget.begins_s + seen.now_s, rules.every_s)
            self.standing = grant(budget, self.standing, number, wanted, limit_w, watts_of(budget))
            wanted = self.standing.told[number]
        for place, w in enumerate(scaled.pool):
            if place < wanted:
                changed = {DRAINING: READY, OFF: LOADING}.get(self.state[w])
            else:
                changed = {LOADING: OFF, READY: DRAINING}.get(self.state[w])
            if changed is not None:
                self._set(w, changed, now)
                self._retire(w, now)

    def _seen(self, scaled: Scaled, now: int) -> Seen:
        s, role = scaled.plan.service, scaled.plan.rules.role
        done = [r for r in self.requests if r.service == s and r.status == c.FINISHED]
        counts = (self.arrived[s], len(done), sum(r.prompt for r in done), sum(r.output for r in done))
        fresh = [a - b for a, b in zip(counts, scaled.before, strict=True)]
        scaled.before = counts
        outstanding = sum(self.workers[w].outstanding for w in scaled.pool)
        held = 0 if role == DECODE else sum(r.service == s for r in self.held)
        states = [self.state[w] for w in scaled.pool]
        return Seen._make((now / TICKS_PER_S, *fresh, outstanding, held, states.count(READY), states.count(LOADING)))

    # ------------------------------------------------------------------ routing

    def _waiting(self, s: int) -> int:
        held = [r for r in self.held if r.service == s]
        return int(super()._waiting(s)) + len(held)

    def _send(self, request: Any, now: int) -> None:
        plan = self.cell.services[request.service]
        if all(self.state[w] != READY for w in plan.prefill or plan.workers):
            request.status = c.IN_SYSTEM
            self.held.append(request)
            return
        super()._send(request, now)

    def _takers(self, pool: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(w for w in pool if self.state[w] == READY)

    # ------------------------------------------------------------------ power

    def _idle_ticks(self, w: int, busy: int) -> int:
        off = self.off_until(w, self.now)
        change, self.seen_off[w] = off - self.seen_off[w], off
        return super()._idle_ticks(w, busy) - change
