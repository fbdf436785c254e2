"""Replicas start and stop: at looks their policy says how many, between looks those that have loaded take requests."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tokenworks.control import tournament
from tokenworks.control.scaling.autoscale import begin
from tokenworks.control.scaling.capacity import DECODE
from tokenworks.control.scaling.power import grant, least_w, standing_of, watts_of
from tokenworks.control.scaling.seen import Seen
from tokenworks.errors import InputError
from tokenworks.physics.worker_model import TICKS_PER_S
from tokenworks.twin import columns as c
from tokenworks.twin.cell import DRAINING, KV_AWARE, LOADING, OFF, READY, Cell, ScalingPlan
from tokenworks.twin.layout import Pools
from tokenworks.twin.leaving import KV_SCALE
from tokenworks.twin.life import Life
from tokenworks.twin.memory import Books, State

COUNTED = (c.ARRIVED, c.FINISHED_S, c.INPUT_S, c.ASKED_S)


class Scaler:
    """Between two runs of the kernel it looks at its arrays and changes who takes requests."""

    def __init__(self, cell: Cell, st: State, pools: Pools, books: Books):
        """Raises InputError for numbers of replicas that a pool cannot have."""
        self._cell, self._st, self._pools, self._books = cell, st, pools, books
        self._life = Life()
        self._parts = [_Pool(cell, plan, pools, books) for plan in cell.scaling]
        self._standing = standing_of([plan.rules.start for plan in cell.scaling])
        for part in self._parts:
            for place, w in enumerate(part.workers):
                up = place < part.memory.replicas
                st.worker[w, c.LIFE], st.worker[w, c.OFF_SINCE] = (READY, -1) if up else (OFF, 0)
                self._life.write(0, w, READY if up else OFF)
            self._gather(part)

    @property
    def next_tick(self) -> int:
        """When the next look is due, or the next replica has loaded."""
        return min((tick for part in self._parts for tick in (part.look, *part.loaded.values())), default=c.NEVER)

    def act(self, now: int) -> Iterator[int]:
        """Looks that are due, then replicas that have loaded. Yields the workers that are to go: each is off at once where
        nothing is left at it."""
        for part in self._parts:
            if part.look == now:
                part.look += part.every
                yield from self._follow(part, now)
            for w in [w for w, tick in part.loaded.items() if tick <= now]:
                del part.loaded[w]
                self._become(w, READY, now)
            self._gather(part)

    def open_pools(self) -> Iterator[int]:
        """Pools that take requests and have some waiting at the router."""
        for part in self._parts:
            row = self._pools.pool[part.pool]
            if row[c.POOL_COUNT] and row[c.HELD_HEAD] >= 0:
                yield part.pool

    def finish(self, end: int) -> Life:
        """The run ended at ``end``: who is off was off until then."""
        for part in self._parts:
            for w in part.workers:
                self._end_off(w, end)
        return self._life

    def _follow(self, part: _Pool, now: int) -> Iterator[int]:
        """The first workers of the pool are to be up, the others to go."""
        seen = self._seen(part, now)
        wanted = self._fed(part, part.wanted(seen), seen.now_s)
        for place, w in enumerate(part.workers):
            state = self._st.worker[w, c.LIFE]
            if place < wanted and state == DRAINING:
                self._become(w, READY, now)
            elif place < wanted and state == OFF:
                self._end_off(w, now)
                self._become(w, LOADING, now)
                part.loaded[w] = now + part.load[place]
            elif place >= wanted and state == LOADING:
                del part.loaded[w]
                self._become(w, OFF, now)
                self._st.worker[w, c.OFF_SINCE] = now
            elif place >= wanted and state == READY:
                self._become(w, DRAINING, now)
                yield w

    def _fed(self, part: _Pool, wanted: int, now_s: float) -> int:
        """Of the replicas that a pool wants, those that the power budget feeds until its next look."""
        budget = self._cell.budget
        if budget is None:
            return wanted
        number = self._parts.index(part)
        limit_w = least_w(budget.day, budget.begins_s + now_s, self._cell.scaling[number].rules.every_s)
        self._standing = grant(budget, self._standing, number, wanted, limit_w, watts_of(budget))
        return self._standing.told[number]

    def _become(self, w: int, state: int, now: int) -> None:
        self._st.worker[w, c.LIFE] = state
        if state != OFF:
            self._life.write(now, w, state)

    def _end_off(self, w: int, now: int) -> None:
        row = self._st.worker[w]
        if row[c.OFF_SINCE] >= 0:
            self._life.was_off(w, int(row[c.OFF_SINCE]), now)
            row[c.OFF_TICKS] += now - row[c.OFF_SINCE]
            row[c.OFF_SINCE] = -1

    def _seen(self, part: _Pool, now: int) -> Seen:
        rows, service = self._st.worker[part.workers], self._books.service[part.service]
        counts = service[list(COUNTED)]
        fresh, part.counts = counts - part.counts, counts
        held = 0 if part.role == DECODE else int(service[c.HELD_S])
        ready, loading = (int((rows[:, c.LIFE] == state).sum()) for state in (READY, LOADING))
        outstanding = int(rows[:, c.OUTSTANDING].sum())
        return Seen._make((now / TICKS_PER_S, *fresh.tolist(), outstanding, held, ready, loading))

    def _gather(self, part: _Pool) -> None:
        """The pool anew: those that take requests first, in the order of the pool."""
        pools, worker = self._pools, self._st.worker
        row = pools.pool[part.pool]
        ready = [w for w in part.workers if worker[w, c.LIFE] == READY]
        order = ready + [w for w in part.workers if worker[w, c.LIFE] != READY]
        start = int(row[c.POOL_START])
        place = slice(start, start + len(ready))
        pools.member[start : start + len(order)] = order
        pools.block[start : start + len(order)] = [self._cell.models[self._cell.workers[w]].block_tokens for w in order]
        blocks = KV_SCALE * (worker[ready, c.OUT_TOKENS] // pools.block[place])
        pools.load[place] = blocks if row[c.POLICY] == KV_AWARE else worker[ready, c.OUTSTANDING]
        row[c.POOL_COUNT] = len(ready)
        worker[order, c.PLACE] = -1
        worker[ready, c.PLACE] = np.arange(len(ready))
        tournament.rebuild(pools.tree[row[c.TREE_START] : row[c.TREE_END]], pools.load[place])


class _Pool:
    """A pool that is scaled, and what its policy carries from look to look."""

    def __init__(self, cell: Cell, plan: ScalingPlan, pools: Pools, books: Books):
        rules, service = plan.rules, cell.services[plan.service]
        self.service, self.role, self._plan = plan.service, rules.role, plan
        self.pool = int(books.service[plan.service, c.POOL_B if rules.role == DECODE else c.POOL_A])
        self.workers = [*cell.pool(plan)]
        fewest = 1 if rules.role == DECODE else 0
        if not fewest <= rules.least <= rules.start <= rules.most <= len(self.workers) or not rules.most:
            raise InputError(
                f"service {service.name}: replicas from {rules.least} to {rules.most}, {rules.start} at the start, do not fit "
                f"a pool of {len(self.workers)} workers (a decode pool keeps one)"
            )
        self.every = max(1, round(rules.every_s * TICKS_PER_S))
        self.load = [round(cell.models[cell.workers[w]].load_s * TICKS_PER_S) for w in self.workers]
        self.look, self.memory, self.counts = self.every, begin(rules), np.zeros(len(COUNTED), np.int64)
        self.loaded: dict[int, int] = {}  # tick by worker that loads

    def wanted(self, seen: Seen) -> int:
        """What the policy says, within its bounds; requests that wait at the router get a replica."""
        self.memory = self._plan.decide(self._plan.rules, self.memory, seen)
        rules = self._plan.rules
        return min(rules.most, max(rules.least, int(self.memory.replicas), int(seen.held > 0)))
