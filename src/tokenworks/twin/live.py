"""One worker of the twin for a clock that somebody else keeps: requests come when they come, steps end when they are due.

The rules and the costs are those of the reference simulator, so an emulated worker cannot differ from a simulated one.
Times are ticks; they never run backwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tokenworks.events.requests import Requests
from tokenworks.physics.worker_model import WorkerModel
from tokenworks.twin.cell import IN_SYSTEM, Cell, ServicePlan, TwinOptions
from tokenworks.twin.live_energy import EnergyShares
from tokenworks.twin.reference import Rank, Reference, Request, Worker, _keys
from tokenworks.twin.reference_features import FeatureReference, Prompt
from tokenworks.twin.step_cost import pairs

PLANS = {
    None: ServicePlan("live", workers=(0,)),
    "prefill": ServicePlan("live", prefill=(0,)),
    "decode": ServicePlan("live", decode=(0,)),
}
_pairs = pairs.py_func  # compiled, it has no door for Python


@dataclass(frozen=True, slots=True)
class Progress:
    """What a step brought a request: new tokens, and whether they were its last. ``energy_uj``: its dynamic energy so far."""

    request: Request
    tokens: int
    finished: bool
    energy_uj: int


class _Divided(Reference):
    """Prefill chunks are counted in closed form: a live worker has no time to add up their keys one by one. Every step's
    dynamic joules are divided over its requests."""

    def __init__(self, cell: Cell, requests: Requests, options: TwinOptions):
        super().__init__(cell, requests, options)
        self.shares = EnergyShares(_pairs)
        self.preempted = 0

    def _end_step(self, worker: Worker, now: int) -> None:
        self.shares.step(worker)
        super()._end_step(worker, now)

    def _enqueue(self, rank: Rank, request: Request, front: bool) -> None:
        """At the front: preempted. A prefill that was not through is lost."""
        self.preempted += front
        if front and request.first < 0:
            self.shares.lose(request.number)
        super()._enqueue(rank, request, front)

    @staticmethod
    def _census(model: WorkerModel, rank: object, mixed: bool) -> tuple[int, int, int, list[int], list[int]]:
        n, tokens, samples, q, s = 0, 0, 0, [0, 0, 0], [0, 0, 0]
        limits = [(k, limit) for k, limit in enumerate((0, *model.limits)) if k == 0 or limit]
        for r in rank.running:  # type: ignore[attr-defined]
            if mixed and r.chunk:
                tokens += r.chunk
                samples += r.stored + r.chunk >= r.goal
                for k, limit in limits:
                    q[k] += int(_pairs(r.stored, r.chunk, limit))
            elif r.decoding and not (mixed and model.prefill_alone):
                n += 1
                tokens += 1
                samples += 1
                for k, limit in limits:
                    s[k] += _keys(r.stored, limit)
        return n, tokens, samples, q, s


class _OfPool(_Divided, FeatureReference):
    """A worker of a prefill or a decode pool. At the end of a prefill the request is over here, and its blocks are held until
    somebody has fetched them."""

    def _prefilled(self, worker: Any, rank: Any, r: Any, now: int) -> None:
        super()._prefilled(worker, rank, r, now)
        if r.finish < 0 and worker.prefills_only:
            r.output, r.finish = r.produced, now


class LiveWorker:
    """One worker. ``due``: the tick at which its present step ends; None while it is idle. ``role``: of a worker of a pool,
    prefill or decode."""

    def __init__(self, model: WorkerModel, role: str | None = None):
        plan = PLANS[role]
        kind = _OfPool if role else _Divided
        self._twin = kind(Cell((model,), (0,), (plan,)), _nothing(), TwinOptions())
        self._request = Prompt if role else Request
        self._worker = self._twin.workers[0]
        self._number = 0
        self.model = model

    @property
    def due(self) -> int | None:
        return self._worker.end

    @property
    def outstanding(self) -> int:
        return self._worker.outstanding

    @property
    def dynamic_uj(self) -> int:
        """Microjoules of all steps so far, static draw left out."""
        return self._worker.joules

    @property
    def ranks(self) -> list[Rank]:
        """Its attention-data-parallel ranks, with what runs and waits there."""
        return self._worker.ranks

    @property
    def preempted(self) -> int:
        """Requests that had to give up their KV blocks, each as often as it did."""
        return self._twin.preempted

    def busy_ticks(self, now: int) -> int:
        """Ticks in which it stepped until ``now``, to which it has been advanced: the present step as far as it has come."""
        begun = 0 if self._worker.end is None else now - self._worker.start
        return self._worker.busy + begun

    @property
    def shares(self) -> EnergyShares:
        """Whose they were."""
        return self._twin.shares

    def enter(self, prompt: int, output: int, now: int) -> Request | None:
        """A request of so many tokens (each ≥ 1) arrives; None where it does not fit the worker's KV cache. Steps that
        ended before must have been told by `advance`."""
        request = self._request(self._number, now, prompt, output, 0, -1, 0, 0, 0)
        self._number += 1
        self._twin._arrive(request, now)
        if request.status != IN_SYSTEM:
            return None
        if self._worker.end is None:
            self._begin(now)
        return request

    # ------------------------------------------------------------------ from pool to pool

    def fill(self, prompt: int, now: int) -> Request | None:
        """A prompt arrives whose answer a decode worker will give; its first token is made here. None where it does not fit."""
        return self.enter(prompt, 2, now)

    def fetchable(self, request: Request) -> int:
        """The tick at which its KV cache is at a decode worker, by the twin's own rule."""
        assert isinstance(self._twin, FeatureReference)
        return next(tick for tick, _, moved in self._twin.moving if moved is request)

    def release(self, request: Request, now: int) -> None:
        """Its KV cache is fetched, or nobody wants it: the blocks are free."""
        assert isinstance(self._twin, FeatureReference)
        assert isinstance(request, Prompt)
        assert request.place
        self._twin.moving = [entry for entry in self._twin.moving if entry[2] is not request]
        self._twin._free(request.place[1], request)
        if self._worker.end is None:
            self._begin(now)

    def take_over(self, filled: Request, output: int, now: int) -> Request | None:
        """A request whose KV cache has come from a prefill worker: ``output`` tokens in all, the first of them made there.
        None where it does not fit."""
        assert isinstance(self._twin, FeatureReference)
        prompt = filled.prompt
        request = Prompt(self._number, filled.arrival, prompt, output, 0, -1, 0, 0, 0)
        self._number += 1
        request.first, request.produced, request.ready = filled.first, 1, True
        request.goal = request.stored = prompt
        request.reserved = prompt + output - 1
        if self._twin._too_long(self._worker, request.reserved):
            return None
        request.status = IN_SYSTEM
        self._twin._join(request, 0, (0,))
        if self._worker.end is None:
            self._begin(now)
        return request

    # ------------------------------------------------------------------ steps

    def advance(self, now: int) -> Iterator[tuple[int, list[Progress]]]:
        """The steps that have ended by ``now``, each with its tick and what it brought."""
        while self._worker.end is not None and self._worker.end <= now:
            tick = self._worker.end
            running = [(r, r.produced) for rank in self._worker.ranks for r in rank.running]
            self._twin._end_step(self._worker, tick)
            self._begin(tick)
            yield (
                tick,
                [
                    Progress(r, r.produced - before, r.finish == tick, self._energy_uj(r, tick))
                    for r, before in running
                    if r.produced > before or r.finish == tick
                ],
            )

    def _energy_uj(self, request: Request, tick: int) -> int:
        shares = self._twin.shares
        return shares.settle(request.number) if request.finish == tick else shares.of(request.number)

    def drop(self, request: Request) -> None:
        """Its caller has left: no step holds it from the next one on, and what it used is lost."""
        self._twin.shares.lose(request.number)
        for rank in self._worker.ranks:
            if request in rank.running:
                self._twin.shares.leave(rank, request)
                rank.running.remove(request)
                rank.free += request.held
                request.held = 0
            elif request in rank.queue:
                rank.queue.remove(request)

    def _begin(self, now: int) -> None:
        if self._worker.outstanding:
            self._twin._begin(self._worker, now)
        if self._worker.end is None:
            self._worker.step = 0


def _nothing() -> Requests:
    none = {n: np.zeros(0, np.int64) for n in ("arrival", "session", "timeout", "think")}
    return Requests(
        **none,
        input_tokens=np.zeros(0, np.int32),
        output_tokens=np.zeros(0, np.int32),
        service=np.zeros(0, np.int16),
        tenant=np.zeros(0, np.int32),
        priority=np.zeros(0, np.int8),
        block_start=np.zeros(1, np.int64),
        block_hash=np.zeros(0, np.uint64),
        hash_block_tokens=1,
    )
