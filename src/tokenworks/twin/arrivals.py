"""Requests come in: routed, bound to a rank, queued; a leap that they could join is cut."""

from __future__ import annotations

from tokenworks.control.routing import choose
from tokenworks.control.tournament import update
from tokenworks.twin.blocks import blocks_for
from tokenworks.twin.cell import KV_AWARE, REJECTED_QUEUE_FULL, REJECTED_TOO_LONG
from tokenworks.twin.columns import (
    ARRIVAL,
    ARRIVED,
    BLOCK,
    BLOCKS,
    BUCKET,
    BUCKETS,
    BUILT,
    EXTRA,
    FULL,
    GOAL,
    HELD,
    HELD_HEAD,
    HELD_N,
    HELD_S,
    HELD_TAIL,
    ID,
    IDLE,
    INPUT,
    LEAP,
    LONG,
    MAX_SEQS,
    MAX_WAITING,
    MODE,
    NEXT,
    OUTPUT,
    PHASE,
    POLICY,
    POOL_A,
    POOL_B,
    POOL_COUNT,
    POOL_START,
    POOL_TURN,
    QUEUED,
    RANK,
    RANK_WORKER,
    RESERVED,
    RUNNING,
    SEED,
    SERVICE,
    SESSION,
    SMALLEST,
    SMALLEST_BLOCK,
    STEPS_AHEAD,
    STORED,
    T_ARRIVED,
    TRANSFERS,
    TREE_END,
    TREE_START,
    VARIANT,
    WAITING_S,
    WOKEN,
    WOKEN_N,
)
from tokenworks.twin.compiled import compiled, hot
from tokenworks.twin.leap import end_of, join_at
from tokenworks.twin.leaving import change_load, leave_system
from tokenworks.twin.matching import choose_kv_aware, rank_for
from tokenworks.twin.sequences import release_blocks
from tokenworks.twin.waiting import enqueue


@hot
def route(p, s, now, matching, t, st, pools, cache):  # type: ignore[no-untyped-def]
    """The worker of pool ``p`` that takes request ``s``."""
    pool, start = pools.pool, pools.pool[p, POOL_START]
    stop = start + pool[p, POOL_COUNT]
    if stop == start + 1:
        return pools.member[start]
    tree = pools.tree[pool[p, TREE_START] : pool[p, TREE_END]]
    if pool[p, POLICY] == KV_AWARE:
        return pools.member[start + choose_kv_aware(p, s, now, matching, tree, t, st, pools, cache)]
    place = choose(
        pool[p, POLICY],
        pools.load[start:stop],
        tree,
        pool[p, POOL_TURN],
        st.g[SEED],
        st.slot[s, ID],
        st.slot[s, SESSION],
    )
    return pools.member[start + place]


@hot
def hand_over(s, w, now, t, st, books, pools, agenda):  # type: ignore[no-untyped-def]
    """Queue a routed request at its worker, and see to it that it is looked at in time: at the first boundary that is
    not before now, or after now where the steps of this tick are built already (events made by building)."""
    slots, worker = st.slot, st.worker
    change_load(w, 1, slots[s, INPUT] + slots[s, OUTPUT], worker, pools)
    g = rank_for(w, worker, st.rank)
    slots[s, RANK], slots[s, PHASE], slots[s, EXTRA] = g, QUEUED, -1
    leads = enqueue(st.queue, st.rank, slots, g, s)
    books.service[slots[s, SERVICE], WAITING_S] += 1
    if worker[w, MODE] == IDLE:
        wake(w, st, agenda)
    elif worker[w, MODE] == LEAP and leads and st.rank[g, RUNNING] < t.number[worker[w, VARIANT], MAX_SEQS]:
        v, most, tick = worker[w, VARIANT], worker[w, STEPS_AHEAD], now + (st.g[BUILT] == now)
        k = join_at(w, v, most, slots[s, ARRIVAL], tick, t.number, worker)
        if k < most:
            worker[w, STEPS_AHEAD] = k
            st.ready[w] = end_of(worker, w, k)
            update(agenda.times, st.ready, w)


@hot
def wake(w, st, agenda):  # type: ignore[no-untyped-def]
    """An idle worker builds a step after all events of this tick."""
    if st.worker[w, WOKEN] == 0:
        st.worker[w, WOKEN] = 1
        agenda.woken[st.g[WOKEN_N]] = w
        st.g[WOKEN_N] += 1


@hot
def arrive(s, t, st, books, pools, cache, agenda):  # type: ignore[no-untyped-def]
    """A request reaches the router."""
    service, now = st.slot[s, SERVICE], st.slot[s, ARRIVAL]
    count = books.service
    count[service, ARRIVED] += 1
    if st.g[BUCKETS] > 0 and now // st.g[BUCKET] < st.g[BUCKETS]:
        books.line[T_ARRIVED, service, now // st.g[BUCKET]] += 1
    if count[service, MAX_WAITING] > 0 and count[service, WAITING_S] >= count[service, MAX_WAITING]:
        count[service, FULL] += 1
        leave_system(s, -1, now, REJECTED_QUEUE_FULL, st, books, pools, cache)
        return
    p = count[service, POOL_A]
    if pools.pool[p, POOL_COUNT] == 0:
        hold(s, p, st, books, pools)
        return
    send(s, p, now, t, st, books, pools, cache, agenda)


@compiled
def hold(s, p, st, books, pools):  # type: ignore[no-untyped-def]
    """No replica takes requests: it waits at the router."""
    pool, count, service = pools.pool, books.service, st.slot[s, SERVICE]
    st.slot[s, PHASE], st.slot[s, NEXT] = HELD, -1
    if pool[p, HELD_HEAD] < 0:
        pool[p, HELD_HEAD] = s
    else:
        st.slot[pool[p, HELD_TAIL], NEXT] = s
    pool[p, HELD_TAIL] = s
    count[service, HELD_S] += 1
    count[service, WAITING_S] += 1
    st.g[HELD_N] += 1


@hot
def send(s, p, now, t, st, books, pools, cache, agenda):  # type: ignore[no-untyped-def]
    """To a worker of pool ``p``, unless none could hold it."""
    service, count = st.slot[s, SERVICE], books.service
    w = route(p, s, now, True, t, st, pools, cache)
    if never_fits(s, w, t.number, st, count):
        count[service, LONG] += 1
        leave_system(s, -1, now, REJECTED_TOO_LONG, st, books, pools, cache)
        return
    pools.pool[p, POOL_TURN] += 1
    hand_over(s, w, now, t, st, books, pools, agenda)


@hot
def never_fits(s, w, number, st, count):  # type: ignore[no-untyped-def]
    """Sets what the request reserves at worker ``w``; True where no empty worker could hold it."""
    slots, v, service = st.slot, st.worker[w, VARIANT], st.slot[s, SERVICE]
    whole = slots[s, INPUT] + slots[s, OUTPUT] - 1
    split = count[service, POOL_B] >= 0
    slots[s, RESERVED] = slots[s, INPUT] if split else whole
    if split and slots[s, OUTPUT] > 1 and blocks_for(whole, count[service, SMALLEST_BLOCK]) > count[service, SMALLEST]:
        return True
    return blocks_for(slots[s, RESERVED], number[v, BLOCK]) > number[v, BLOCKS]


@compiled
def arrive_at_decode(s, now, t, st, books, pools, cache, agenda):  # type: ignore[no-untyped-def]
    """A KV transfer ends: blocks of the prefill worker are freed, the request goes to a decode worker."""
    slots = st.slot
    g = slots[s, RANK]
    source = st.rank[g, RANK_WORKER]
    release_blocks(g, s, st.worker[source, VARIANT], t.number, st.rank, slots, cache)
    st.worker[source, TRANSFERS] -= 1
    if st.worker[source, MODE] == IDLE:
        wake(source, st, agenda)
    p = books.service[slots[s, SERVICE], POOL_B]
    w = route(p, s, now, False, t, st, pools, cache)
    pools.pool[p, POOL_TURN] += 1
    slots[s, RESERVED] = slots[s, INPUT] + slots[s, OUTPUT] - 1
    slots[s, GOAL], slots[s, STORED] = slots[s, INPUT], slots[s, INPUT]
    hand_over(s, w, now, t, st, books, pools, agenda)
