"""What goes into a worker's next step: blocks and preemption, running prefills, admission (semantics page, "A step")."""

from __future__ import annotations

from tokenworks.twin.blocks import available, blocks_for, needed_now, needs, take
from tokenworks.twin.cell import TIMED_OUT
from tokenworks.twin.columns import (
    AHEAD,
    ALLOCATES,
    ALONE,
    ARRIVAL,
    BLOCK,
    BUDGET,
    CACHED,
    CHUNK_TOKENS,
    CHUNKED,
    EXTRA,
    FILL_HEAD,
    FILLING,
    FIRST,
    FIRST_RANK,
    GOAL,
    HASHES,
    HIT_S,
    INTERVAL,
    LIMIT1,
    LIMIT2,
    MAX_SEQS,
    NEXT,
    NOW,
    PAIR0,
    PHASE,
    PLANS_AHEAD,
    PREFIX,
    RANK_COUNT,
    RANK_WORKER,
    RELOAD,
    RESERVE,
    RESERVED,
    RUN_HEAD,
    RUN_TAIL,
    RUNNING,
    SAMPLES,
    SERVICE,
    STEP,
    STORED,
    TIMED,
    TIMEOUT,
    UNIT,
    VARIANT,
    WAITING_N,
    WAITING_S,
    YOUNGER,
    D,
    N,
)
from tokenworks.twin.compiled import compiled, hot
from tokenworks.twin.leap import unseen
from tokenworks.twin.leaving import leave_system
from tokenworks.twin.prefix import pin, runs
from tokenworks.twin.sequences import first_growth, join_decode, preempt
from tokenworks.twin.sharing import join_share, stop_share
from tokenworks.twin.step_cost import pairs
from tokenworks.twin.waiting import dequeue, head_of, start_filling, start_running


@hot
def take_decode_blocks(g, v, t, st, cache, books):  # type: ignore[no-untyped-def]
    """Rule 2. True where something was preempted."""
    number, rank = t.number, st.rank
    need = needed_now(st.phase, rank, st.slot, number, v, g)
    if need <= available(rank, number, v, g):
        take(rank, number, v, g, need, cache, st.g)
        return False
    s = rank[g, RUN_HEAD]
    while s >= 0:
        own, following = needs(st.slot, s, rank, number, v, g), st.slot[s, YOUNGER]
        while own > available(rank, number, v, g):
            if st.g[ALLOCATES] == 1:
                stop_share(rank[g, RUN_TAIL], rank[g, RANK_WORKER], v, number, st)
            if preempt(g, v, number, rank, st.slot, st.heap, st.phase, st.queue, cache, books.service) == s:
                return True
        if own > 0:
            take(rank, number, v, g, own, cache, st.g)
            following = st.slot[s, YOUNGER]
        s = following
    return True


@hot
def plan_chunk(g, s, v, chunk, number, rank, slots):  # type: ignore[no-untyped-def]
    """Count one prefill chunk into the rank's step."""
    start = slots[s, STORED]
    rank[g, CHUNK_TOKENS] += chunk
    rank[g, SAMPLES] += start + chunk >= slots[s, GOAL]
    rank[g, PAIR0] += pairs(start, chunk, 0)
    if number[v, LIMIT1] > 0:
        rank[g, PAIR0 + 1] += pairs(start, chunk, number[v, LIMIT1])
    if number[v, LIMIT2] > 0:
        rank[g, PAIR0 + 2] += pairs(start, chunk, number[v, LIMIT2])


@hot
def plan_prefills(g, v, room, number, rank, slots):  # type: ignore[no-untyped-def]
    """Rule 3: chunks of running prefills; blocks were taken at admission."""
    rank[g, CHUNK_TOKENS], rank[g, SAMPLES], rank[g, RELOAD] = 0, 0, 0
    rank[g, PAIR0], rank[g, PAIR0 + 1], rank[g, PAIR0 + 2] = 0, 0, 0
    s = rank[g, FILL_HEAD]
    while s >= 0 and room > rank[g, CHUNK_TOKENS]:
        left = slots[s, GOAL] - slots[s, STORED]
        plan_chunk(g, s, v, min(left, room - rank[g, CHUNK_TOKENS]), number, rank, slots)
        s = slots[s, NEXT]


@compiled
def drop_expired(g, w, ahead, st, books, pools, cache):  # type: ignore[no-untyped-def]
    """Drop heads of the queue that gave up; a request that already produced a token waits on. Returns the head, or −1
    where it came after this step was planned."""
    slots, now = st.slot, st.g[NOW]
    while True:
        s = head_of(st.queue, st.rank, g)
        if s >= 0 and unseen(s, w, ahead, slots, st.worker):
            return -1
        if s < 0 or slots[s, TIMEOUT] == 0 or slots[s, FIRST] >= 0 or slots[s, ARRIVAL] + slots[s, TIMEOUT] > now:
            return s
        dequeue(st.queue, st.rank, slots, g, s)
        books.service[slots[s, SERVICE], WAITING_S] -= 1
        books.service[slots[s, SERVICE], TIMED] += 1
        leave_system(s, w, now, TIMED_OUT, st, books, pools, cache)


@hot
def admit(g, w, v, room, ahead, t, st, cache, books, pools):  # type: ignore[no-untyped-def]
    """Rule 4: requests from the queue while limits allow. Returns the room that transferred requests left."""
    number, rank, slots = t.number, st.rank, st.slot
    while rank[g, RUNNING] < number[v, MAX_SEQS] and room > rank[g, CHUNK_TOKENS]:
        s = drop_expired(g, w, ahead, st, books, pools, cache)
        if s < 0:
            break
        ready = slots[s, STORED] >= slots[s, GOAL]
        tokens = slots[s, GOAL] + (first_growth(s, v, number, t.rate, slots) if ready else 0)
        if number[v, RESERVE] == 1:
            tokens = slots[s, RESERVED]
        need, idle, units, device = blocks_for(tokens, number[v, BLOCK]), 0, 0, 0
        if number[v, PREFIX] == 1 and slots[s, HASHES] > 0 and not ready:
            usable = (slots[s, GOAL] - 1) // (number[v, UNIT] * number[v, BLOCK])
            device, idle, units = runs(cache, slots, s, g, usable)
        if need - number[v, UNIT] * device > available(rank, number, v, g) - number[v, UNIT] * idle:
            break
        stored = units * number[v, UNIT] * number[v, BLOCK]
        left, chunks = slots[s, GOAL] - stored, rank[g, CHUNK_TOKENS]
        if not ready and number[v, CHUNKED] == 0 and left > room - chunks and chunks > 0:
            break
        dequeue(st.queue, rank, slots, g, s)
        books.service[slots[s, SERVICE], WAITING_S] -= 1
        start_running(rank, slots, g, s)
        if units > 0:
            rank[g, RELOAD] += pin(cache, rank, slots, s, g, units)
            books.service[slots[s, SERVICE], HIT_S] += stored
        take(rank, number, v, g, need - number[v, UNIT] * device, cache, st.g)
        if ready:
            room -= admit_ready(g, s, v, t, st)
            continue
        slots[s, STORED] = stored
        if slots[s, CACHED] < 0:
            slots[s, CACHED] = stored
        slots[s, PHASE] = FILLING
        start_filling(rank, slots, g, s)
        plan_chunk(g, s, v, min(left, room - chunks) if number[v, CHUNKED] == 1 else left, number, rank, slots)
    return room


@compiled
def admit_ready(g, s, v, t, st):  # type: ignore[no-untyped-def]
    """A transferred request decodes at once; it may hold the block of its next token already. Returns its tokens."""
    number, rank, slots = t.number, st.rank, st.slot
    join_decode(g, s, v, number, t.rate, rank, slots, st.heap, st.phase)
    if st.g[ALLOCATES] == 1:
        join_share(s, rank[g, RANK_WORKER], v, number, st)
    if number[v, RESERVE] == 0:
        slots[s, EXTRA] = rank[g, D]
        rank[g, AHEAD] += slots[s, GOAL] % number[v, BLOCK] == 0
    return 1 - number[v, ALONE]


@hot
def plan(w, t, st, cache, books, pools):  # type: ignore[no-untyped-def]
    """Plan the next step of a worker over its ranks. Returns (prefill tokens, decode sequences, a rank preempted,
    admission was tried)."""
    number, rank, worker = t.number, st.rank, st.worker
    v, first = worker[w, VARIANT], worker[w, FIRST_RANK]
    last = first + worker[w, RANK_COUNT]
    decoding, running, tokens, hits = 0, 0, 0, False
    for g in range(first, last):
        decoding += rank[g, N]
        running += rank[g, RUNNING]
    ahead = number[v, PLANS_AHEAD] if running > 0 else 0  # with nothing in flight, nothing was planned ahead
    alone = number[v, ALONE] == 1
    look = number[v, INTERVAL] <= 1 or decoding == 0 or worker[w, STEP] % number[v, INTERVAL] == 0
    for g in range(first, last):
        hit, room = False, number[v, BUDGET]
        if not alone:
            if number[v, RESERVE] == 0 and rank[g, N] > 0:
                hit = take_decode_blocks(g, v, t, st, cache, books)
            room -= rank[g, N]
        plan_prefills(g, v, room, number, rank, st.slot)
        if look and not hit and rank[g, WAITING_N] > 0:
            admit(g, w, v, room, ahead, t, st, cache, books, pools)
        hits = hits or hit
        tokens += rank[g, CHUNK_TOKENS]
    decoding = 0
    for g in range(first, last):
        if alone and tokens == 0 and number[v, RESERVE] == 0 and rank[g, N] > 0:
            hits = take_decode_blocks(g, v, t, st, cache, books) or hits
        decoding += rank[g, N]
    return tokens, decoding, hits, look
