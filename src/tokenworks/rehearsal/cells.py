"""Router domains: each cell routes its own share of the requests over its own share of the workers.

A stream is made anew for every cell, which takes its share out of each chunk: memory does not grow with the run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tokenworks.errors import InputError
from tokenworks.events.requests import Requests
from tokenworks.twin.cell import (
    Allocation,
    Cell,
    PowerCap,
    RequestLog,
    ServicePlan,
    TwinOptions,
    TwinResult,
    WorkerStats,
)
from tokenworks.twin.processes import Stream, merge, simulate_cells
from tokenworks.workload.streams import chosen

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Part:
    """A cell of a whole, and where its workers stand in it."""

    cell: Cell
    workers: tuple[int, ...]


@dataclass(frozen=True)
class Dealt:
    """A cell's requests out of those of the whole: all of them, or a stream of chunks."""

    source: Requests | Stream
    number: int
    count: int

    def __call__(self) -> Requests | Iterator[Requests]:
        given = self.source if isinstance(self.source, Requests) else self.source()
        return chosen(given, self.rows(given)) if isinstance(given, Requests) else self._chunks(given)

    def _chunks(self, stream: Iterable[Requests]) -> Iterator[Requests]:
        seen = 0
        for chunk in stream:
            rows = self.rows(chunk, seen)
            seen += len(chunk)
            if len(rows):
                yield chosen(chunk, rows)

    def rows(self, chunk: Requests, seen: int = 0) -> Indices:
        """Sessions stay in their cell; requests without one are dealt in turn."""
        turn = seen + np.arange(len(chunk))
        return np.flatnonzero(np.where(chunk.session >= 0, chunk.session, turn) % self.count == self.number)


def simulate_in_cells(
    whole: Cell, requests: Requests | Stream, options: TwinOptions, count: int, processes: int = 1
) -> TwinResult:
    """The whole as ``count`` cells that know nothing of each other. Results are in the order of the whole and do not
    depend on the number of processes.

    Raises InputError where a pool has fewer workers than there are cells, or where callers cannot be divided;
    for a log of requests that are not given whole.
    """
    if options.clients:
        raise InputError("a closed loop has one router domain: leave run.cells out")
    if options.trace_ticks[1]:
        raise InputError("a traced window needs one router domain: leave run.cells out")
    if (options.record or options.allocate) and not isinstance(requests, Requests):
        raise InputError("a log of the requests of several cells needs them whole, not as a stream")
    parts = [_part(whole, number, count) for number in range(count)]
    dealt = [Dealt(requests, number, count) for number in range(count)]
    results = simulate_cells([part.cell for part in parts], dealt, options, processes)
    rows = [share.rows(requests) for share in dealt] if isinstance(requests, Requests) else []
    return _ordered(merge(results), parts, rows)


def _part(whole: Cell, number: int, count: int) -> Part:
    plans = [
        {role: getattr(plan, role)[number::count] for role in ("workers", "prefill", "decode")}
        for plan in whole.services
    ]
    for plan, mine in zip(whole.services, plans, strict=True):
        if any(getattr(plan, role) and not mine[role] for role in mine):
            raise InputError(f"{plan.name} has fewer workers in a pool than run.cells = {count}")
    members = tuple(sorted(w for mine in plans for pool in mine.values() for w in pool))
    place = {w: i for i, w in enumerate(members)}
    services = tuple(
        _plan(plan, {role: tuple(place[w] for w in pool) for role, pool in mine.items()}, count)
        for plan, mine in zip(whole.services, plans, strict=True)
    )
    caps = tuple(_cap(whole, cap, place) for cap in whole.caps if any(w in place for w in cap.workers))
    cell = Cell(whole.models, tuple(whole.workers[w] for w in members), services, caps, whole.seed + number)
    return Part(cell, members)


def _plan(plan: ServicePlan, pools: dict[str, tuple[int, ...]], count: int) -> ServicePlan:
    """A queue limit is divided as the workers are."""
    limit = -(-plan.max_waiting // count)
    return replace(plan, workers=pools["workers"], prefill=pools["prefill"], decode=pools["decode"], max_waiting=limit)


def _cap(whole: Cell, cap: PowerCap, place: dict[int, int]) -> PowerCap:
    """A cell's share of a power budget is that of its GPUs."""
    gpus = lambda ids: sum(whole.models[whole.workers[w]].gpus for w in ids)  # noqa: E731
    mine = [w for w in cap.workers if w in place]
    share = gpus(mine) / gpus(cap.workers)
    steps = tuple((tick, watts * share) for tick, watts in cap.steps)
    return replace(cap, workers=tuple(place[w] for w in mine), watts=cap.watts * share, steps=steps)


def _ordered(merged: TwinResult, parts: Sequence[Part], rows: Sequence[Indices]) -> TwinResult:
    """Workers and requests back in the order of the whole; ``rows``: the requests of each part."""
    back = np.argsort(np.concatenate([part.workers for part in parts]))
    workers = {n: getattr(merged.workers, n)[back] for n in WorkerStats.__dataclass_fields__}
    log = None if merged.log is None else _log(merged.log, parts, rows)
    shares = None if merged.allocation is None else _shares(merged.allocation, parts, rows)
    order = None if merged.order is None else np.concatenate(rows)[merged.order]
    return replace(merged, workers=WorkerStats(**workers), log=log, allocation=shares, order=order)


def _shares(shares: Allocation, parts: Sequence[Part], rows: Sequence[Indices]) -> Allocation:
    """Requests and workers back in the order of the whole."""
    place = np.concatenate([part.workers for part in parts])
    columns = {n: getattr(shares, n) for n in Allocation.__dataclass_fields__}
    for name, values in columns.items():
        columns[name] = values[np.argsort(place if _by_worker(name) else np.concatenate(rows))]
        if name in ("prefill_worker", "worker"):
            columns[name] = np.where(columns[name] >= 0, place[columns[name]], -1).astype(np.int32)
    return Allocation(**columns)


def _by_worker(name: str) -> bool:
    return name.startswith(("idle_", "lost_"))


def _log(log: RequestLog, parts: Sequence[Part], rows: Sequence[Indices]) -> RequestLog:
    back = np.argsort(np.concatenate(rows))
    columns = {n: getattr(log, n)[back] for n in RequestLog.__dataclass_fields__}
    known = np.concatenate(list(_workers(log, parts, rows)))[back]
    return RequestLog(**{**columns, "worker": known.astype(log.worker.dtype)})


def _workers(log: RequestLog, parts: Sequence[Part], rows: Sequence[Indices]) -> Iterator[Indices]:
    begin = 0
    for part, mine in zip(parts, rows, strict=True):
        local = log.worker[begin : begin + len(mine)]
        yield np.where(local >= 0, np.array(part.workers)[np.maximum(local, 0)], -1)
        begin += len(mine)
