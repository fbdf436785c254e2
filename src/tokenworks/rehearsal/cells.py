"""Router domains: each cell routes its own share of the requests over its own share of the workers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tokenworks.errors import InputError
from tokenworks.events.requests import Requests
from tokenworks.twin.cell import Cell, PowerCap, RequestLog, ServicePlan, TwinOptions, TwinResult, WorkerStats
from tokenworks.twin.processes import merge
from tokenworks.twin.simulate import simulate

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Part:
    """A cell of a whole, and where its workers and requests stand in it."""

    cell: Cell
    workers: tuple[int, ...]
    requests: Indices


def simulate_in_cells(whole: Cell, requests: Requests, options: TwinOptions, count: int) -> TwinResult:
    """The whole as ``count`` cells that know nothing of each other. Results are in the order of the whole.

    Raises InputError where a pool has fewer workers than there are cells, or where callers cannot be divided.
    """
    if options.clients:
        raise InputError("a closed loop has one router domain: leave run.cells out")
    if options.trace_ticks[1]:
        raise InputError("a traced window needs one router domain: leave run.cells out")
    parts = [_part(whole, requests, number, count) for number in range(count)]
    results = [simulate(part.cell, chosen(requests, part.requests), options) for part in parts]
    return _ordered(merge(results), parts)


def _part(whole: Cell, requests: Requests, number: int, count: int) -> Part:
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
    return Part(cell, members, np.flatnonzero(_cell_of(requests, count) == number))


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


def _cell_of(requests: Requests, count: int) -> Indices:
    """Sessions stay in their cell; requests without one are dealt in turn."""
    return np.where(requests.session >= 0, requests.session, np.arange(len(requests))) % count


def chosen(requests: Requests, rows: Indices) -> Requests:
    """Some requests of a stream, with their hashes."""
    counts = np.diff(requests.block_start)[rows]
    start = np.concatenate([[0], np.cumsum(counts)])
    first = np.repeat(requests.block_start[:-1][rows] - start[:-1], counts)
    hashes = requests.block_hash[first + np.arange(int(start[-1]))]
    columns = {
        name: getattr(requests, name)[rows]
        for name in Requests.__dataclass_fields__
        if name not in ("block_start", "block_hash", "hash_block_tokens")
    }
    return replace(requests, **columns, block_start=start, block_hash=hashes)


def _ordered(merged: TwinResult, parts: Sequence[Part]) -> TwinResult:
    """Workers and requests back in the order of the whole."""
    back = np.argsort(np.concatenate([part.workers for part in parts]))
    workers = {n: getattr(merged.workers, n)[back] for n in WorkerStats.__dataclass_fields__}
    log = None if merged.log is None else _log(merged.log, parts)
    return replace(merged, workers=WorkerStats(**workers), log=log)


def _log(log: RequestLog, parts: Sequence[Part]) -> RequestLog:
    back = np.argsort(np.concatenate([part.requests for part in parts]))
    columns = {n: getattr(log, n)[back] for n in RequestLog.__dataclass_fields__}
    known = np.concatenate(list(_workers(log, parts)))[back]
    return RequestLog(**{**columns, "worker": known.astype(log.worker.dtype)})


def _workers(log: RequestLog, parts: Sequence[Part]) -> Iterator[Indices]:
    begin = 0
    for part in parts:
        local = log.worker[begin : begin + len(part.requests)]
        yield np.where(local >= 0, np.array(part.workers)[np.maximum(local, 0)], -1)
        begin += len(part.requests)
