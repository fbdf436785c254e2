"""A request leaves the cell: latencies booked, loads lowered, its slot recycled."""

from __future__ import annotations

from tokenworks.control.tournament import update
from tokenworks.twin.cell import FINISHED, KV_AWARE
from tokenworks.twin.columns import (
    ALLOCATES,
    ARRIVAL,
    ASKED_S,
    BUCKET,
    BUCKETS,
    CACHED,
    CACHED_S,
    CLIENTS,
    ENDED_N,
    FINISHED_S,
    FIRST,
    FREE_SLOT,
    HASHES,
    HASHES_IN,
    ID,
    INPUT,
    INPUT_S,
    L_ARRIVAL,
    L_CACHED,
    L_FINISH,
    L_FIRST,
    L_ID,
    L_PREEMPTED,
    L_PRODUCED,
    L_SHARE,
    L_STATUS,
    L_WORKER,
    LEFT_N,
    LINKED,
    NEXT,
    O_SHARE,
    OUT_TOKENS,
    OUTPUT,
    OUTSTANDING,
    PHASE,
    PLACE,
    POLICY,
    POOL_COUNT,
    POOL_OF,
    POOL_START,
    PREEMPTED,
    PRODUCED,
    RECORD,
    RELEASED,
    SERVICE,
    SHARE_COLUMNS,
    SLO_E2E,
    SLO_TPOT,
    SLO_TTFT,
    SLOT_HEAD,
    SLOTS_USED,
    T_FINISHED,
    TREE_END,
    TREE_START,
    WARMUP,
    WITHIN,
)
from tokenworks.twin.compiled import compiled, hot
from tokenworks.twin.prefix import drop_hashes
from tokenworks.twin.settling import settle_share
from tokenworks.twin.statistics import bin_of

KV_SCALE = 256  # costs of KV-aware routing are in 1/256 blocks


@hot
def change_load(w, count, tokens, worker, pools):  # type: ignore[no-untyped-def]
    """Outstanding requests and tokens of a worker changed: its pool's tournament follows, unless it takes no requests any
    more. KV-aware pools compare cost."""
    worker[w, OUTSTANDING] += count
    worker[w, OUT_TOKENS] += tokens
    p = worker[w, POOL_OF]
    start, place = pools.pool[p, POOL_START], worker[w, PLACE]
    if place < 0:
        return
    stop = start + pools.pool[p, POOL_COUNT]
    if pools.pool[p, POLICY] == KV_AWARE:
        pools.load[start + place] = KV_SCALE * (worker[w, OUT_TOKENS] // pools.block[start + place])
    else:
        pools.load[start + place] = worker[w, OUTSTANDING]
    if stop - start > 1:
        tree = pools.tree[pools.pool[p, TREE_START] : pools.pool[p, TREE_END]]
        update(tree, pools.load[start:stop], place)


@hot
def book(service, kind, ticks, books):  # type: ignore[no-untyped-def]
    """One latency (0 TTFT, 1 TPOT, 2 E2E) into the histogram of its service."""
    books.hist[service, kind, bin_of(ticks, books.edges)] += 1
    books.total[service, kind] += ticks
    if ticks > books.most[service, kind]:
        books.most[service, kind] = ticks


@hot
def book_first_token(s, tick, slots, scalars, books):  # type: ignore[no-untyped-def]
    slots[s, FIRST] = tick
    if slots[s, ARRIVAL] >= scalars[WARMUP]:
        book(slots[s, SERVICE], 0, tick - slots[s, ARRIVAL], books)


@hot
def book_finish(s, tick, slots, scalars, books):  # type: ignore[no-untyped-def]
    service, count = slots[s, SERVICE], books.service
    count[service, FINISHED_S] += 1
    count[service, INPUT_S] += slots[s, INPUT]
    count[service, ASKED_S] += slots[s, OUTPUT]
    count[service, CACHED_S] += max(0, slots[s, CACHED])
    if scalars[BUCKETS] > 0 and tick // scalars[BUCKET] < scalars[BUCKETS]:
        books.line[T_FINISHED, service, tick // scalars[BUCKET]] += 1
    life, n = tick - slots[s, ARRIVAL], slots[s, OUTPUT]
    ttft = slots[s, FIRST] - slots[s, ARRIVAL]
    tpot = (life - ttft) // (n - 1) if n > 1 else 0
    late = count[service, SLO_TTFT] > 0 and ttft > count[service, SLO_TTFT]
    late = late or (count[service, SLO_TPOT] > 0 and tpot > count[service, SLO_TPOT])
    late = late or (count[service, SLO_E2E] > 0 and life > count[service, SLO_E2E])
    count[service, WITHIN] += not late
    if slots[s, ARRIVAL] < scalars[WARMUP]:
        return
    book(service, 2, life, books)
    if n > 1:
        book(service, 1, tpot, books)


@compiled
def write_log(s, w, tick, status, st, log):  # type: ignore[no-untyped-def]
    """The next row. There is room: the kernel comes back before each event where there may not be."""
    g, slots = st.g, st.slot
    row = log[g[LEFT_N]]
    g[LEFT_N] += 1
    row[L_ID] = slots[s, ID]
    row[L_ARRIVAL], row[L_FIRST], row[L_FINISH] = slots[s, ARRIVAL], slots[s, FIRST], tick
    row[L_STATUS], row[L_PRODUCED], row[L_CACHED] = status, slots[s, PRODUCED], max(0, slots[s, CACHED])
    row[L_PREEMPTED], row[L_WORKER] = slots[s, PREEMPTED], w
    if g[ALLOCATES] == 1:
        for k in range(SHARE_COLUMNS):
            row[L_SHARE + k] = st.own[s, O_SHARE + k]


@compiled
def leave_system(s, w, tick, status, st, books, pools, cache):  # type: ignore[no-untyped-def]
    """``w`` is the worker whose load it was, or −1."""
    slots, g = st.slot, st.g
    if w >= 0:
        change_load(w, -1, -(slots[s, INPUT] + slots[s, OUTPUT]), st.worker, pools)
    if status == FINISHED:
        slots[s, PRODUCED] = slots[s, OUTPUT]
        book_finish(s, tick, slots, g, books)
        if g[ALLOCATES] == 1:
            settle_share(s, w, st, books)
    if g[RECORD] == 1:
        write_log(s, w, tick, status, st, books.log)
    if slots[s, HASHES] > 0:
        g[HASHES_IN] -= slots[s, HASHES]
        drop_hashes(cache, g, slots, s)
    slots[s, PHASE], slots[s, NEXT] = FREE_SLOT, g[SLOT_HEAD]
    g[SLOT_HEAD] = s
    g[SLOTS_USED] -= 1
    if g[CLIENTS] > 0:
        g[RELEASED] += 1
    if g[LINKED] > 0:
        books.ended[g[ENDED_N]] = slots[s, ID]
        g[ENDED_N] += 1
