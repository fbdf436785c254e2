"""The timeline: what each bucket of time saw, exact even where one leap covers many buckets."""

from __future__ import annotations

from tokenworks.twin.blocks import available, needed
from tokenworks.twin.columns import (
    ALONE,
    BLOCKS,
    BUCKET,
    BUCKETS,
    CLOCK,
    DECODING,
    FINE_BITS,
    FIRST_RANK,
    HELD_S,
    JOULE_BASE,
    JOULE_CARRY,
    JOULE_SLOPE,
    LEAP,
    MODE,
    PHASE,
    RANK_COUNT,
    RUN_HEAD,
    RUNNING,
    SAMPLES,
    SERVICE_OF,
    SPECULATES,
    STEPS_AHEAD,
    T_BLOCKS,
    T_BUSY,
    T_JOULES,
    T_RUNNING,
    T_TOKENS,
    T_WAITING,
    TAKEN,
    VARIANT,
    WAITING_N,
    YOUNGER,
    D,
    N,
)
from tokenworks.twin.compiled import compiled
from tokenworks.twin.leap import end_of, first_end_at, sum_of
from tokenworks.twin.step_cost import grown


@compiled
def tokens_per_step(w, mixed, t, st):  # type: ignore[no-untyped-def]
    """Output tokens of each step under way (speculation never leaps)."""
    number, rank, slots, v = t.number, st.rank, st.slot, st.worker[w, VARIANT]
    total, first = 0, st.worker[w, FIRST_RANK]
    for g in range(first, first + st.worker[w, RANK_COUNT]):
        if mixed:
            total += rank[g, SAMPLES]
        if mixed and number[v, ALONE] == 1:
            continue
        if number[v, SPECULATES] == 0:
            total += rank[g, N]
            continue
        s = rank[g, RUN_HEAD]
        while s >= 0:
            if slots[s, PHASE] == DECODING:
                total += grown(slots, s, rank[g, D] + 1) - grown(slots, s, rank[g, D])
            s = slots[s, YOUNGER]
    return total


@compiled
def joules_after(worker, w, k):  # type: ignore[no-untyped-def]
    """Whole microjoules booked after ``k`` steps."""
    return (worker[w, JOULE_CARRY] + sum_of(worker[w, JOULE_BASE], worker[w, JOULE_SLOPE], k)) >> FINE_BITS


@compiled
def book_steps(w, k, mixed, t, st, books):  # type: ignore[no-untyped-def]
    """Tokens and joules of ``k`` steps into the buckets in which each ends; busy ticks spread over all they cover."""
    worker, bucket, buckets, line = st.worker, st.g[BUCKET], st.g[BUCKETS], books.line
    service, v, end = worker[w, SERVICE_OF], worker[w, VARIANT], end_of(worker, w, k)
    tokens, done = tokens_per_step(w, mixed, t, st), 0
    while done < k:
        b, upto = end_of(worker, w, done + 1) // bucket, k
        if b >= buckets:
            break
        if end // bucket != b:
            upto = first_end_at(worker, w, k, (b + 1) * bucket) - 1
        line[T_TOKENS, service, b] += tokens * (upto - done)
        line[T_JOULES, service, b] += joules_after(worker, w, upto) - joules_after(worker, w, done)
        done = upto
    at = worker[w, CLOCK]
    while at < end and at // bucket < buckets:
        b = at // bucket
        stop = min(end, (b + 1) * bucket)
        line[T_BUSY + v, service, b] += stop - at
        at = stop


@compiled
def sample(b, tick, t, st, books):  # type: ignore[no-untyped-def]
    """Queue, batch and blocks just before ``tick`` into bucket ``b``, steps under way included."""
    worker, rank, line = st.worker, st.rank, books.line
    for w in range(len(worker)):
        service, v = worker[w, SERVICE_OF], worker[w, VARIANT]
        if service < 0:
            continue
        begun = 1
        if worker[w, MODE] == LEAP:
            begun = steps_begun(worker, w, tick)
        first = worker[w, FIRST_RANK]
        for g in range(first, first + worker[w, RANK_COUNT]):
            line[T_WAITING, service, b] += rank[g, WAITING_N]
            line[T_RUNNING, service, b] += rank[g, RUNNING]
            used = t.number[v, BLOCKS] - available(rank, t.number, v, g)
            if begun > 1:
                used += needed(st.phase, rank, t.number, v, g, worker[w, TAKEN], begun - worker[w, TAKEN])
            line[T_BLOCKS, service, b] += used
    for service in range(len(books.service)):
        line[T_WAITING, service, b] += books.service[service, HELD_S]


@compiled
def steps_begun(worker, w, tick):  # type: ignore[no-untyped-def]
    """Steps of the leap under way that began before ``tick``."""
    return first_end_at(worker, w, worker[w, STEPS_AHEAD], tick)
