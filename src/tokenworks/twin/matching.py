"""KV-aware routing: the worker of lowest load less the prefix that its cache holds, without a look into every cache."""

from __future__ import annotations

from tokenworks.control.tournament import winner
from tokenworks.twin.blocks import needed, take
from tokenworks.twin.columns import (
    BLOCK,
    BUILT,
    EVICTS,
    FIRST_RANK,
    GOAL,
    HASHES,
    KV_WEIGHT,
    LEAP,
    MODE,
    N_TIER,
    PAGE,
    PAGE_UNITS,
    POOL_COUNT,
    POOL_START,
    PREFIX,
    RANK_COUNT,
    RUNNING,
    TAKEN,
    UNIT,
    VARIANT,
    WAITING_N,
)
from tokenworks.twin.compiled import compiled, hot
from tokenworks.twin.prefix import find, runs
from tokenworks.twin.timeline import steps_begun


@hot
def rank_for(w, worker, rank):  # type: ignore[no-untyped-def]
    """The rank with the fewest outstanding requests, the first on ties."""
    best = worker[w, FIRST_RANK]
    for g in range(best + 1, best + worker[w, RANK_COUNT]):
        if rank[g, RUNNING] + rank[g, WAITING_N] < rank[best, RUNNING] + rank[best, WAITING_N]:
            best = g
    return best


@compiled
def catch_up(w, now, t, st, cache):  # type: ignore[no-untyped-def]
    """Take the blocks of steps that a leap has begun before ``now``, so that the prefix cache stands as it is now."""
    worker = st.worker
    begun, first = steps_begun(worker, w, now + (st.g[BUILT] == now)), worker[w, FIRST_RANK]
    for g in range(first, first + worker[w, RANK_COUNT]):
        more = needed(st.phase, st.rank, t.number, worker[w, VARIANT], g, worker[w, TAKEN], begun - worker[w, TAKEN])
        take(st.rank, t.number, worker[w, VARIANT], g, more, cache, st.g)
    worker[w, TAKEN] = max(worker[w, TAKEN], begun)


@compiled
def matched(s, w, g, now, usable, t, st, cache):  # type: ignore[no-untyped-def]
    """Units at the front of the prompt in the device cache of worker ``w``, rank ``g``, as it stands now."""
    if st.worker[w, MODE] == LEAP and st.worker[w, EVICTS]:
        catch_up(w, now, t, st, cache)
    device, _, _ = runs(cache, st.slot, s, g, usable)
    return device


@hot
def may_match(s, g, gap, gain, slots, cache):  # type: ignore[no-untyped-def]
    """False where the device cache of rank ``g`` cannot hold the run that saves ``gap``. One unit of it is looked up, at
    1, 2, 4 … so that all workers of a pool are asked for the same few units, whose entries lie side by side."""
    units = 1
    while units < PAGE_UNITS and (2 * units - 1) * gain < gap:
        units *= 2
    x = find(cache, g, cache.page[slots[s, PAGE], 0, units - 1])
    return x >= 0 and cache.node[x, N_TIER] == 0


@compiled
def choose_kv_aware(p, s, now, matching, tree, t, st, pools, cache):  # type: ignore[no-untyped-def]
    """Place of the worker of lowest cost, the first on ties: outstanding tokens in blocks less the prefix that its cache
    holds (in 1/256 blocks). Only a prefix lets another one beat the least loaded."""
    number, worker, slots = t.number, st.worker, st.slot
    pool, start, lightest = pools.pool, pools.pool[p, POOL_START], winner(tree)
    best, lowest, weight = lightest, pools.load[start + lightest], pools.pool[p, KV_WEIGHT]
    if not matching or slots[s, HASHES] == 0 or weight == 0:
        return best
    for i in range(-1, pool[p, POOL_COUNT]):
        place = lightest if i < 0 else i
        w = pools.member[start + place]
        v = worker[w, VARIANT]
        if i == lightest or number[v, PREFIX] == 0:
            continue
        gain, usable = weight * number[v, UNIT], (slots[s, GOAL] - 1) // (number[v, UNIT] * number[v, BLOCK])
        gap = pools.load[start + place] - lowest + (place > best)
        if gap > gain * min(usable, slots[s, HASHES]):
            continue
        g = rank_for(w, worker, st.rank)
        if i >= 0 and not may_match(s, g, gap, gain, slots, cache):
            continue
        saved = gain * matched(s, w, g, now, usable, t, st, cache)
        if i < 0 or saved >= gap:
            best, lowest = place, pools.load[start + place] - saved
    return best
