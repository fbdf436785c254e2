"""Pure decode steps in one leap: as many as have one closed form, with the exact tick of each of their ends."""

from __future__ import annotations

import math

from tokenworks.twin.blocks import needed, steps_within
from tokenworks.twin.columns import (
    ARRIVAL,
    BASE,
    BELOW1,
    CARRY,
    CLOCK,
    EVICTS,
    FINE_BITS,
    FIRST,
    FIRST_RANK,
    FREE,
    INTERVAL,
    JOULE_BASE,
    JOULE_SLOPE,
    LEAP,
    LIMIT1,
    LINE,
    MAX_LEAP,
    MAX_SEQS,
    MODE,
    PLANS_AHEAD,
    PREFIX,
    RANK_COUNT,
    RUNNING,
    SEEN,
    SLOPE,
    SPECULATES,
    STEP,
    STEPS_AHEAD,
    TIMEOUT,
    VARIANT,
    WAITING_N,
    D,
    N,
)
from tokenworks.twin.compiled import compiled, hot, inlined
from tokenworks.twin.step_cost import decode_keys, decode_line, decode_slope, shared_decode
from tokenworks.twin.waiting import head_of

SAFE = 4.6e18  # fine sums stay below 2**62


@inlined
def sum_of(base, slope, k):  # type: ignore[no-untyped-def]
    """Cost of k steps whose cost grows by ``slope`` a step."""
    return k * base + slope * (k * (k - 1) // 2)


@inlined
def end_of(worker, w, k):  # type: ignore[no-untyped-def]
    """Tick at which the k-th step ends."""
    return worker[w, CLOCK] + ((worker[w, CARRY] + sum_of(worker[w, BASE], worker[w, SLOPE], k)) >> FINE_BITS)


@hot
def first_end_at(worker, w, most, tick):  # type: ignore[no-untyped-def]
    """The smallest k ≤ most whose end is at or after ``tick`` (most, if none is): a float guesses, integers decide."""
    if tick > end_of(worker, w, most):
        return most
    base, slope = float(worker[w, BASE]), float(worker[w, SLOPE])
    target = float(tick - worker[w, CLOCK]) * (1 << FINE_BITS) - worker[w, CARRY]
    if target <= base:
        guess = 1.0
    elif slope == 0.0:
        guess = target / base
    else:
        half = base - 0.5 * slope
        guess = 2.0 * target / (half + math.sqrt(half * half + 2.0 * slope * target))
    k = max(1, min(most, int(guess)))
    while k > 1 and end_of(worker, w, k - 1) >= tick:
        k -= 1
    while k < most and end_of(worker, w, k) < tick:
        k += 1
    return k


@hot
def lead(w, v, first, last, total, most, t, st):  # type: ignore[no-untyped-def]
    """Set the cost of the leading (rank, line) in the next step; how many of ``most`` steps it leads."""
    number, flat, line, rank, worker = t.number, t.flat, t.line, st.rank, st.worker
    lines, best, best_slope, joules, growth = line.shape[1] - 1, -1, 0, 0, 0
    for g in range(first, last):
        n = rank[g, N]
        s0, s1, s2 = decode_keys(number, v, rank, st.slot, g)
        for x in range(lines):
            value = decode_line(flat, line, v, x, n, s0, s1, s2) + shared_decode(flat, line, v, x, total)
            slope = decode_slope(number, line, v, x, rank, g)
            if value > best or (value == best and slope > best_slope):
                best, best_slope = value, slope
                worker[w, LINE] = x
        joules += decode_line(flat, line, v, lines, n, s0, s1, s2)
        growth += decode_slope(number, line, v, lines, rank, g)
    for g in range(first, last if most > 1 else first):
        s0, s1, s2 = decode_keys(number, v, rank, st.slot, g)
        for x in range(lines):
            gain = decode_slope(number, line, v, x, rank, g) - best_slope
            if gain > 0:
                value = decode_line(flat, line, v, x, rank[g, N], s0, s1, s2) + shared_decode(flat, line, v, x, total)
                most = min(most, (best - value + gain - 1) // gain)  # where it draws level, it leads
    worker[w, BASE], worker[w, SLOPE] = best, best_slope
    worker[w, JOULE_BASE], worker[w, JOULE_SLOPE] = joules + shared_decode(flat, line, v, lines, total), growth
    return most


@hot
def too_big(base, slope, k):  # type: ignore[no-untyped-def]
    """True where the sum of k > 1 steps may pass 2**62."""
    return k > 1 and float(k) * base + 0.5 * float(slope) * k * k > SAFE


@hot
def start_leap(w, total, hit, look, t, st):  # type: ignore[no-untyped-def]
    """Plan as many pure decode steps as have one closed form and no admission, drop or preemption among them."""
    number, rank, worker = t.number, st.rank, st.worker
    v, first = worker[w, VARIANT], worker[w, FIRST_RANK]
    last, k = first + worker[w, RANK_COUNT], st.g[MAX_LEAP]
    room, early, evicts = False, False, False
    for g in range(first, last):
        if rank[g, N] > 0:
            k = min(k, st.heap[g, 0, 0, 0] - rank[g, D])
            for c in range(2):
                if number[v, LIMIT1 + c] > 0 and rank[g, BELOW1 + 2 * c] > 0:
                    k = min(k, st.heap[g, 1 + c, 0, 0] - rank[g, D])
        if rank[g, WAITING_N] > 0 and rank[g, RUNNING] < number[v, MAX_SEQS]:
            room = True
            early = early or unseen(head_of(st.queue, rank, g), w, number[v, PLANS_AHEAD], st.slot, worker)
    if number[v, SPECULATES] == 1 or (hit and number[v, INTERVAL] <= 1):
        k = 1
    if early or (room and number[v, INTERVAL] > 1 and (hit or not look)):
        k = min(k, number[v, INTERVAL] - worker[w, STEP] % number[v, INTERVAL])
    for g in range(first, last):
        k = steps_within(st.phase, rank, number, v, g, k)
    k = lead(w, v, first, last, total, k, t, st)
    while too_big(worker[w, BASE], worker[w, SLOPE], k) or too_big(worker[w, JOULE_BASE], worker[w, JOULE_SLOPE], k):
        k = max(1, k // 2)
    worker[w, MODE] = LEAP
    if room and k > 1:
        k = before_timeouts(w, v, first, last, k, number, st)
    if number[v, PREFIX] == 1:
        for g in range(first, last):
            evicts = evicts or needed(st.phase, rank, number, v, g, 1, k - 1) > rank[g, FREE]
    worker[w, EVICTS] = evicts
    worker[w, STEPS_AHEAD] = k
    st.ready[w] = end_of(worker, w, k)


@compiled
def before_timeouts(w, v, first, last, k, number, st):  # type: ignore[no-untyped-def]
    """Cut a leap where the head of a queue that is looked at gives up."""
    for g in range(first, last):
        if st.rank[g, WAITING_N] > 0 and st.rank[g, RUNNING] < number[v, MAX_SEQS]:
            s = head_of(st.queue, st.rank, g)
            if st.slot[s, TIMEOUT] > 0 and st.slot[s, FIRST] < 0:
                k = look_at(w, v, k, st.slot[s, ARRIVAL] + st.slot[s, TIMEOUT], number, st.worker)
    return k


@inlined
def unseen(s, w, ahead, slots, worker):  # type: ignore[no-untyped-def]
    """True for a request that came after the next step was planned."""
    return ahead == 1 and slots[s, ARRIVAL] > worker[w, SEEN]


@inlined
def looked(w, v, most, k, number, worker):  # type: ignore[no-untyped-def]
    """The first boundary from the k-th on at which admission is tried."""
    interval = number[v, INTERVAL]
    if interval > 1:
        k = min(most, k + (-(worker[w, STEP] + k)) % interval)
    return k


@hot
def look_at(w, v, most, tick, number, worker):  # type: ignore[no-untyped-def]
    """Steps of the leap up to the first boundary at or after ``tick`` at which admission is tried."""
    return looked(w, v, most, first_end_at(worker, w, most, tick), number, worker)


@hot
def join_at(w, v, most, arrival, tick, number, worker):  # type: ignore[no-untyped-def]
    """Steps of the leap up to the first boundary at or after ``tick`` at which admission of a request is tried; where
    steps are planned ahead, a whole step after its arrival."""
    k = first_end_at(worker, w, most, tick)
    if number[v, PLANS_AHEAD] == 1 and arrival > worker[w, CLOCK]:
        k = min(most, max(k, first_end_at(worker, w, most, arrival) + 1))
    return looked(w, v, most, k, number, worker)
