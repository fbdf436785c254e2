"""The reference simulator with prefix caches and tiers, prefill and decode pools, and power caps.

As slow and plain as `reference`: dictionaries and lists, one step at a time, the rules in the words of the page.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tokenworks.control.routing import splitmix64
from tokenworks.events.requests import Requests
from tokenworks.physics.worker_model import StepTable
from tokenworks.twin import cell as c
from tokenworks.twin.cell import Cell, PowerCap, TwinOptions
from tokenworks.twin.reference import FINE, Rank, Reference, Request, Worker, _at


@dataclass(eq=False)
class Unit:
    """Blocks that one hash covers; tier 0 is the device."""

    value: int
    count: int = 1
    tier: int = 0


@dataclass(eq=False)
class Prompt(Request):
    """A request with what its prompt brings and holds."""

    hashes: list[int] = field(default_factory=list)
    pinned: list[Unit] = field(default_factory=list)
    cached: int = -1
    reserved: int = 0
    ready: bool = False  # transferred: decodes without a prefill
    place: tuple[int, CachedRank] | None = None


@dataclass(eq=False)
class CachedRank(Rank):
    units: dict[int, Unit] = field(default_factory=dict)
    lru: list[list[Unit]] = field(default_factory=lambda: [[], [], [], []])  # by tier, oldest first
    reload: int = 0


@dataclass(eq=False)
class LevelWorker(Worker):
    pool: tuple[int, ...] = ()
    prefills_only: bool = False
    woken: bool = False
    level: int = 0
    wanted: int = 0
    reloaded: int = 0
    level_ticks: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    seen: tuple[int, list[int]] = (0, [0, 0, 0, 0])

    @property
    def table(self) -> StepTable:
        return self.model.levels[self.level]


class FeatureReference(Reference):
    """One cell with every feature. Workers, ranks and requests are the richer kinds above: the base class knows them as its own."""

    workers: list[Any]
    requests: list[Any]
    coming: list[Any]
    later: list[Any]

    def __init__(self, cell: Cell, requests: Requests, options: TwinOptions):
        super().__init__(cell, requests, options)
        self.unit_tokens = requests.hash_block_tokens
        self.workers = []
        for m in cell.workers:
            model = cell.models[m]
            self.workers.append(LevelWorker(model, -1, [CachedRank(model.kv_blocks) for _ in range(model.ranks)]))
        for s, plan in enumerate(cell.services):
            for pool, only in ((plan.workers, False), (plan.prefill, True), (plan.decode, False)):
                for w in pool:
                    worker = self.workers[w]
                    worker.service, worker.pool, worker.prefills_only = s, pool, only
        self.turns = {pool: 0 for plan in cell.services for pool in (plan.workers, plan.prefill, plan.decode)}
        self.requests = [self._prompt(requests, i) for i in range(len(requests))]
        self._link(requests)
        self._queue_up()
        self.moving: list[tuple[int, int, Prompt]] = []
        self.owed = [0.0] * len(cell.caps)
        self.last = 0

    @staticmethod
    def _prompt(r: Requests, i: int) -> Prompt:
        columns: Any = (
            r.arrival,
            r.input_tokens,
            r.output_tokens,
            r.service,
            r.session,
            r.priority,
            r.timeout,
            r.think,
        )
        hashes = [int(x) for x in r.block_hash[r.block_start[i] : r.block_start[i + 1]]]
        prompt = Prompt(i, *(int(column[i]) for column in columns))  # type: ignore[arg-type]
        prompt.hashes = hashes
        return prompt

    # ------------------------------------------------------------------ events

    def run(self) -> int:
        tick = self.options.control_ticks if self.cell.caps else None
        while True:
            times = [w.end for w in self.workers if w.end is not None] + [m[0] for m in self.moving]
            times += [self.coming[0].arrival] if self.coming else []
            if not times:
                break
            now = min(times)
            if tick is not None and tick <= now:
                if self.options.horizon_ticks and tick >= self.options.horizon_ticks:
                    break
                self._control(tick)
                tick += self.options.control_ticks
                continue
            if self.options.horizon_ticks and now >= self.options.horizon_ticks:
                break
            self.last = now
            self._handle(now)
        return self.options.horizon_ticks or self.last

    def _handle(self, now: int) -> None:
        for worker in self.workers:
            if worker.end == now:
                self._end_step(worker, now)
                worker.woken = True
        while self.moving and min(self.moving, key=lambda m: m[:2])[0] == now:
            entry = min(self.moving, key=lambda m: m[:2])
            self.moving.remove(entry)
            self._end_transfer(entry[2], now)
        while self.coming and self.coming[0].arrival == now:
            self._arrive(self.coming.pop(0), now)
        for worker in self.workers:
            if worker.woken:
                worker.woken = False
                if worker.end is None:
                    worker.level = worker.wanted
                    self._begin(worker, now)
                if worker.end is None:
                    worker.step = 0

    def _control(self, now: int) -> None:
        """Power caps: mean power of the last interval decides the level of the next steps."""
        joules = [self._spent(w, worker) for w, worker in enumerate(self.workers)]
        down: set[int] = set()
        up: set[int] = set()
        stay: set[int] = set()
        for x, cap in enumerate(self.cell.caps):
            total = 0.0
            for w in cap.workers:
                total += joules[w]
            {1: down, 0: stay, -1: up}[self._side(x, cap, total, now)].update(cap.workers)
        for w, worker in enumerate(self.workers):
            if w in down:
                worker.wanted = min(worker.wanted + 1, len(worker.model.levels) - 1)
            elif w in up and w not in stay:
                worker.wanted = max(worker.wanted - 1, 0)

    def _side(self, x: int, cap: PowerCap, joules: float, now: int) -> int:
        """1 above the limit that holds from now on, −1 well below it and nothing owed, 0 between."""
        watts = cap.watts
        for tick, changed in cap.steps:
            if tick <= now:
                watts = changed
        limit = watts * self.options.control_ticks * 1e-5
        room = limit * cap.raise_below_percent / 100
        owed = min(max(self.owed[x] + (joules - limit), 0.0), limit)
        self.owed[x] = owed
        return 1 if joules > limit else -1 if joules < room and owed == 0.0 else 0

    def _spent(self, w: int, worker: Any) -> float:
        model, (before, ticks) = worker.model, worker.seen
        worker.seen = (worker.joules, list(worker.level_ticks))
        total, busy = float(worker.joules - before), 0
        for k, level in enumerate(model.levels):
            change = worker.level_ticks[k] - ticks[k]
            total += level.active_w * change * 1e-5
            busy += change
        return float(total + model.idle_w * self._idle_ticks(w, busy) * 1e-5)

    def _idle_ticks(self, w: int, busy: int) -> int:
        return self.options.control_ticks - busy

    # ------------------------------------------------------------------ routing

    def _arrive(self, request: Any, now: int) -> None:
        s, plan = request.service, self.cell.services[request.service]
        self.arrived[s] += 1
        if plan.max_waiting and self._waiting(s) >= plan.max_waiting:
            self.rejected_full[s] += 1
            self._lose(request, c.REJECTED_QUEUE_FULL, now)
            return
        request.goal = request.prompt
        self._send(request, now)

    def _send(self, request: Any, now: int) -> None:
        s, plan = request.service, self.cell.services[request.service]
        pool = plan.prefill or plan.workers
        index = self._pick(request, pool, matching=True)
        whole = request.prompt + request.output - 1
        request.reserved = request.prompt if plan.prefill else whole
        if self._too_long(self.workers[index], request.reserved) or (
            plan.decode and request.output > 1 and self._too_long(self._smallest(plan.decode), whole)
        ):
            self.rejected_long[s] += 1
            self._lose(request, c.REJECTED_TOO_LONG, now)
            return
        request.status = c.IN_SYSTEM
        self._join(request, index, pool)

    def _waiting(self, s: int) -> int:
        plan = self.cell.services[s]
        everyone = (*plan.workers, *plan.prefill, *plan.decode)
        return sum(len(rank.queue) for w in everyone for rank in self.workers[w].ranks)

    def _lose(self, request: Any, status: int, now: int) -> None:
        request.status, request.finish = status, now
        self._release(now, request)

    @staticmethod
    def _too_long(worker: Any, tokens: int) -> bool:
        return bool(math.ceil(tokens / worker.model.block_tokens) > worker.model.kv_blocks)

    def _smallest(self, pool: tuple[int, ...]) -> Any:
        return min((self.workers[w] for w in pool), key=lambda w: w.model.kv_blocks * w.model.block_tokens)

    def _join(self, request: Any, index: int, pool: tuple[int, ...]) -> None:
        self.turns[pool] += 1
        worker = self.workers[index]
        rank = min(worker.ranks, key=lambda r: r.outstanding)
        request.worker, request.place = index, (index, rank)
        self._enqueue(rank, request, front=False)
        worker.woken = True

    def _pick(self, request: Any, pool: tuple[int, ...], matching: bool) -> int:
        plan, turn, seed = self.cell.services[request.service], self.turns[pool], self.cell.seed
        pool = self._takers(pool)
        n = len(pool)
        loads = [self.workers[w].outstanding for w in pool]
        if plan.policy == c.ROUND_ROBIN:
            return pool[turn % n]
        if plan.policy == c.RANDOM:
            return pool[int(splitmix64(seed * 0x100000001 + request.number)) % n]
        if plan.policy == c.POWER_OF_TWO:
            a, b = (int(splitmix64(seed * 0x100000001 + 2 * request.number + k)) % n for k in (0, 1))
            return pool[b if loads[b] < loads[a] else a]
        if plan.policy == c.SESSION and request.session >= 0:
            return pool[int(splitmix64(request.session)) % n]
        if plan.policy == c.KV_AWARE and n > 1:
            return min(pool, key=lambda w: (self._kv_cost(request, w, plan.kv_weight_256, matching), pool.index(w)))
        return pool[loads.index(min(loads))]

    def _takers(self, pool: tuple[int, ...]) -> tuple[int, ...]:
        return pool

    def _kv_cost(self, request: Any, w: int, weight: int, matching: bool) -> int:
        worker = self.workers[w]
        tokens = sum(r.prompt + r.output for rank in worker.ranks for r in (*rank.running, *rank.queue))
        cost = 256 * (tokens // worker.model.block_tokens)
        if matching and worker.model.prefix_cache and request.hashes:
            rank = min(worker.ranks, key=lambda r: r.outstanding)
            run = self._run(worker, rank, request)
            cost -= weight * self._unit(worker) * sum(u.tier == 0 for u in run)
        return int(cost)

    def _unit(self, worker: Any) -> int:
        return self.unit_tokens // worker.model.block_tokens if worker.model.prefix_cache and self.unit_tokens else 1

    # ------------------------------------------------------------------ prefix cache

    def _run(self, worker: Any, rank: Any, request: Any) -> list[Unit]:
        """The units at the front of the prompt that are cached: a device run, then tier 1, tier 2 …"""
        run: list[Unit] = []
        if not worker.model.prefix_cache or not request.hashes:
            return run
        for value in request.hashes[: (request.goal - 1) // self.unit_tokens]:
            unit = rank.units.get(value)
            if unit is None or (run and unit.tier < run[-1].tier):
                break
            run.append(unit)
        return run

    def _available(self, worker: Any, rank: Any) -> int:
        return int(rank.free + self._unit(worker) * len(rank.lru[0]))

    def _take(self, worker: Any, rank: Any, blocks: int) -> None:
        rank.free -= blocks
        while rank.free < 0:
            unit = rank.lru[0].pop(0)
            rank.free += self._unit(worker)
            self._demote(worker, rank, unit)

    def _demote(self, worker: Any, rank: Any, unit: Unit) -> None:
        for tier in worker.model.tiers[unit.tier :]:
            unit.tier += 1
            rank.lru[unit.tier].append(unit)
            if len(rank.lru[unit.tier]) <= tier.capacity_blocks // self._unit(worker):
                return
            unit = rank.lru[unit.tier].pop(0)
        del rank.units[unit.value]

    def _pin(self, worker: Any, rank: Any, request: Any, run: list[Unit]) -> None:
        for unit in run:
            if unit.tier:
                rank.reload += worker.model.tiers[unit.tier - 1].ticks_per_block * self._unit(worker)
                rank.lru[unit.tier].remove(unit)
                unit.tier = 0
            elif unit.count == 0:
                rank.lru[0].remove(unit)
            unit.count += 1
        request.pinned = list(run)

    def _publish(self, worker: Any, rank: Any, request: Any) -> None:
        if not worker.model.prefix_cache:
            return
        for value in request.hashes[len(request.pinned) :] if request.hashes else []:
            unit = rank.units.get(value)
            if unit is not None and unit.tier == 0:
                continue
            if unit is None:
                unit = rank.units[value] = Unit(value)
            else:
                rank.lru[unit.tier].remove(unit)
                unit.tier, unit.count = 0, 1
            request.pinned.append(unit)
            request.held -= self._unit(worker)

    def _free(self, rank: Any, request: Any) -> None:
        rank.free += request.held
        request.held = 0
        for unit in reversed(request.pinned):
            unit.count -= 1
            if unit.count == 0:
                rank.lru[0].append(unit)
        request.pinned = []

    # ------------------------------------------------------------------ a step

    def _begin(self, worker: Any, now: int) -> None:
        for rank in worker.ranks:
            rank.reload = 0
        super()._begin(worker, now)

    def _decode_blocks(self, worker: Any, rank: Any) -> bool:
        hit = False
        if worker.model.reserve_output:
            return False
        for request in list(rank.running):
            if request not in rank.running or not request.decoding:
                continue
            after = math.ceil((request.stored + self._growth(request)) / worker.model.block_tokens)
            need = after - request.held - self._unit(worker) * len(request.pinned)
            while need > self._available(worker, rank):
                hit = True
                victim = rank.running.pop()
                self._free(rank, victim)
                victim.stored, victim.chunk, victim.ready = 0, 0, False
                victim.goal = victim.prompt + victim.produced
                victim.preemptions += 1
                self._enqueue(rank, victim, front=True)
                if victim is request:
                    break
            if request in rank.running and need > 0:
                request.held += need
                self._take(worker, rank, need)
        return hit

    def _admit(self, worker: Any, rank: Any, room: int, tokens: int, now: int, seen: int) -> int:
        model, unit = worker.model, self._unit(worker)
        while len(rank.running) < model.max_seqs and room > tokens:
            while rank.queue and rank.queue[0].arrival <= seen and self._expired(rank.queue[0], now):
                lost = rank.queue.pop(0)
                self.timed_out[lost.service] += 1
                self._lose(lost, c.TIMED_OUT, now)
            if not rank.queue or rank.queue[0].arrival > seen:
                break
            request = rank.queue[0]
            run = [] if request.ready else self._run(worker, rank, request)
            device = [u for u in run if u.tier == 0]
            if request.ready:
                self._stretch(request, model.tokens_per_step)
            wanted = request.goal + (self._growth(request) if request.ready else 0)
            need = math.ceil((request.reserved if model.reserve_output else wanted) / model.block_tokens)
            if need - unit * len(device) > self._available(worker, rank) - unit * sum(u.count == 0 for u in device):
                break
            left = request.goal - len(run) * self.unit_tokens
            if not request.ready and not model.chunked_prefill and left > room - tokens and tokens > 0:
                break
            rank.queue.pop(0)
            self._pin(worker, rank, request, run)
            self._take(worker, rank, need - unit * len(device))
            request.held = need - unit * len(run)
            rank.running.append(request)
            if request.ready:
                room -= not model.prefill_alone
                continue
            request.stored = len(run) * self.unit_tokens
            request.cached = request.stored if request.cached < 0 else request.cached
            request.chunk = min(left, room - tokens) if model.chunked_prefill else left
            tokens += request.chunk
        return tokens

    def _cost(self, worker: Any, mixed: bool) -> None:
        table = worker.table
        lines = table.decode.shape[0]
        worst, total, joules = [0] * lines, 0, 0
        for rank in worker.ranks:
            n, tokens, samples, q, s = self._census(worker.model, rank, mixed)
            count = tokens if mixed else n
            total += count
            if not count:
                continue
            joules += sum(int(a) * b for a, b in zip(table.joule_context, s, strict=True)) + sum(
                int(a) * b for a, b in zip(table.joule_pair, q, strict=True)
            )
            joules += (
                _at(table.joule_mixed, count) + _at(table.joule_seqs, samples) if mixed else int(table.joule_decode[n])
            )
            for x in range(lines):
                own = sum(int(a) * b for a, b in zip(table.context[x], s, strict=True))
                own += sum(int(a) * b for a, b in zip(table.pair[x], q, strict=True))
                own += _at(table.mixed[x], count) + _at(table.seqs[x], samples) if mixed else int(table.decode[x][n])
                worst[x] = max(worst[x], own + rank.reload * FINE)
        shared = table.shared_mixed if mixed else table.shared_decode
        worker.fine = max(worst[x] + _at(shared[x], total) for x in range(lines))
        worker.joule_fine = joules + _at(table.joule_shared_mixed if mixed else table.joule_shared_decode, total)

    # ------------------------------------------------------------------ end of a step

    def _end_step(self, worker: Any, now: int) -> None:
        worker.level_ticks[worker.level] += (worker.carry + worker.fine) >> 20
        worker.reloaded += sum(rank.reload for rank in worker.ranks)
        super()._end_step(worker, now)

    def _prefilled(self, worker: Any, rank: Any, r: Any, now: int) -> None:
        self._publish(worker, rank, r)
        if worker.prefills_only and r.steps:
            rank.running.remove(r)
            model = worker.model
            arrives = now + model.transfer_latency_ticks + r.prompt * model.transfer_ticks_per_token
            self.moving.append((arrives, r.number, r))
        else:
            super()._prefilled(worker, rank, r, now)

    def _leave_if_done(self, worker: Any, rank: Any, r: Any, now: int) -> None:
        if r.done < r.steps:
            return
        rank.running.remove(r)
        self._free(rank, r)
        r.finish, r.status = now, c.FINISHED
        self._release(now, r)

    def _end_transfer(self, request: Any, now: int) -> None:
        """Blocks of the prefill worker are freed; the request decodes elsewhere."""
        assert request.place is not None
        index, rank = request.place
        self._free(rank, request)
        self.workers[index].woken = True
        pool = self.cell.services[request.service].decode
        request.ready, request.goal, request.stored = True, request.prompt, request.prompt
        request.reserved = request.prompt + request.output - 1
        self._join(request, self._pick(request, pool, matching=False), pool)


def latencies_of(requests: list[Prompt]) -> np.ndarray:
    """(first token, finish, status, produced, cached, preemptions, worker) per request."""
    rows = [(r.first, r.finish, r.status, r.produced, max(0, r.cached), r.preemptions, r.worker) for r in requests]
    return np.array(rows, np.int64)
