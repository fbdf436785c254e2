"""The end of a step or leap: tokens are produced, sequences finish, prefills join decode or leave for the decode pool."""

from __future__ import annotations

from tokenworks.twin import columns as c
from tokenworks.twin.blocks import needed, take
from tokenworks.twin.cell import FINISHED
from tokenworks.twin.columns import (
    AHEAD,
    ALLOCATES,
    ALONE,
    BASE,
    BATCH_STEPS,
    BUCKETS,
    BUSY,
    CARRY,
    CHUNK_TOKENS,
    CLOCK,
    DECODE_STEPS,
    DECODE_TOKENS,
    DECODING,
    EXTRA,
    FILL_HEAD,
    FINE_BITS,
    FINE_MASK,
    FIRST,
    FIRST_RANK,
    GOAL,
    HASHES,
    HEAP_N,
    ID,
    IDLE,
    INPUT,
    JOULE_BASE,
    JOULE_CARRY,
    JOULE_SLOPE,
    JOULES,
    JOULES_S,
    LATENCY,
    LEVEL,
    M_SINCE,
    M_WIDE,
    MIXED_STEP,
    MODE,
    MOVING,
    MOVING_N,
    NEVER,
    OUTPUT,
    OUTPUT_S,
    PER_TOKEN,
    PHASE,
    PREFILL_TOKENS,
    PREFIX,
    PRODUCED,
    RANK_COUNT,
    RECOMPUTED_S,
    RECOMPUTES_S,
    RELOAD,
    RELOADED,
    RUN_HEAD,
    SEEN,
    SERVICE,
    SERVICE_OF,
    SLOPE,
    SPECULATES,
    STEP,
    STEPS_AHEAD,
    STEPS_DONE,
    STORED,
    TAKEN,
    TRANSFERS,
    VARIANT,
    YOUNGER,
    D,
    N,
)
from tokenworks.twin.compiled import compiled, hot
from tokenworks.twin.dividing import charge_chunk, divide_step
from tokenworks.twin.heaps import pop, push_event
from tokenworks.twin.leap import end_of, sum_of
from tokenworks.twin.leaving import book_first_token, change_load, leave_system
from tokenworks.twin.prefix import publish
from tokenworks.twin.sequences import cross_limits, join_decode, leave_decode, release_blocks
from tokenworks.twin.settling import prefills_only, settle_share
from tokenworks.twin.sharing import FULL, close_share, fold_all, join_share
from tokenworks.twin.step_cost import grown
from tokenworks.twin.step_log import log_steps
from tokenworks.twin.timeline import book_steps
from tokenworks.twin.waiting import stop_filling, stop_running


@compiled
def tokens_of_step(g, rank, slots):  # type: ignore[no-untyped-def]
    """Tokens that one step of a rank that speculates produces."""
    total, s = 0, rank[g, RUN_HEAD]
    while s >= 0:
        if slots[s, PHASE] == DECODING:
            total += grown(slots, s, rank[g, D] + 1) - grown(slots, s, rank[g, D])
        s = slots[s, YOUNGER]
    return total


@hot
def advance(w, k, tick, worker, level_ticks):  # type: ignore[no-untyped-def]
    """Clock, joules and counters of the worker over ``k`` steps. Returns their fine microjoules."""
    fine = worker[w, CARRY] + sum_of(worker[w, BASE], worker[w, SLOPE], k)
    worker[w, SEEN] = end_of(worker, w, k - 1)  # when the last of them began
    worker[w, BUSY] += fine >> FINE_BITS
    level_ticks[w, worker[w, LEVEL]] += fine >> FINE_BITS
    worker[w, CARRY] = fine & FINE_MASK
    spent = sum_of(worker[w, JOULE_BASE], worker[w, JOULE_SLOPE], k)
    joules = worker[w, JOULE_CARRY] + spent
    worker[w, JOULES] += joules >> FINE_BITS
    worker[w, JOULE_CARRY] = joules & FINE_MASK
    worker[w, CLOCK] = tick
    worker[w, STEPS_DONE] += k
    worker[w, STEP] += k
    return spent


@hot
def decode_steps(g, w, v, k, tick, t, st, books, pools, cache):  # type: ignore[no-untyped-def]
    """``k`` decode steps of a rank; sequences that owe nothing more finish, in order of admission."""
    number, rank, slots, worker = t.number, st.rank, st.slot, st.worker
    n = rank[g, N]
    tokens = n * k
    if number[v, SPECULATES] == 1:
        tokens = tokens_of_step(g, rank, slots)
    elif k > 1:
        extra = needed(st.phase, rank, number, v, g, worker[w, TAKEN], k - worker[w, TAKEN])
        take(rank, number, v, g, extra, cache, st.g)
    rank[g, D] += k
    rank[g, AHEAD] = 0
    worker[w, DECODE_TOKENS] += tokens
    worker[w, BATCH_STEPS] += n * k
    cross_limits(g, w, v, number, rank, slots, st)
    while rank[g, HEAP_N] > 0 and st.heap[g, 0, 0, 0] <= rank[g, D]:
        s = pop(st.heap, rank, g, 0, slots)
        if st.g[ALLOCATES] == 1:
            close_share(s, w, v, number, st)
        release_blocks(g, s, v, number, rank, slots, cache)
        leave_decode(g, s, v, number, rank, slots, st.heap, st.phase)
        stop_running(rank, slots, g, s)
        leave_system(s, w, tick, FINISHED, st, books, pools, cache)
    return tokens


@hot
def end_prefills(g, w, v, tick, t, st, books, pools, cache, agenda):  # type: ignore[no-untyped-def]
    """Chunks of a rank's step are stored; full prompts yield a token. Returns how many did."""
    rank, slots = st.rank, st.slot
    left, samples = rank[g, CHUNK_TOKENS], 0
    st.worker[w, PREFILL_TOKENS] += left
    st.worker[w, RELOADED] += rank[g, RELOAD]
    while left > 0:
        s = rank[g, FILL_HEAD]
        chunk = min(left, slots[s, GOAL] - slots[s, STORED])
        if st.g[ALLOCATES] == 1:
            charge_chunk(s, w, v, chunk, t, st)
        slots[s, STORED] += chunk
        left -= chunk
        if slots[s, STORED] >= slots[s, GOAL]:
            samples += 1
            end_prefill(s, g, w, v, tick, t, st, books, pools, cache, agenda)
    return samples


@hot
def end_prefill(s, g, w, v, tick, t, st, books, pools, cache, agenda):  # type: ignore[no-untyped-def]
    """The prompt is stored: first token, then decode, the end, or a transfer."""
    number, rank, slots = t.number, st.rank, st.slot
    stop_filling(rank, slots, g, s)
    slots[s, PRODUCED] += 1
    if slots[s, FIRST] < 0:
        book_first_token(s, tick, slots, st.g, books)
    else:
        books.service[slots[s, SERVICE], RECOMPUTES_S] += 1
        books.service[slots[s, SERVICE], RECOMPUTED_S] += slots[s, GOAL]
    if number[v, PREFIX] == 1 and slots[s, HASHES] > 0:
        publish(cache, st.g, slots, s, g)
    if slots[s, PRODUCED] >= slots[s, OUTPUT]:
        release_blocks(g, s, v, number, rank, slots, cache)
        stop_running(rank, slots, g, s)
        leave_system(s, w, tick, FINISHED, st, books, pools, cache)
    elif prefills_only(w, st.worker, books.service):
        stop_running(rank, slots, g, s)
        if st.g[ALLOCATES] == 1:
            settle_share(s, w, st, books)
        slots[s, PHASE] = MOVING
        st.worker[w, TRANSFERS] += 1
        change_load(w, -1, -(slots[s, INPUT] + slots[s, OUTPUT]), st.worker, pools)
        arrives = tick + number[v, LATENCY] + slots[s, INPUT] * number[v, PER_TOKEN]
        push_event(agenda.moving, st.g, MOVING_N, arrives, slots[s, ID], s)
    else:
        slots[s, EXTRA] = -1
        join_decode(g, s, v, number, t.rate, rank, slots, st.heap, st.phase)
        if st.g[ALLOCATES] == 1:
            join_share(s, w, v, number, st)


@hot
def end_step(w, tick, t, st, books, pools, cache, agenda):  # type: ignore[no-untyped-def]
    """Apply the step or leap of a worker that ends at ``tick``; the worker is idle then."""
    number, worker = t.number, st.worker
    v, k, mixed = worker[w, VARIANT], worker[w, STEPS_AHEAD], worker[w, MODE] == MIXED_STEP
    if st.g[BUCKETS] > 0:
        book_steps(w, k, mixed, t, st, books)
    if st.g[c.TRACE_FROM] <= tick < st.g[c.TRACE_TO]:
        log_steps(w, k, mixed, tick, t, st, books)
    if st.g[ALLOCATES] == 1:
        divide_step(w, k, mixed, t, st)
        if max(st.meter[w, M_SINCE], st.meter[w, M_WIDE + M_SINCE]) > FULL:
            fold_all(w, v, t, st)
    fine = advance(w, k, tick, worker, st.level_ticks)
    if mixed:
        worker[w, STEP] = 0
    else:
        worker[w, DECODE_STEPS] += k
    tokens, first = 0, worker[w, FIRST_RANK]
    for g in range(first, first + worker[w, RANK_COUNT]):
        if st.rank[g, N] > 0 and not (mixed and number[v, ALONE] == 1):
            tokens += decode_steps(g, w, v, k, tick, t, st, books, pools, cache)
        if mixed and st.rank[g, CHUNK_TOKENS] > 0:
            tokens += end_prefills(g, w, v, tick, t, st, books, pools, cache, agenda)
    books.service[worker[w, SERVICE_OF], OUTPUT_S] += tokens
    books.service[worker[w, SERVICE_OF], JOULES_S] += fine
    worker[w, MODE] = IDLE
    worker[w, TAKEN] = 1
    st.ready[w] = NEVER
