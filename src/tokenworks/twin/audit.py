"""Are the blocks all there? Checked at the end of every run."""

from __future__ import annotations

from tokenworks.twin.blocks import held, needed, needed_now
from tokenworks.twin.columns import (
    ALONE,
    BLOCKS,
    FREE,
    IDLE,
    LRU_N,
    MIXED_STEP,
    MODE,
    MOVING,
    N_COUNT,
    N_RANK,
    N_TIER,
    PHASE,
    RANK,
    RANK_WORKER,
    RUN_HEAD,
    SPECULATES,
    TAKEN,
    TIER_N,
    UNIT,
    VARIANT,
    YOUNGER,
)
from tokenworks.twin.compiled import compiled, entry


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

