"""Cells over processes: the factory fixes the cells, processes only share them out, so results do not depend on them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
from numpy.typing import NDArray

from tokenworks.errors import InputError
from tokenworks.events.requests import Requests
from tokenworks.twin.cell import (
    Allocation,
    Cell,
    RequestLog,
    ServiceStats,
    TwinOptions,
    TwinResult,
    TwinTimeline,
    WorkerStats,
)
from tokenworks.twin.simulate import simulate

Stream = Callable[[], Requests | Iterable[Requests]]  # made anew in the process that runs the cell; must pickle
_LARGEST = {"ttft_max", "tpot_max", "e2e_max"}


def simulate_cells(
    cells: Sequence[Cell], streams: Sequence[Stream], options: TwinOptions, processes: int = 1
) -> tuple[TwinResult, ...]:
    """One result per cell, in the order of the cells, whatever the number of processes."""
    if len(cells) != len(streams):
        raise InputError(f"{len(cells)} cells but {len(streams)} streams of requests")
    if processes <= 1 or len(cells) == 1:
        return tuple(_run(cell, stream, options) for cell, stream in zip(cells, streams, strict=True))
    with ProcessPoolExecutor(min(processes, len(cells)), mp_context=get_context("spawn")) as pool:
        return tuple(pool.map(_run, cells, streams, [options] * len(cells)))


def _run(cell: Cell, stream: Stream, options: TwinOptions) -> TwinResult:
    return simulate(cell, stream(), options)


def merge(results: Sequence[TwinResult]) -> TwinResult:
    """Cells with the same services as one: counters add up, workers follow each other, the last cell's end counts."""
    end = max(r.end_ticks for r in results)
    services = tuple(_service(stats) for stats in zip(*(r.services for r in results), strict=True))
    timelines = [r.timeline for r in results if r.timeline is not None]
    logs = [r.log for r in results if r.log is not None]
    return TwinResult(
        end,
        services,
        _workers([r.workers for r in results]),
        _timeline(timelines) if len(timelines) == len(results) else None,
        _log(logs) if len(logs) == len(results) else None,
        allocation=_allocation(results, end),
        order=_order(results) if len(logs) == len(results) else None,
    )


def _service(stats: Sequence[ServiceStats]) -> ServiceStats:
    names = ServiceStats.__dataclass_fields__
    return ServiceStats(**{n: (max if n in _LARGEST else sum)(getattr(s, n) for s in stats) for n in names})


def _workers(parts: Sequence[WorkerStats]) -> WorkerStats:
    levels = max(p.level_ticks.shape[1] for p in parts)
    wide = [np.pad(p.level_ticks, ((0, 0), (0, levels - p.level_ticks.shape[1]))) for p in parts]
    names = [n for n in WorkerStats.__dataclass_fields__ if n != "level_ticks"]
    return WorkerStats(
        **{n: np.concatenate([getattr(p, n) for p in parts]) for n in names}, level_ticks=np.concatenate(wide)
    )


def _timeline(parts: Sequence[TwinTimeline]) -> TwinTimeline:
    return TwinTimeline(**{n: sum(getattr(p, n) for p in parts) for n in TwinTimeline.__dataclass_fields__})


def _log(parts: Sequence[RequestLog]) -> RequestLog:
    return RequestLog(**{n: np.concatenate([getattr(p, n) for p in parts]) for n in RequestLog.__dataclass_fields__})


def _order(results: Sequence[TwinResult]) -> NDArray[np.int64]:
    """Cell after cell, counted on as their logs follow each other."""
    parts, start = [], 0
    for result in results:
        assert result.order is not None
        assert result.log is not None
        parts.append(result.order + start)
        start += len(result.log.status)
    return np.concatenate(parts)


def _allocation(results: Sequence[TwinResult], end: int) -> Allocation | None:
    """Requests and workers follow each other, workers are counted on; a cell that ended early idles to the end (its
    joules, like its static draw, are those up to its own end)."""
    parts, start = [], 0
    for result in results:
        if result.allocation is None:
            return None
        columns = {n: getattr(result.allocation, n) for n in Allocation.__dataclass_fields__}
        for name in ("prefill_worker", "worker"):
            columns[name] = np.where(columns[name] >= 0, columns[name] + start, -1).astype(np.int32)
        columns["idle_ticks"] = columns["idle_ticks"] + (end - result.end_ticks)
        parts.append(columns)
        start += len(result.workers.steps)
    return Allocation(**{n: np.concatenate([p[n] for p in parts]) for n in Allocation.__dataclass_fields__})
