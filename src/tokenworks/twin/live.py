"""One worker of the twin for a clock that somebody else keeps: requests come when they come, steps end when they are due.

The rules and the costs are those of the reference simulator, so an emulated worker cannot differ from a simulated one.
Times are ticks; they never run backwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tokenworks.events.requests import Requests
from tokenworks.physics.worker_model import WorkerModel
from tokenworks.twin.cell import IN_SYSTEM, Cell, ServicePlan, TwinOptions
from tokenworks.twin.live_energy import EnergyShares
from tokenworks.twin.reference import Rank, Reference, Request, Worker, _keys
from tokenworks.twin.step_cost import pairs

_pairs = pairs.py_func  # compiled, it has no door for Python


@dataclass(frozen=True, slots=True)
class Progress:
    """What a step brought a request: new tokens, and whether they were its last. ``energy_uj``: its dynamic energy so far."""

    request: Request
    tokens: int
    finished: bool
    energy_uj: int


class _Quick(Reference):
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


class LiveWorker:
    """One worker. ``due``: the tick at which its present step ends; None while it is idle."""

    def __init__(self, model: WorkerModel):
        plan = ServicePlan("live", workers=(0,))
        self._twin = _Quick(Cell((model,), (0,), (plan,)), _nothing(), TwinOptions())
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
        request = Request(self._number, now, prompt, output, 0, -1, 0, 0, 0)
        self._number += 1
        self._twin._arrive(request, now)
        if request.status != IN_SYSTEM:
            return None
        if self._worker.end is None:
            self._begin(now)
        return request

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
