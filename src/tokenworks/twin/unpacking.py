"""From the kernel's arrays to a TwinResult."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tokenworks.twin import columns as c
from tokenworks.twin.cell import (
    Cell,
    ServiceStats,
    StepLog,
    TwinOptions,
    TwinResult,
    TwinTimeline,
    WorkerStats,
)
from tokenworks.twin.layout import Ints, Tables
from tokenworks.twin.life import Life
from tokenworks.twin.memory import Books, State

MICROWATTS_TICKS_PER_MICROJOULE = 10**11
MICROWATTS_TICKS_PER_J = 10**17


def result_of(
    cell: Cell, tables: Tables, st: State, books: Books, options: TwinOptions, end: int, life: Life
) -> TwinResult:
    """Without its requests."""
    inside = np.bincount(st.slot[st.slot[:, c.PHASE] > c.PENDING, c.SERVICE], minlength=len(cell.services))
    services = tuple(_service(s, books, int(inside[s])) for s in range(len(cell.services)))
    timeline = _timeline(cell, tables, books, options, end, life) if options.buckets else None
    steps = _steps(books, st) if len(books.steps) else None
    return TwinResult(end, services, _workers(cell, st, end), timeline, None, steps, replicas=life.log)


def _steps(books: Books, st: State) -> StepLog:
    kept = books.steps[: int(st.g[c.TRACED])].copy()
    return StepLog(
        worker=kept[:, c.S_WORKER],
        start=kept[:, c.S_START],
        end=kept[:, c.S_END],
        steps=kept[:, c.S_STEPS],
        mixed=kept[:, c.S_MIXED] == 1,
        sequences=kept[:, c.S_SEQUENCES],
        tokens=kept[:, c.S_TOKENS],
        sampled=kept[:, c.S_SAMPLED],
        line=kept[:, c.S_LINE],
        pairs=kept[:, c.S_PAIRS : c.S_KEYS],
        keys=kept[:, c.S_KEYS :],
        lost=int(st.g[c.UNTRACED]),
    )


def _service(s: int, books: Books, inside: int) -> ServiceStats:
    count, hist, total, most = ([int(x) for x in books.service[s]], books.hist[s], books.total[s], books.most[s])
    return ServiceStats(
        arrived=count[c.ARRIVED],
        finished=count[c.FINISHED_S],
        rejected_queue_full=count[c.FULL],
        rejected_too_long=count[c.LONG],
        timed_out=count[c.TIMED],
        in_system=inside,
        within_slo=count[c.WITHIN],
        input_tokens=count[c.INPUT_S],
        cached_tokens=count[c.CACHED_S],
        output_tokens=count[c.OUTPUT_S],
        preemptions=count[c.PREEMPTED_S],
        ttft_counts=hist[0],
        tpot_counts=hist[1],
        e2e_counts=hist[2],
        ttft_sum=int(total[0]),
        tpot_sum=int(total[1]),
        e2e_sum=int(total[2]),
        ttft_max=int(most[0]),
        tpot_max=int(most[1]),
        e2e_max=int(most[2]),
    )


def _microwatts(watts: float) -> int:
    return round(watts * 10**6)


def static_microjoules(cell: Cell, st: State, end: int) -> Ints:
    """Static draw of each worker, exact: active by clock level while stepping, none while off, idle otherwise."""
    static = np.zeros(len(cell.workers), np.int64)
    for w, m in enumerate(cell.workers):
        model, ticks = cell.models[m], [int(x) for x in st.level_ticks[w]]
        total = _microwatts(model.idle_w) * (end - int(st.worker[w, c.OFF_TICKS]) - sum(ticks))
        total += sum(_microwatts(level.active_w) * x for level, x in zip(model.levels, ticks, strict=False))
        static[w] = total // MICROWATTS_TICKS_PER_MICROJOULE
    return static


def _workers(cell: Cell, st: State, end: int) -> WorkerStats:
    column = lambda k: st.worker[:, k].copy()  # noqa: E731
    return WorkerStats(
        steps=column(c.STEPS_DONE),
        decode_steps=column(c.DECODE_STEPS),
        busy_ticks=column(c.BUSY),
        prefill_tokens=column(c.PREFILL_TOKENS),
        decode_tokens=column(c.DECODE_TOKENS),
        dynamic_uj=column(c.JOULES),
        static_uj=static_microjoules(cell, st, end),
        batch_steps=column(c.BATCH_STEPS),
        reload_ticks=column(c.RELOADED),
        level_ticks=st.level_ticks,
        off_ticks=column(c.OFF_TICKS),
    )


def _timeline(cell: Cell, tables: Tables, books: Books, options: TwinOptions, end: int, life: Life) -> TwinTimeline:
    line = books.line
    static, idle = _static_and_idle(cell, tables, line, options, end, life)
    dynamic = line[c.T_JOULES].astype(object) * MICROWATTS_TICKS_PER_MICROJOULE
    return TwinTimeline(
        arrived=line[c.T_ARRIVED],
        finished=line[c.T_FINISHED],
        output_tokens=line[c.T_TOKENS],
        waiting=line[c.T_WAITING],
        running=line[c.T_RUNNING],
        blocks=line[c.T_BLOCKS],
        joules=_joules(dynamic + static + idle),
        static_joules=_joules(static),
        idle_joules=_joules(idle),
    )


def _joules(exact: NDArray[np.object_]) -> NDArray[np.float64]:
    return np.array([[int(x) / MICROWATTS_TICKS_PER_J for x in row] for row in exact])


def _static_and_idle(
    cell: Cell, tables: Tables, line: Ints, options: TwinOptions, end: int, life: Life
) -> tuple[NDArray[np.object_], NDArray[np.object_]]:
    """Microwatts · ticks per service and bucket that stepping and waiting workers draw anyway, as exact integers."""
    span = np.clip(end - np.arange(options.buckets) * options.bucket_ticks, 0, options.bucket_ticks).astype(object)
    active = [_microwatts(level.active_w) for m in cell.models for level in m.levels]
    off = life.off_by_bucket(options.bucket_ticks, options.buckets)
    static, waiting = (np.zeros((len(cell.services), options.buckets), object) for _ in range(2))
    for s, plan in enumerate(cell.services):
        workers = (*plan.workers, *plan.prefill, *plan.decode)
        for m in sorted({cell.workers[w] for w in workers}):
            model, first = cell.models[m], int(tables.first[m])
            mine = [w for w in workers if cell.workers[w] == m]
            gone = sum(off[w].astype(object) for w in mine if w in off)
            idle = _microwatts(model.idle_w)
            busy = [line[c.T_BUSY + first + k, s].astype(object) for k in range(len(model.levels))]
            waiting[s] += idle * (len(mine) * span - sum(busy) - gone)
            static[s] += sum(active[first + k] * ticks for k, ticks in enumerate(busy))
    return static, waiting


def produced(rows: Ints, st: State) -> Ints:
    """Tokens that requests in the system (rows of slots) have produced so far."""
    done = rows[:, c.STEPS] - (rows[:, c.DUE] - st.rank[rows[:, c.RANK], c.D])
    grown = done * (rows[:, c.OUTPUT] - rows[:, c.BEFORE]) // np.maximum(1, rows[:, c.STEPS])
    found: Ints = np.where(rows[:, c.PHASE] == c.DECODING, rows[:, c.BEFORE] + grown, rows[:, c.PRODUCED])
    return found
