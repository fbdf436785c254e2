"""The event loop. It returns where it needs more requests or more memory, and goes on from there when called again."""

from __future__ import annotations

from tokenworks.control.tournament import update, winner
from tokenworks.twin import columns as c
from tokenworks.twin.arrivals import arrive, arrive_at_decode, send, wake
from tokenworks.twin.capping import control_tick, set_level
from tokenworks.twin.columns import (
    ALONE,
    BUCKET,
    BUCKET_NEXT,
    BUCKETS,
    CLIENTS,
    CLOCK,
    CURSOR,
    DONE,
    ENDED_N,
    FIRST_RANK,
    HORIZON,
    IDLE,
    LAST,
    LEAP,
    LINKED,
    MIXED_STEP,
    MODE,
    MORE,
    MOVING_N,
    NEED_CHUNK,
    NEED_NODES,
    NEED_PAGES,
    NEED_SLOTS,
    NEVER,
    NOW,
    PENDING_N,
    RANK_COUNT,
    RELEASED,
    SLOT_HEAD,
    STEP,
    STEPS_AHEAD,
    TICK_NEXT,
    TICK_STEP,
    VARIANT,
    WOKEN,
    WOKEN_N,
)
from tokenworks.twin.compiled import compiled, entry, hot
from tokenworks.twin.endings import end_step
from tokenworks.twin.heaps import pop_event, push_event
from tokenworks.twin.leap import end_of, first_end_at, start_leap
from tokenworks.twin.planning import plan
from tokenworks.twin.prefix import store_hashes
from tokenworks.twin.retiring import retire
from tokenworks.twin.step_cost import mixed_cost
from tokenworks.twin.timeline import sample


@hot
def begin(w, t, st, cache, books, pools):  # type: ignore[no-untyped-def]
    """Build the next step of an idle worker; it stays idle where there is nothing to do."""
    worker = st.worker
    set_level(w, worker)
    worker[w, CLOCK] = st.g[NOW]
    tokens, decoding, hit, look = plan(w, t, st, cache, books, pools)
    if tokens > 0:
        v, first = worker[w, VARIANT], worker[w, FIRST_RANK]
        last, alone = first + worker[w, RANK_COUNT], t.number[worker[w, VARIANT], ALONE] == 1
        cost, joules, longest = mixed_cost(t.flat, t.line, t.number, v, st.rank, st.slot, first, last, alone)
        worker[w, c.BASE], worker[w, c.SLOPE], worker[w, c.JOULE_BASE], worker[w, c.JOULE_SLOPE] = cost, 0, joules, 0
        worker[w, STEPS_AHEAD], worker[w, MODE], worker[w, c.LINE] = 1, MIXED_STEP, longest
        st.ready[w] = end_of(worker, w, 1)
    elif decoding > 0:
        start_leap(w, decoding, hit, look, t, st)
    else:
        worker[w, STEP] = 0


@hot
def sort(values, count):  # type: ignore[no-untyped-def]
    """Insertion sort in place: rarely more than a few values."""
    for i in range(1, count):
        value, j = values[i], i
        while j > 0 and values[j - 1] > value:
            values[j] = values[j - 1]
            j -= 1
        values[j] = value


@hot
def build_steps(t, st, cache, books, pools, agenda):  # type: ignore[no-untyped-def]
    """After all events of a tick: woken workers build their steps, by index."""
    count, woken = st.g[WOKEN_N], agenda.woken
    sort(woken, count)
    st.g[WOKEN_N] = 0
    st.g[c.BUILT] = st.g[NOW]
    for i in range(count):
        w = woken[i]
        st.worker[w, WOKEN] = 0
        if st.worker[w, MODE] == IDLE:
            begin(w, t, st, cache, books, pools)
            if st.worker[w, c.LIFE] == c.LIFE_DRAINING:
                retire(w, t, st, cache)
        update(agenda.times, st.ready, w)


@hot
def load_slot(st, cache, agenda, i, arrival):  # type: ignore[no-untyped-def]
    """Request ``i`` of the chunk into a slot."""
    g, slots, row = st.g, st.slot, agenda.chunk
    s = g[SLOT_HEAD]
    g[SLOT_HEAD] = slots[s, c.NEXT]
    g[c.SLOTS_USED] += 1
    slots[s, c.ID], slots[s, c.ARRIVAL], slots[s, c.INPUT] = g[c.BASE_ID] + i, arrival, row[i, c.C_INPUT]
    slots[s, c.OUTPUT], slots[s, c.SERVICE] = row[i, c.C_OUTPUT], row[i, c.C_SERVICE]
    slots[s, c.SESSION], slots[s, c.PRIORITY] = row[i, c.C_SESSION], row[i, c.C_PRIORITY]
    slots[s, c.TIMEOUT], slots[s, c.GOAL] = row[i, c.C_TIMEOUT], row[i, c.C_INPUT]
    slots[s, c.STORED], slots[s, c.PRODUCED], slots[s, c.FIRST] = 0, 0, -1
    slots[s, c.PREEMPTED], slots[s, c.CACHED], slots[s, c.EXTRA] = 0, -1, -1
    slots[s, c.PINNED], slots[s, c.HASHES], slots[s, c.PHASE], slots[s, c.RANK] = 0, 0, c.PENDING, -1
    if g[c.ALLOCATES] == 1:
        st.own[s] = 0
    start, count = agenda.hash_start[i], agenda.hash_start[i + 1] - agenda.hash_start[i]
    if count > 0:
        g[c.HASHES_IN] += count
        store_hashes(cache, g, slots, s, agenda.hashes, start, count)
    return s


@hot
def shortage(i, st, agenda, cache):  # type: ignore[no-untyped-def]
    """What is missing to take request ``i`` of the chunk in, or DONE."""
    g = st.g
    if i >= len(agenda.chunk):
        return NEED_CHUNK
    if g[SLOT_HEAD] < 0:
        return NEED_SLOTS
    count = agenda.hash_start[i + 1] - agenda.hash_start[i]
    if g[c.PAGES_FREE] * c.PAGE_UNITS < count + c.PAGE_UNITS:
        return NEED_PAGES
    return DONE


@compiled
def release(st, agenda, cache):  # type: ignore[no-untyped-def]
    """Closed loop: each completion lets the next request come, after its think time."""
    g = st.g
    while g[RELEASED] > 0:
        lack = shortage(g[CURSOR], st, agenda, cache)
        if lack == NEED_CHUNK and g[MORE] == 0:
            g[RELEASED] = 0
            return DONE
        if lack != DONE:
            return lack
        i = g[CURSOR]
        known = g[c.BASE_ID] + i < g[CLIENTS]
        arrival = agenda.chunk[i, c.C_ARRIVAL] if known else g[NOW] + agenda.chunk[i, c.C_THINK]
        s = load_slot(st, cache, agenda, i, arrival)
        g[CURSOR] += 1
        push_event(agenda.pending, g, PENDING_N, arrival, st.slot[s, c.ID], s)
        g[RELEASED] -= 1
    return DONE


@compiled
def follow(st, books, agenda):  # type: ignore[no-untyped-def]
    """Linked requests whose predecessors have all left come after their pause."""
    g = st.g
    for k in range(g[ENDED_N]):
        i = books.ended[k]
        for j in agenda.link[agenda.link_start[i] : agenda.link_start[i + 1]]:
            agenda.missing[j] -= 1
            if agenda.missing[j] == 0:
                arrival = max(agenda.chunk[j, c.C_ARRIVAL], g[NOW] + agenda.chunk[j, c.C_THINK])
                push_event(agenda.pending, g, PENDING_N, arrival, j, j)
    g[ENDED_N] = 0


@hot
def next_arrival(st, agenda, cache):  # type: ignore[no-untyped-def]
    """(tick of the next arrival or NEVER, what is missing to know or to take it)."""
    g = st.g
    if g[CLIENTS] > 0:
        return (agenda.pending[0, 0] if g[PENDING_N] > 0 else NEVER), DONE
    if g[LINKED] > 0:
        if g[PENDING_N] == 0:
            return NEVER, DONE
        return agenda.pending[0, 0], shortage(agenda.pending[0, 2], st, agenda, cache)
    lack = shortage(g[CURSOR], st, agenda, cache)
    if lack == NEED_CHUNK and g[MORE] == 0:
        return NEVER, DONE
    return (NEVER if lack == NEED_CHUNK else agenda.chunk[g[CURSOR], c.C_ARRIVAL]), lack


@hot
def take_arrival(st, agenda, cache):  # type: ignore[no-untyped-def]
    """The slot of the request that arrives now."""
    if st.g[CLIENTS] > 0:
        return pop_event(agenda.pending, st.g, PENDING_N)
    if st.g[LINKED] > 0:
        return load_slot(st, cache, agenda, pop_event(agenda.pending, st.g, PENDING_N), st.g[NOW])
    st.g[CURSOR] += 1
    return load_slot(st, cache, agenda, st.g[CURSOR] - 1, agenda.chunk[st.g[CURSOR] - 1, c.C_ARRIVAL])


@compiled
def sample_until(tick, t, st, books):  # type: ignore[no-untyped-def]
    """Buckets that end at or before ``tick`` show the state just before its events."""
    g = st.g
    while g[BUCKET_NEXT] < g[BUCKETS] and tick >= (g[BUCKET_NEXT] + 1) * g[BUCKET]:
        sample(g[BUCKET_NEXT], (g[BUCKET_NEXT] + 1) * g[BUCKET], t, st, books)
        g[BUCKET_NEXT] += 1


@entry
def run(t, st, books, pools, cache, agenda, caps, joules, votes):  # type: ignore[no-untyped-def]
    """Process events until the horizon, until every request has left, or until something is missing."""
    g, ready, times = st.g, st.ready, agenda.times
    while True:
        if g[c.LEFT_N] >= g[c.LEFT_MOST]:
            return c.NEED_LOG
        if g[RELEASED] > 0:
            lack = release(st, agenda, cache)
            if lack != DONE:
                return lack
        if g[ENDED_N] > 0:
            follow(st, books, agenda)
        arrival, lack = next_arrival(st, agenda, cache)
        if lack != DONE:
            return lack
        if g[c.NODES_FREE] < g[c.HASHES_IN]:
            return NEED_NODES
        w = winner(times)
        step_at = ready[w]
        moved = agenda.moving[0, 0] if g[MOVING_N] > 0 else NEVER
        tick = min(step_at, arrival, moved)
        if g[WOKEN_N] > 0 and min(tick, g[TICK_NEXT]) > g[NOW]:
            build_steps(t, st, cache, books, pools, agenda)
            continue
        if tick == NEVER and g[c.HELD_N] == 0 and g[WOKEN_N] == 0:
            return DONE
        due = min(tick, g[TICK_NEXT])
        if g[HORIZON] > 0 and due >= g[HORIZON]:
            return DONE
        if g[BUCKETS] > 0:
            sample_until(due, t, st, books)
        g[NOW] = due
        if g[TICK_NEXT] <= tick:
            if g[c.SCALE_NEXT] == due:
                return c.NEED_SCALING
            control_tick(t, st, caps, agenda, joules, votes)
            g[c.CAP_NEXT] += g[TICK_STEP]
            g[TICK_NEXT] = min(g[c.CAP_NEXT], g[c.SCALE_NEXT])
            continue
        g[LAST] = tick
        if step_at == tick:
            end_step(w, tick, t, st, books, pools, cache, agenda)
            update(times, ready, w)
            wake(w, st, agenda)
        elif moved == tick:
            s = pop_event(agenda.moving, g, MOVING_N)
            arrive_at_decode(s, tick, t, st, books, pools, cache, agenda)
        else:
            arrive(take_arrival(st, agenda, cache), t, st, books, pools, cache, agenda)


@entry
def route_held(p, t, st, books, pools, cache, agenda):  # type: ignore[no-untyped-def]
    """Requests that waited for a first replica of pool ``p`` go to it as if they came now, in the order in which they came."""
    g, pool = st.g, pools.pool
    while pool[p, c.HELD_HEAD] >= 0:
        s = pool[p, c.HELD_HEAD]
        pool[p, c.HELD_HEAD] = st.slot[s, c.NEXT]
        service = st.slot[s, c.SERVICE]
        books.service[service, c.HELD_S] -= 1
        books.service[service, c.WAITING_S] -= 1
        g[c.HELD_N] -= 1
        g[LAST] = g[c.NOW]
        send(s, p, g[c.NOW], t, st, books, pools, cache, agenda)


@entry
def settle(t, st, books, pools, cache, agenda):  # type: ignore[no-untyped-def]
    """At the horizon: the rest of the timeline holds the final state; steps of a leap that ended before it did happen."""
    g, horizon = st.g, st.g[HORIZON]
    if horizon > 0:
        sample_until(horizon, t, st, books)
    while g[BUCKET_NEXT] < g[BUCKETS]:
        sample(g[BUCKET_NEXT], horizon, t, st, books)
        g[BUCKET_NEXT] += 1
    for w in range(len(st.worker)):
        if horizon > 0 and st.worker[w, MODE] == LEAP:
            k = first_end_at(st.worker, w, st.worker[w, STEPS_AHEAD], horizon) - 1
            if k > 0:
                tick = end_of(st.worker, w, k)
                st.worker[w, STEPS_AHEAD] = k
                g[LAST] = max(g[LAST], tick)
                end_step(w, tick, t, st, books, pools, cache, agenda)
