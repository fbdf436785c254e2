"""A replica that is to go has nothing left to do: it is off, and what its memory held is gone."""

from __future__ import annotations

from tokenworks.twin.columns import (
    FIRST_RANK,
    FREE,
    IDLE,
    LIFE,
    LIFE_OFF,
    LRU_N,
    MODE,
    NOW,
    OFF_SINCE,
    OFF_TICKS,
    OUTSTANDING,
    RANK_COUNT,
    TIER_HEAD,
    TIERS,
    TRANSFERS,
    UNIT,
    VARIANT,
)
from tokenworks.twin.compiled import compiled, entry
from tokenworks.twin.prefix import destroy, unlink


@compiled
def retire(w, t, st, cache):  # type: ignore[no-untyped-def]
    """Off, where no request and no KV transfer is left at it."""
    worker = st.worker
    if worker[w, MODE] == IDLE and worker[w, OUTSTANDING] == 0 and worker[w, TRANSFERS] == 0:
        worker[w, LIFE], worker[w, OFF_SINCE] = LIFE_OFF, st.g[NOW]
        forget(w, t, st, cache)


@entry
def retire_now(w, t, st, cache):  # type: ignore[no-untyped-def]
    """The same, for a controller."""
    retire(w, t, st, cache)


@compiled
def forget(w, t, st, cache):  # type: ignore[no-untyped-def]
    """Empty the prefix cache of a worker, tiers included: nothing refers to its units any more."""
    v, first = st.worker[w, VARIANT], st.worker[w, FIRST_RANK]
    for g in range(first, first + st.worker[w, RANK_COUNT]):
        st.rank[g, FREE] += t.number[v, UNIT] * st.rank[g, LRU_N]
        st.rank[g, LRU_N] = 0
        for k in range(t.number[v, TIERS] + 1):
            while cache.tier[g, k, TIER_HEAD] >= 0:
                x = cache.tier[g, k, TIER_HEAD]
                unlink(cache, x)
                destroy(cache, st.g, x)


@compiled
def off_ticks(worker, w, now):  # type: ignore[no-untyped-def]
    """Ticks that a worker has been off."""
    since = worker[w, OFF_SINCE]
    return worker[w, OFF_TICKS] + (now - since if since >= 0 else 0)
