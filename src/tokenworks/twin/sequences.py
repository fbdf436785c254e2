"""What happens to one sequence of a rank: it joins decode, leaves it, is preempted, gives its blocks back."""

from __future__ import annotations

import numpy as np

from tokenworks.twin.blocks import held, phase_of
from tokenworks.twin.columns import (
    AHEAD,
    ALLOCATES,
    BEFORE,
    BELOW1,
    BELOW_SUM1,
    BLOCK,
    DECODING,
    DUE,
    EXTRA,
    FREE,
    GOAL,
    INPUT,
    LIMIT1,
    LOST_S,
    OFF,
    OFF_SUM,
    OUTPUT,
    PHASE,
    PINNED,
    PREEMPTED,
    PREEMPTED_S,
    PRODUCED,
    QUEUED,
    RUN_TAIL,
    SERVICE,
    SPECULATES,
    STEPS,
    STORED,
    WAITING_S,
    D,
    N,
)
from tokenworks.twin.compiled import compiled, hot, inlined
from tokenworks.twin.heaps import pop, push, remove
from tokenworks.twin.prefix import unpin
from tokenworks.twin.sharing import cross_share
from tokenworks.twin.step_cost import grown
from tokenworks.twin.waiting import enqueue_front, stop_filling, stop_running


@inlined
def stretch(rest, v, number, rate):  # type: ignore[no-untyped-def]
    """Decode steps for ``rest`` tokens."""
    if number[v, SPECULATES] == 0:
        return rest
    return max(1, int(np.floor(rest / rate[v] + 0.5)))


@compiled
def first_growth(s, v, number, rate, slots):  # type: ignore[no-untyped-def]
    """Tokens of the first decode step of a sequence that is about to join."""
    rest = slots[s, OUTPUT] - slots[s, PRODUCED]
    return rest // stretch(rest, v, number, rate)


@hot
def join_decode(g, s, v, number, rate, rank, slots, heap, phase):  # type: ignore[no-untyped-def]
    """A prefilled sequence that still owes tokens decodes from the next step on."""
    d, rest = rank[g, D], slots[s, OUTPUT] - slots[s, PRODUCED]
    steps = stretch(rest, v, number, rate)
    slots[s, PHASE], slots[s, BEFORE], slots[s, STEPS], slots[s, DUE] = DECODING, slots[s, PRODUCED], steps, d + steps
    off = slots[s, GOAL] - d
    slots[s, OFF] = off
    rank[g, N] += 1
    push(heap, rank, g, 0, d + steps, s, slots)
    if number[v, SPECULATES] == 1:
        return
    rank[g, OFF_SUM] += off
    phase[g, phase_of(slots, s, number, v)] += 1
    for k in range(2):
        limit = number[v, LIMIT1 + k]
        if limit > 0 and slots[s, GOAL] + 1 < limit:
            rank[g, BELOW1 + 2 * k] += 1
            rank[g, BELOW_SUM1 + 2 * k] += off
            push(heap, rank, g, 1 + k, limit - 1 - off, s, slots)


@hot
def leave_decode(g, s, v, number, rank, slots, heap, phase):  # type: ignore[no-untyped-def]
    """Out of the sums (its place in the heap of finishes is the caller's)."""
    rank[g, N] -= 1
    if number[v, SPECULATES] == 1:
        return
    rank[g, OFF_SUM] -= slots[s, OFF]
    phase[g, phase_of(slots, s, number, v)] -= 1
    for k in range(2):
        limit = number[v, LIMIT1 + k]
        if limit > 0 and rank[g, D] + slots[s, OFF] + 1 < limit:
            rank[g, BELOW1 + 2 * k] -= 1
            rank[g, BELOW_SUM1 + 2 * k] -= slots[s, OFF]
            remove(heap, rank, g, 1 + k, s, slots)


@hot
def cross_limits(g, w, v, number, rank, slots, st):  # type: ignore[no-untyped-def]
    """Sequences whose keys have reached a limit grow no more in that class."""
    heap = st.heap
    for k in range(2):
        if number[v, LIMIT1 + k] == 0 or number[v, SPECULATES] == 1:
            continue
        while rank[g, BELOW1 + 2 * k] > 0 and heap[g, 1 + k, 0, 0] <= rank[g, D]:
            s = pop(heap, rank, g, 1 + k, slots)
            rank[g, BELOW1 + 2 * k] -= 1
            rank[g, BELOW_SUM1 + 2 * k] -= slots[s, OFF]
            if st.g[ALLOCATES] == 1:
                cross_share(s, w, k + 1, number[v, LIMIT1 + k], st)


@hot
def release_blocks(g, s, v, number, rank, slots, cache):  # type: ignore[no-untyped-def]
    """Private blocks become wholly free; prefix units lose a reference."""
    rank[g, FREE] += held(slots, s, rank, number, v, g)
    if slots[s, PINNED] > 0:
        unpin(cache, rank, slots, s, g)


@compiled
def preempt(g, v, number, rank, slots, heap, phase, queue, cache, service):  # type: ignore[no-untyped-def]
    """Send the most recently admitted sequence of rank ``g`` back to the queue; it will recompute."""
    s = rank[g, RUN_TAIL]
    release_blocks(g, s, v, number, rank, slots, cache)
    if slots[s, PHASE] == DECODING:
        slots[s, PRODUCED] = slots[s, BEFORE] + grown(slots, s, rank[g, D])
        if slots[s, EXTRA] == rank[g, D]:
            rank[g, AHEAD] -= slots[s, GOAL] % number[v, BLOCK] == 0
        remove(heap, rank, g, 0, s, slots)
        leave_decode(g, s, v, number, rank, slots, heap, phase)
    else:
        service[slots[s, SERVICE], LOST_S] += slots[s, STORED]
        stop_filling(rank, slots, g, s)
    stop_running(rank, slots, g, s)
    slots[s, PHASE], slots[s, EXTRA] = QUEUED, -1
    slots[s, GOAL], slots[s, STORED] = slots[s, INPUT] + slots[s, PRODUCED], 0
    slots[s, PREEMPTED] += 1
    service[slots[s, SERVICE], PREEMPTED_S] += 1
    service[slots[s, SERVICE], WAITING_S] += 1
    enqueue_front(queue, rank, slots, g, s)
    return s
