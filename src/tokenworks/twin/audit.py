"""Double-entry bookkeeping: what came in is somewhere. Checked at the end of every run.

What workers count step by step must equal what requests count when something happens to them: requests, prompt and output
tokens, KV blocks, ticks and joules.
"""

from __future__ import annotations

import numpy as np

from tokenworks.errors import ConservationError
from tokenworks.twin.blocks import held, needed, needed_now
from tokenworks.twin.cell import KV_AWARE, Cell, TwinOptions
from tokenworks.twin.columns import (
    ALONE,
    ARRIVED,
    ASKED_S,
    BLOCKS,
    BUSY,
    DECODE_TOKENS,
    FILLING,
    FINE_BITS,
    FINISHED_S,
    FIRST,
    FREE,
    FULL,
    HIT_S,
    IDLE,
    INPUT,
    INPUT_S,
    JOULE_CARRY,
    JOULES,
    JOULES_S,
    LAST,
    LONG,
    LOST_S,
    LRU_N,
    MIXED_STEP,
    MODE,
    MOVING,
    N_COUNT,
    N_RANK,
    N_TIER,
    OUT_TOKENS,
    OUTPUT_S,
    OUTSTANDING,
    PENDING,
    PHASE,
    POLICY,
    POOL_COUNT,
    POOL_START,
    PREFILL_TOKENS,
    RANK,
    RANK_WORKER,
    RECOMPUTED_S,
    RECOMPUTES_S,
    RUN_HEAD,
    SERVICE,
    SERVICE_OF,
    SPECULATES,
    STORED,
    T_ARRIVED,
    T_FINISHED,
    T_JOULES,
    T_TOKENS,
    TAKEN,
    TIER_N,
    TIMED,
    UNIT,
    VARIANT,
    YOUNGER,
)
from tokenworks.twin.compiled import compiled, entry
from tokenworks.twin.layout import Ints, Pools, Tables
from tokenworks.twin.leaving import KV_SCALE
from tokenworks.twin.memory import Books, Cache, State
from tokenworks.twin.unpacking import produced


@entry
def missing_blocks(t, st, cache, used):  # type: ignore[no-untyped-def]
    """Σ over ranks of the difference between blocks taken and blocks held; ``used`` is scratch, one per rank."""
    rank, number = st.rank, t.number
    for g in range(len(rank)):
        v = st.worker[rank[g, RANK_WORKER], VARIANT]
        used[g] = under_way(g, rank[g, RANK_WORKER], v, t, st)
        s = rank[g, RUN_HEAD]
        while s >= 0:
            used[g] += held(st.slot, s, rank, number, v, g)
            s = st.slot[s, YOUNGER]
    for s in range(len(st.slot)):
        if st.slot[s, PHASE] == MOVING:
            g = st.slot[s, RANK]
            used[g] += held(st.slot, s, rank, number, st.worker[rank[g, RANK_WORKER], VARIANT], g)
    for x in range(len(cache.node)):
        if cache.node[x, N_COUNT] > 0 and cache.node[x, N_TIER] == 0:
            g = cache.node[x, N_RANK]
            used[g] += number[st.worker[rank[g, RANK_WORKER], VARIANT], UNIT]
    wrong = 0
    for g in range(len(rank)):
        v = st.worker[rank[g, RANK_WORKER], VARIANT]
        wrong += abs(number[v, BLOCKS] - rank[g, FREE] - number[v, UNIT] * rank[g, LRU_N] - used[g])
        wrong += abs(rank[g, LRU_N] - cache.tier[g, 0, TIER_N])
    return wrong


@compiled
def under_way(g, w, v, t, st):  # type: ignore[no-untyped-def]
    """Blocks taken for the tokens of the step under way."""
    mode = st.worker[w, MODE]
    if mode == IDLE or (mode == MIXED_STEP and t.number[v, ALONE] == 1):
        return 0
    now = needed_now(st.phase, st.rank, st.slot, t.number, v, g)
    if t.number[v, SPECULATES] == 1:
        return now
    return now + needed(st.phase, st.rank, t.number, v, g, 1, st.worker[w, TAKEN] - 1)


def audit(cell: Cell, t: Tables, st: State, books: Books, pools: Pools, cache: Cache) -> None:
    """Raises ConservationError, naming the first account that does not balance."""
    for s, plan in enumerate(cell.services):
        inside = st.slot[(st.slot[:, PHASE] > PENDING) & (st.slot[:, SERVICE] == s)]
        workers = st.worker[st.worker[:, SERVICE_OF] == s]
        for what, came, went in accounts(books.service[s], inside, workers, st):
            if came != went:
                raise ConservationError(f"{plan.name}: {what}: {came} on one side of the books, {went} on the other")
    if missing_blocks(t, st, cache, np.zeros(len(st.rank), np.int64)):
        raise ConservationError("KV blocks were lost or doubled")
    if not (st.slot[:, PHASE] > PENDING).any() and blocks_in_use(t, st):
        raise ConservationError(f"{blocks_in_use(t, st)} KV blocks are in use where nothing runs")
    if not np.array_equal(st.level_ticks.sum(axis=1), st.worker[:, BUSY]):
        raise ConservationError("busy ticks by clock level and in all differ")
    if unequal_loads(st.worker, pools):
        raise ConservationError("loads of routers and workers differ")


def accounts(count: Ints, inside: Ints, workers: Ints, st: State) -> list[tuple[str, int, int]]:
    """(what, one side, other side) of a service. ``count``: its counters, ``inside``: slots of its requests in the system,
    ``workers``: rows of its workers."""
    prefilled, filling = inside[inside[:, FIRST] >= 0], inside[inside[:, PHASE] == FILLING]
    out = count[FINISHED_S] + count[FULL] + count[LONG] + count[TIMED]
    prompts = count[INPUT_S] + prefilled[:, INPUT].sum()
    done = prompts + count[RECOMPUTED_S] + count[LOST_S] + filling[:, STORED].sum()
    prefills = count[FINISHED_S] + len(prefilled) + count[RECOMPUTES_S]
    fine = (workers[:, JOULES] << FINE_BITS) + workers[:, JOULE_CARRY]  # modulo 2**64 on both sides
    rows = (
        ("requests", count[ARRIVED], out + len(inside)),
        ("prefill tokens", workers[:, PREFILL_TOKENS].sum() + count[HIT_S], done),
        ("output tokens", count[OUTPUT_S], count[ASKED_S] + produced(inside, st).sum()),
        ("decode tokens", count[OUTPUT_S], workers[:, DECODE_TOKENS].sum() + prefills),
        ("microjoules", count[JOULES_S], fine.sum()),
    )
    return [(what, int(came), int(went)) for what, came, went in rows]


def audit_timeline(cell: Cell, st: State, books: Books, options: TwinOptions) -> None:
    """Where the buckets cover the whole run, they add up to the counters. Raises ConservationError."""
    if st.g[LAST] >= options.bucket_ticks * options.buckets:
        return
    joules = [int(st.worker[st.worker[:, SERVICE_OF] == s, JOULES].sum()) for s in range(len(cell.services))]
    sides = ((T_ARRIVED, ARRIVED), (T_FINISHED, FINISHED_S), (T_TOKENS, OUTPUT_S))
    for row, column in sides:
        if (books.line[row].sum(axis=1) != books.service[:, column]).any():
            raise ConservationError("the buckets of the timeline do not add up to the counters")
    if books.line[T_JOULES].sum(axis=1).tolist() != joules:
        raise ConservationError("the joules of the timeline are not those of the workers")


def blocks_in_use(t: Tables, st: State) -> int:
    """Blocks of all ranks that are neither wholly free nor cached without a user."""
    number = t.number[st.worker[st.rank[:, RANK_WORKER], VARIANT]]
    return int((number[:, BLOCKS] - st.rank[:, FREE] - number[:, UNIT] * st.rank[:, LRU_N]).sum())


def unequal_loads(worker: Ints, pools: Pools) -> bool:
    """True where a router's load is not its worker's."""
    for start, count, policy in pools.pool[:, [POOL_START, POOL_COUNT, POLICY]]:
        part = slice(start, start + count)
        row = worker[pools.member[part]]
        blocks = KV_SCALE * (row[:, OUT_TOKENS] // pools.block[part])
        if (pools.load[part] != (blocks if policy == KV_AWARE else row[:, OUTSTANDING])).any():
            return True
    return False
