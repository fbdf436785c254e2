"""The slow, obviously correct simulator that the kernel must equal: docs/decisions/0002, one step at a time.

Plain Python integers, lists and loops; no leaps, no numba, no shared code with the kernel but the routing functions
(which are themselves the contract) and the histogram edges.
"""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass, field

import numpy as np

from tokenworks.control.routing import splitmix64
from tokenworks.events.requests import Requests
from tokenworks.physics.worker_model import WorkerModel
from tokenworks.twin import cell as c
from tokenworks.twin.cell import Cell, TwinOptions
from tokenworks.twin.statistics import BINS, EDGES

FINE = 1 << 20


@dataclass
class Request:
    number: int
    arrival: int
    prompt: int
    output: int
    service: int
    session: int
    priority: int
    timeout: int
    think: int
    goal: int = 0
    stored: int = 0
    produced: int = 0
    before: int = 0
    steps: int = 0
    done: int = 0
    held: int = 0
    chunk: int = 0
    first: int = -1
    finish: int = -1
    status: int = c.WAITING
    preemptions: int = 0
    worker: int = -1
    missing: int = 0  # predecessors that have not left
    followers: list[int] = field(default_factory=list)

    @property
    def decoding(self) -> bool:
        return self.stored >= self.goal


@dataclass
class Rank:
    free: int
    running: list[Request] = field(default_factory=list)
    queue: list[Request] = field(default_factory=list)

    @property
    def outstanding(self) -> int:
        return len(self.running) + len(self.queue)


@dataclass
class Worker:
    model: WorkerModel
    service: int
    ranks: list[Rank]
    carry: int = 0
    joule_carry: int = 0
    end: int | None = None  # tick at which the present step ends
    start: int = 0
    fine: int = 0
    joule_fine: int = 0
    mixed: bool = False
    step: int = 0
    steps: int = 0
    decode_steps: int = 0
    busy: int = 0
    joules: int = 0
    prefill_tokens: int = 0
    decode_tokens: int = 0
    batch_steps: int = 0

    @property
    def outstanding(self) -> int:
        return sum(rank.outstanding for rank in self.ranks)


class Reference:
    """One cell with all its requests; ``run`` plays it to the end."""

    def __init__(self, cell: Cell, requests: Requests, options: TwinOptions):
        self.cell, self.options = cell, options
        owner = {w: s for s, plan in enumerate(cell.services) for w in plan.workers}
        self.workers = [
            Worker(
                cell.models[m],
                owner.get(i, -1),
                [Rank(cell.models[m].kv_blocks) for _ in range(cell.models[m].ranks)],
            )
            for i, m in enumerate(cell.workers)
        ]
        self.requests = [self._request(requests, i) for i in range(len(requests))]
        self._link(requests)
        self.turn = [0] * len(cell.services)
        self.rejected_full = [0] * len(cell.services)
        self.rejected_long = [0] * len(cell.services)
        self.timed_out = [0] * len(cell.services)
        self.arrived = [0] * len(cell.services)
        self._queue_up()

    def _queue_up(self) -> None:
        """Who comes by the clock, by (time, number), and who waits for a completion."""
        known = self.options.clients or len(self.requests)
        first = [r for r in self.requests[:known] if not r.missing]
        self.coming = sorted(first, key=lambda r: (r.arrival, r.number))
        self.later = self.requests[known:]

    def _link(self, requests: Requests) -> None:
        """Who waits for whom."""
        for i in range(max(0, len(requests.after_start) - 1)):
            for before in requests.after[requests.after_start[i] : requests.after_start[i + 1]]:
                self.requests[i].missing += 1
                self.requests[int(before)].followers.append(i)

    @staticmethod
    def _request(r: Requests, i: int) -> Request:
        columns = (
            r.arrival,
            r.input_tokens,
            r.output_tokens,
            r.service,
            r.session,
            r.priority,
            r.timeout,
            r.think,
        )
        return Request(i, *(int(column[i]) for column in columns))  # type: ignore[arg-type]

    # ------------------------------------------------------------------ events

    def run(self) -> int:
        """Returns the tick of the last event (or the horizon)."""
        now = 0
        while True:
            ends = [w.end for w in self.workers if w.end is not None]
            arrivals = [self.coming[0].arrival] if self.coming else []
            if not ends + arrivals:
                break
            tick = min(ends + arrivals)
            if self.options.horizon_ticks and tick >= self.options.horizon_ticks:
                break
            now = tick
            self._handle(now)
        return self.options.horizon_ticks or now

    def _handle(self, now: int) -> None:
        for worker in self.workers:
            if worker.end == now:
                self._end_step(worker, now)
        while self.coming and self.coming[0].arrival == now:
            self._arrive(self.coming.pop(0), now)
        for worker in self.workers:
            if worker.end is None and worker.outstanding:
                self._begin(worker, now)
            if worker.end is None:
                worker.step = 0

    def _release(self, now: int, left: Request) -> None:
        """Closed loop: one completion lets the next request come. Linked ones come when all before them have left."""
        if self.later:
            request = self.later.pop(0)
            request.arrival = now + request.think
            bisect.insort(self.coming, request, key=lambda r: (r.arrival, r.number))
        for i in left.followers:
            request = self.requests[i]
            request.missing -= 1
            if not request.missing:
                request.arrival = max(request.arrival, now + request.think)
                bisect.insort(self.coming, request, key=lambda r: (r.arrival, r.number))

    def _arrive(self, request: Request, now: int) -> None:
        plan = self.cell.services[request.service]
        self.arrived[request.service] += 1
        waiting = sum(len(rank.queue) for w in plan.workers for rank in self.workers[w].ranks)
        if plan.max_waiting and waiting >= plan.max_waiting:
            request.status, request.finish = c.REJECTED_QUEUE_FULL, now
            self.rejected_full[request.service] += 1
            self._release(now, request)
            return
        index = plan.workers[self._route(request)]
        worker = self.workers[index]
        blocks = math.ceil((request.prompt + request.output - 1) / worker.model.block_tokens)
        if blocks > worker.model.kv_blocks:
            request.status, request.finish = c.REJECTED_TOO_LONG, now
            self.rejected_long[request.service] += 1
            self._release(now, request)
            return
        self.turn[request.service] += 1
        request.status, request.worker, request.goal = c.IN_SYSTEM, index, request.prompt
        rank = min(worker.ranks, key=lambda r: r.outstanding)
        self._enqueue(rank, request, front=False)

    def _enqueue(self, rank: Rank, request: Request, front: bool) -> None:
        """Queue order: priority; within it preempted first (the last one preempted before others), then arrival."""
        place = 0
        for place, other in enumerate([*rank.queue, None]):  # noqa: B007
            if other is None or other.priority > request.priority or (front and other.priority == request.priority):
                break
        rank.queue.insert(place, request)

    def _route(self, request: Request) -> int:
        plan = self.cell.services[request.service]
        loads = [self.workers[w].outstanding for w in plan.workers]
        n, seed, policy = len(loads), self.cell.seed, plan.policy
        if policy == c.ROUND_ROBIN:
            return self.turn[request.service] % n
        if policy == c.RANDOM:
            return int(splitmix64(seed * 0x100000001 + request.number)) % n
        if policy == c.POWER_OF_TWO:
            a = int(splitmix64(seed * 0x100000001 + 2 * request.number)) % n
            b = int(splitmix64(seed * 0x100000001 + 2 * request.number + 1)) % n
            return b if loads[b] < loads[a] else a
        if policy == c.SESSION and request.session >= 0:
            return int(splitmix64(request.session)) % n
        return loads.index(min(loads))

    # ------------------------------------------------------------------ a step

    def _begin(self, worker: Worker, now: int) -> None:
        model = worker.model
        running = sum(r.decoding for rank in worker.ranks for r in rank.running)
        look = model.receive_interval <= 1 or running == 0 or worker.step % model.receive_interval == 0
        ahead = model.plans_ahead and any(rank.running for rank in worker.ranks)
        seen = worker.start if ahead else now
        tokens = 0
        for rank in worker.ranks:
            hit, room = False, model.token_budget
            if not model.prefill_alone:
                hit = self._decode_blocks(worker, rank)
                room -= sum(r.decoding for r in rank.running)
            chunk = self._running_prefills(rank, room)
            if look and not hit:
                chunk = self._admit(worker, rank, room, chunk, now, seen)
            tokens += chunk
        if model.prefill_alone and tokens == 0:
            for rank in worker.ranks:
                self._decode_blocks(worker, rank)
        if tokens or any(r.decoding for rank in worker.ranks for r in rank.running):
            self._cost(worker, tokens > 0)
            worker.start = now
            worker.end = now + ((worker.carry + worker.fine) >> 20)
            worker.mixed = tokens > 0

    def _decode_blocks(self, worker: Worker, rank: Rank) -> bool:
        model, hit = worker.model, False
        if model.reserve_output:
            return False
        for request in list(rank.running):
            if request not in rank.running or not request.decoding:
                continue
            need = math.ceil((request.stored + self._growth(request)) / model.block_tokens) - request.held
            while need > rank.free:
                hit = True
                victim = rank.running.pop()
                rank.free += victim.held
                victim.held, victim.stored, victim.chunk = 0, 0, 0
                victim.goal = victim.prompt + victim.produced
                victim.preemptions += 1
                self._enqueue(rank, victim, front=True)
                if victim is request:
                    break
            if request in rank.running and need > 0:
                request.held += need
                rank.free -= need
        return hit

    @staticmethod
    def _growth(request: Request) -> int:
        rest = request.output - request.before
        return (request.done + 1) * rest // request.steps - request.done * rest // request.steps

    @staticmethod
    def _running_prefills(rank: Rank, room: int) -> int:
        tokens = 0
        for request in rank.running:
            request.chunk = 0
            left = request.goal - request.stored
            if left > 0 and room > tokens:
                request.chunk = min(left, room - tokens)
                tokens += request.chunk
        return tokens

    def _admit(self, worker: Worker, rank: Rank, room: int, tokens: int, now: int, seen: int) -> int:
        model = worker.model
        while len(rank.running) < model.max_seqs and room > tokens:
            while rank.queue and rank.queue[0].arrival <= seen and self._expired(rank.queue[0], now):
                lost = rank.queue.pop(0)
                lost.status, lost.finish = c.TIMED_OUT, now
                self.timed_out[lost.service] += 1
                self._release(now, lost)
            if not rank.queue or rank.queue[0].arrival > seen:
                break
            request = rank.queue[0]
            reserve = request.prompt + request.output - 1
            need = math.ceil((reserve if model.reserve_output else request.goal) / model.block_tokens)
            if need > rank.free or (not model.chunked_prefill and request.goal > room - tokens and tokens > 0):
                break
            rank.queue.pop(0)
            request.held = need
            rank.free -= need
            request.chunk = min(request.goal, room - tokens) if model.chunked_prefill else request.goal
            tokens += request.chunk
            rank.running.append(request)
        return tokens

    @staticmethod
    def _expired(request: Request, now: int) -> bool:
        return request.timeout > 0 and request.first < 0 and request.arrival + request.timeout <= now

    # ------------------------------------------------------------------ cost

    def _cost(self, worker: Worker, mixed: bool) -> None:
        model, table = worker.model, worker.model.levels[0]
        lines = table.decode.shape[0]
        worst, total, joules = [0] * lines, 0, 0
        for rank in worker.ranks:
            n, tokens, samples, q, s = self._census(model, rank, mixed)
            total += tokens if mixed else n
            if not (tokens if mixed else n):
                continue
            keys = sum(int(a) * b for a, b in zip(table.joule_context, s, strict=True))
            if mixed:
                joules += _at(table.joule_mixed, tokens) + _at(table.joule_seqs, samples) + keys
                joules += sum(int(a) * b for a, b in zip(table.joule_pair, q, strict=True))
            else:
                joules += int(table.joule_decode[n]) + keys
            for line in range(lines):
                cost = sum(int(a) * b for a, b in zip(table.context[line], s, strict=True))
                if mixed:
                    cost += _at(table.mixed[line], tokens) + _at(table.seqs[line], samples)
                    cost += sum(int(a) * b for a, b in zip(table.pair[line], q, strict=True))
                else:
                    cost += int(table.decode[line][n])
                worst[line] = max(worst[line], cost)
        shared = table.shared_mixed if mixed else table.shared_decode
        joule_shared = table.joule_shared_mixed if mixed else table.joule_shared_decode
        worker.fine = max(worst[line] + _at(shared[line], total) for line in range(lines))
        worker.joule_fine = joules + _at(joule_shared, total)

    @staticmethod
    def _census(model: WorkerModel, rank: Rank, mixed: bool) -> tuple[int, int, int, list[int], list[int]]:
        """Decode sequences, tokens, samples, pairs by class, keys by class."""
        n, tokens, samples, q, s = 0, 0, 0, [0, 0, 0], [0, 0, 0]
        limits = (0, *model.limits)
        for r in rank.running:
            if mixed and r.chunk:
                tokens += r.chunk
                samples += r.stored + r.chunk >= r.goal
                for k, limit in enumerate(limits):
                    if k == 0 or limit:
                        q[k] += sum(_keys(p, limit) for p in range(r.stored, r.stored + r.chunk))
            elif r.decoding and not (mixed and model.prefill_alone):
                n += 1
                tokens += 1
                samples += 1
                for k, limit in enumerate(limits):
                    if k == 0 or limit:
                        s[k] += _keys(r.stored, limit)
        return n, tokens, samples, q, s

    # ------------------------------------------------------------------ end of a step

    def _end_step(self, worker: Worker, now: int) -> None:
        fine = worker.carry + worker.fine
        worker.busy += fine >> 20
        worker.carry = fine % FINE
        joules = worker.joule_carry + worker.joule_fine
        worker.joules += joules >> 20
        worker.joule_carry = joules % FINE
        worker.steps += 1
        worker.step = 0 if worker.mixed else worker.step + 1
        worker.decode_steps += not worker.mixed
        worker.end = None
        for rank in worker.ranks:
            filling = [r for r in rank.running if worker.mixed and r.chunk]
            for r in [r for r in rank.running if r.decoding and r not in filling]:
                if not (worker.mixed and worker.model.prefill_alone):
                    self._decode_one(worker, rank, r, now)
            for r in filling:
                self._fill(worker, rank, r, now)

    def _decode_one(self, worker: Worker, rank: Rank, r: Request, now: int) -> None:
        """One step of a decode sequence; its blocks were taken when the step began."""
        grown = self._growth(r)
        r.done += 1
        r.stored += grown
        r.produced += grown
        worker.decode_tokens += grown
        worker.batch_steps += 1
        self._leave_if_done(worker, rank, r, now)

    def _fill(self, worker: Worker, rank: Rank, r: Request, now: int) -> None:
        """A chunk is stored; the last one yields a token."""
        r.stored += r.chunk
        worker.prefill_tokens += r.chunk
        r.chunk = 0
        if r.stored < r.goal:
            return
        r.produced += 1
        r.first = now if r.first < 0 else r.first
        self._stretch(r, worker.model.tokens_per_step)
        self._prefilled(worker, rank, r, now)

    def _prefilled(self, worker: Worker, rank: Rank, r: Request, now: int) -> None:
        """After the last chunk: it decodes from the next step on, unless its first token was all."""
        self._leave_if_done(worker, rank, r, now)

    @staticmethod
    def _stretch(r: Request, per_step: float) -> None:
        rest = r.output - r.produced
        r.before, r.done = r.produced, 0
        r.steps = max(1, math.floor(rest / per_step + 0.5)) if rest > 0 else 0

    def _leave_if_done(self, worker: Worker, rank: Rank, r: Request, now: int) -> None:
        if r.done < r.steps:
            return
        rank.running.remove(r)
        rank.free += r.held
        r.held, r.finish, r.status = 0, now, c.FINISHED
        self._release(now, r)


def _at(table: np.ndarray, index: int) -> int:
    """Beyond the last entry a table goes on with its last difference."""
    if index < len(table):
        return int(table[index])
    return int(table[-1]) + (index - len(table) + 1) * (int(table[-1]) - int(table[-2]))


def _keys(position: int, limit: int) -> int:
    return min(position + 1, limit) if limit else position + 1


def latencies(requests: list[Request], service: int, warmup: int) -> dict[str, np.ndarray]:
    """Histogram counts of TTFT, TPOT and E2E over requests that arrived outside the warm-up."""
    found = {name: np.zeros(BINS, np.int64) for name in ("ttft", "tpot", "e2e")}
    for r in requests:
        if r.service != service or r.arrival < warmup:
            continue
        if r.first >= 0:
            found["ttft"][np.searchsorted(EDGES, r.first - r.arrival, side="right")] += 1
        if r.status == c.FINISHED:
            found["e2e"][np.searchsorted(EDGES, r.finish - r.arrival, side="right")] += 1
            if r.output > 1:
                found["tpot"][np.searchsorted(EDGES, (r.finish - r.first) // (r.output - 1), side="right")] += 1
    return found
