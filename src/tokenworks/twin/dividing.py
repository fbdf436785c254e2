"""Whose seconds and joules: each step is divided over its batch by running sums of its worker (docs/decisions/0011).

A decode sequence owes the difference of the sums between its joining and its leaving (`sharing`), so a step costs the same
for any batch, and a leap the same as a step. Everything is exact: fine units, what does not divide is carried to the next
step.
"""

from __future__ import annotations

from tokenworks.twin.columns import (
    ALONE,
    BASE,
    BELOW1,
    BELOW2,
    CHUNK_TOKENS,
    DECODING,
    FILL_HEAD,
    FIRST,
    FIRST_RANK,
    GOAL,
    JOULE_BASE,
    JOULE_SLOPE,
    LIMIT1,
    LINE,
    M_AT,
    M_EACH,
    M_KEY,
    M_REST,
    M_SEQUENCE,
    M_SINCE,
    M_STEPS,
    M_TOKEN,
    M_WIDE,
    NEXT,
    O_FINE,
    O_WIDE,
    P_CONTEXT,
    P_FIXED,
    P_PAIR,
    P_SHARED,
    PAIR0,
    PHASE,
    RANK_COUNT,
    RUN_HEAD,
    SLOPE,
    SPECULATES,
    STORED,
    VARIANT,
    YOUNGER,
    D,
    N,
)
from tokenworks.twin.compiled import compiled, inlined
from tokenworks.twin.leap import sum_of
from tokenworks.twin.sharing import lose
from tokenworks.twin.step_cost import decode_keys, grown, keys_of, pairs


@inlined
def priced(price, v, x, column, a, b, c):  # type: ignore[no-untyped-def]
    """Keys or pairs of three classes at the prices of a line."""
    return price[v, x, column] * a + price[v, x, column + 1] * b + price[v, x, column + 2] * c


@compiled
def prefills_of(g, rank, slots):  # type: ignore[no-untyped-def]
    """How many prefills of a rank have a chunk in the step."""
    left, s, count = rank[g, CHUNK_TOKENS], rank[g, FILL_HEAD], 0
    while left > 0:
        left -= slots[s, GOAL] - slots[s, STORED]
        s = slots[s, NEXT]
        count += 1
    return count


@compiled
def divide_step(w, k, mixed, t, st):  # type: ignore[no-untyped-def]
    """Before ``k`` equal steps (or one with prefill) are booked: divide them over the sequences that take part."""
    number, price, rank, worker, meter = t.number, t.price, st.rank, st.worker, st.meter
    v, first, ranks = worker[w, VARIANT], worker[w, FIRST_RANK], worker[w, RANK_COUNT]
    decodes = not (mixed and number[v, ALONE] == 1)
    n, s0, s1, s2, b1, b2 = 0, 0, 0, 0, 0, 0
    tokens, fills, q0, q1, q2, busy = 0, 0, 0, 0, 0, 0
    for g in range(first, first + ranks):
        if decodes and rank[g, N] > 0:
            a0, a1, a2 = decode_keys(number, v, rank, st.slot, g)
            n, s0, s1, s2 = n + rank[g, N], s0 + a0, s1 + a1, s2 + a2
            b1, b2 = b1 + rank[g, BELOW1], b2 + rank[g, BELOW2]
        if mixed:
            chunks = rank[g, CHUNK_TOKENS]
            if chunks > 0:
                tokens, fills = tokens + chunks, fills + prefills_of(g, rank, st.slot)
                q0, q1, q2 = q0 + rank[g, PAIR0], q1 + rank[g, PAIR0 + 1], q2 + rank[g, PAIR0 + 2]
            busy += chunks > 0 or (decodes and rank[g, N] > 0)
    taken = meter[w, M_STEPS]
    keys_ahead = k * (taken + 1) + k * (k - 1) // 2
    for q in range(2):
        m, x, parts = q * M_WIDE, worker[w, LINE], 1
        base, slope = worker[w, BASE], worker[w, SLOPE]
        if q == 1:
            x, parts = price.shape[1] - 1, busy
            base, slope = worker[w, JOULE_BASE], worker[w, JOULE_SLOPE]
        rest = base - priced(price, v, x, P_CONTEXT, s0, s1, s2)
        if mixed:
            rest -= priced(price, v, x, P_PAIR, q0, q1, q2)
            fixed = parts * price[v, x, P_FIXED] + price[v, x, P_SHARED]
            each = min(rest, fixed) // (n + fills)
            left = rest + meter[w, m + M_REST] - each * (n + fills)
        else:
            each = 0
            left = sum_of(rest, slope - priced(price, v, x, P_CONTEXT, n, b1, b2), k) + meter[w, m + M_REST]
        by_token = left // (n + tokens)
        meter[w, m + M_REST] = left - by_token * (n + tokens)
        meter[w, m + M_SEQUENCE], meter[w, m + M_TOKEN] = each, by_token
        meter[w, m + M_SINCE] += sum_of(base, slope, k)
        if n > 0:
            meter[w, m + M_EACH] += each + by_token
            if number[v, SPECULATES] == 0:
                for c in range(3):
                    a_key = price[v, x, P_CONTEXT + c]
                    meter[w, m + M_KEY + c] += a_key * k
                    meter[w, m + M_AT + c] += a_key * keys_ahead
    if decodes:
        meter[w, M_STEPS] = taken + k
        if number[v, SPECULATES] == 1 and n > 0:
            charge_keys(w, v, first, first + ranks, t, st)


@compiled
def charge_keys(w, v, first, last, t, st):  # type: ignore[no-untyped-def]
    """Keys of sequences that speculate: their contexts grow unevenly, so each pays at each step."""
    number, price, slots = t.number, t.price, st.slot
    for g in range(first, last):
        s = st.rank[g, RUN_HEAD]
        while s >= 0:
            if slots[s, PHASE] == DECODING:
                stored = slots[s, GOAL] + grown(slots, s, st.rank[g, D])
                k0, k1, k2 = keys_of(stored, 0), 0, 0
                if number[v, LIMIT1] > 0:
                    k1 = keys_of(stored, number[v, LIMIT1])
                if number[v, LIMIT1 + 1] > 0:
                    k2 = keys_of(stored, number[v, LIMIT1 + 1])
                st.own[s, O_FINE] += priced(price, v, st.worker[w, LINE], P_CONTEXT, k0, k1, k2)
                st.own[s, O_WIDE + O_FINE] += priced(price, v, price.shape[1] - 1, P_CONTEXT, k0, k1, k2)
            s = slots[s, YOUNGER]


@compiled
def charge_chunk(s, w, v, chunk, t, st):  # type: ignore[no-untyped-def]
    """A prefill pays for its chunk in the step that ends; one that only computes again what it lost pays nothing."""
    number, price, slots, meter = t.number, t.price, st.slot, st.meter
    start, x = slots[s, STORED], st.worker[w, LINE]
    q0, q1, q2 = pairs(start, chunk, 0), 0, 0
    if number[v, LIMIT1] > 0:
        q1 = pairs(start, chunk, number[v, LIMIT1])
    if number[v, LIMIT1 + 1] > 0:
        q2 = pairs(start, chunk, number[v, LIMIT1 + 1])
    for q in range(2):
        m = q * M_WIDE
        if q == 1:
            x = price.shape[1] - 1
        mine = meter[w, m + M_SEQUENCE] + meter[w, m + M_TOKEN] * chunk + priced(price, v, x, P_PAIR, q0, q1, q2)
        if slots[s, FIRST] < 0:
            st.own[s, q * O_WIDE + O_FINE] += mine
        else:
            lose(w, q, mine, meter)
