"""`simulate`: one cell through the compiled kernel, its books checked and unpacked."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tokenworks.control import tournament
from tokenworks.errors import ConservationError, InputError
from tokenworks.events.requests import Requests
from tokenworks.physics.worker_model import MICROJOULES_PER_J, TICKS_PER_S
from tokenworks.twin.cell import (
    IN_SYSTEM,
    Cell,
    RequestLog,
    ServiceStats,
    TwinOptions,
    TwinResult,
    TwinTimeline,
    WorkerStats,
)
from tokenworks.twin.first import kernel
from tokenworks.twin.first import state as st
from tokenworks.twin.first.packing import MAX_SEQS, pack_layout, pack_tables, pool_trees
from tokenworks.twin.statistics import EDGES

Ints = NDArray[np.int64]
UNLIMITED_LEAP = 1 << 40


def simulate(cell: Cell, requests: Requests, options: TwinOptions, max_leap: int = UNLIMITED_LEAP) -> TwinResult:
    """Run all requests through a cell. ``max_leap`` = 1 forces single steps (for tests: same result, slower).

    Raises InputError for unsorted or impossible requests, ConservationError when an invariant breaks.
    """
    load = load_of(requests, options)
    tables, layout = pack_tables(cell.models), pack_layout(cell)
    seq, rank = st.new_seq(len(load.arrival)), st.new_rank(tables, layout)
    worker, books = st.new_worker(len(cell.workers)), st.new_books(len(cell.services), options.buckets)
    clock = st.Clock(
        options.horizon_ticks,
        max(1, options.bucket_ticks),
        options.buckets,
        options.warmup_ticks,
        options.clients,
        max_leap,
        EDGES,
    )
    trees, tree_start = pool_trees(layout)
    times = tournament.tree_for(len(cell.workers))
    tournament.rebuild(times, worker.ready)
    ranks = len(rank.count)
    gone = np.zeros(ranks * int(tables.number[:, MAX_SEQS].max()), np.int64)
    loads = np.zeros(len(layout.pool), np.int64)
    woken = np.zeros(2 * len(cell.workers) + len(load.arrival) + 1, np.int64)
    end = kernel.run(
        tables, layout, load, seq, rank, worker, books, clock, loads, trees, tree_start, times, gone, woken
    )
    if options.horizon_ticks:
        kernel.settle(options.horizon_ticks, tables, layout, load, seq, rank, worker, books, clock, gone)
        end = options.horizon_ticks
    _conserved(cell, load, seq, rank, books)
    return _result(cell, load, seq, worker, books, options, int(end))


def load_of(requests: Requests, options: TwinOptions) -> st.Load:
    """Requests as int64 columns. Raises InputError for what cannot be simulated."""
    arrival = requests.arrival.astype(np.int64)
    if len(arrival) == 0:
        raise InputError("there are no requests to simulate")
    if not options.clients and (np.diff(arrival) < 0).any():
        raise InputError("requests must be sorted by arrival")
    if arrival.min() < 0 or requests.input_tokens.min() < 1 or requests.output_tokens.min() < 1:
        raise InputError("a request needs an arrival ≥ 0 and at least one input and one output token")
    wide = lambda a: a.astype(np.int64)  # noqa: E731
    return st.Load(
        arrival,
        wide(requests.input_tokens),
        wide(requests.output_tokens),
        wide(requests.service),
        wide(requests.session),
        wide(requests.priority),
        wide(requests.timeout),
        wide(requests.think),
        np.arange(len(arrival)),
    )


def _conserved(cell: Cell, load: st.Load, seq: st.Seq, rank: st.Rank, books: st.Books) -> None:
    """Requests, tokens and blocks: what came in is somewhere."""
    for service, plan in enumerate(cell.services):
        count, mine = books.count[service], load.service == service
        inside = int((mine & (seq.status == IN_SYSTEM)).sum())
        out = count[st.FINISHED] + count[st.FULL] + count[st.LONG] + count[st.TIMED]
        if count[st.ARRIVED] != out + inside:
            raise ConservationError(f"{plan.name}: {count[st.ARRIVED]} requests arrived, {out} left, {inside} inside")
        if int(seq.produced[mine].sum()) != count[st.OUTPUT]:
            raise ConservationError(f"{plan.name}: tokens produced and tokens booked differ")
    free = np.zeros(len(rank.free), np.int64)
    owner = seq.rank >= 0
    np.add.at(free, seq.rank[owner], seq.held[owner])
    blocks = np.repeat([cell.models[m].kv_blocks for m in cell.workers], [cell.models[m].ranks for m in cell.workers])
    if not np.array_equal(free + rank.free, blocks):
        raise ConservationError("KV blocks were lost or doubled")


def _result(
    cell: Cell, load: st.Load, seq: st.Seq, worker: st.Worker, books: st.Books, options: TwinOptions, end: int
) -> TwinResult:
    services = tuple(_service(s, load, seq, books) for s in range(len(cell.services)))
    timeline = _timeline(cell, worker, books, options) if options.buckets else None
    log = _log(cell, load, seq) if options.record else None
    return TwinResult(end, services, _workers(cell, worker, end), timeline, log)


def _service(service: int, load: st.Load, seq: st.Seq, books: st.Books) -> ServiceStats:
    count = [int(c) for c in books.count[service]]
    inside = int(((load.service == service) & (seq.status == IN_SYSTEM)).sum())
    hist, total, most = books.hist[service], books.total[service], books.most[service]
    return ServiceStats(
        arrived=count[st.ARRIVED],
        finished=count[st.FINISHED],
        rejected_queue_full=count[st.FULL],
        rejected_too_long=count[st.LONG],
        timed_out=count[st.TIMED],
        in_system=inside,
        within_slo=count[st.SLO],
        input_tokens=count[st.INPUT],
        cached_tokens=count[st.CACHED],
        output_tokens=count[st.OUTPUT],
        preemptions=count[st.PREEMPTED],
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


def static_microjoules(cell: Cell, busy: Ints, end: int) -> Ints:
    """Static draw of each worker: active while stepping, idle otherwise."""
    active = np.array([cell.models[m].levels[0].active_w for m in cell.workers])
    idle = np.array([cell.models[m].idle_w for m in cell.workers])
    joules = (active * busy + idle * np.maximum(0, end - busy)) / TICKS_PER_S
    return np.rint(joules * MICROJOULES_PER_J).astype(np.int64)


def _workers(cell: Cell, worker: st.Worker, end: int) -> WorkerStats:
    return WorkerStats(
        steps=worker.steps,
        decode_steps=worker.decode_steps,
        busy_ticks=worker.busy,
        prefill_tokens=worker.prefill_tokens,
        decode_tokens=worker.decode_tokens,
        dynamic_uj=worker.joules,
        static_uj=static_microjoules(cell, worker.busy, end),
        batch_steps=worker.batch_steps,
        level_ticks=worker.busy[:, None],
    )


def _timeline(cell: Cell, worker: st.Worker, books: st.Books, options: TwinOptions) -> TwinTimeline:
    line = books.line
    whole = [line[k].astype(np.int64) for k in range(st.L_JOULES)]
    joules = line[st.L_JOULES] + _static_line(cell, worker, options)
    return TwinTimeline(*whole, joules=joules)


def _static_line(cell: Cell, worker: st.Worker, options: TwinOptions) -> NDArray[np.float64]:
    """Static joules per service and bucket, at each worker's mean activity (the kernel books activity in total)."""
    seconds = options.bucket_ticks / TICKS_PER_S
    span = max(1, options.horizon_ticks or options.buckets * options.bucket_ticks)
    static = static_microjoules(cell, worker.busy, span) / MICROJOULES_PER_J
    share = np.zeros((len(cell.services), 1))
    for service, plan in enumerate(cell.services):
        share[service] = static[list(plan.workers)].sum() * seconds * TICKS_PER_S / span
    return np.repeat(share, options.buckets, axis=1)


def _log(cell: Cell, load: st.Load, seq: st.Seq) -> RequestLog:
    rank_worker = np.repeat(np.arange(len(cell.workers)), [cell.models[m].ranks for m in cell.workers])
    worker = np.where(seq.rank >= 0, rank_worker[np.maximum(seq.rank, 0)], -1).astype(np.int32)
    return RequestLog(
        arrival=load.arrival,
        first_token=seq.first,
        finish=seq.finish,
        status=seq.status.astype(np.int8),
        produced=seq.produced.astype(np.int32),
        cached=np.zeros(len(load.arrival), np.int32),
        preemptions=seq.preempted.astype(np.int32),
        worker=worker,
    )
