"""Whose seconds and joules: each step is divided over its batch by running sums of its worker (docs/decisions/0011).

A decode sequence owes the difference of the sums between its joining and its leaving, so a step costs the same for any
batch, and a leap the same as a step. Everything is exact: fine units, what does not divide is carried to the next step.
"""

from __future__ import annotations

from tokenworks.twin.columns import (
    A_WIDE,
    ALONE,
    BASE,
    BELOW1,
    BELOW2,
    CHUNK_TOKENS,
    DECODING,
    FILL_HEAD,
    FINE_BITS,
    FINE_MASK,
    FIRST,
    FIRST_RANK,
    GOAL,
    ID,
    JOULE_BASE,
    JOULE_SLOPE,
    LIMIT1,
    LINE,
    M_AT,
    M_EACH,
    M_KEY,
    M_LOST,
    M_LOST_FINE,
    M_REST,
    M_SEQUENCE,
    M_SETTLED,
    M_SINCE,
    M_STEPS,
    M_TOKEN,
    M_WIDE,
    NEXT,
    O_FINE,
    O_OFF,
    O_WHOLE,
    O_WIDE,
    P_CONTEXT,
    P_FIXED,
    P_PAIR,
    P_SHARED,
    PAIR0,
    PHASE,
    POOL_A,
    POOL_B,
    POOL_OF,
    RANK,
    RANK_COUNT,
    RANK_WORKER,
    RUN_HEAD,
    SERVICE_OF,
    SLOPE,
    SPECULATES,
    STORED,
    VARIANT,
    YOUNGER,
    D,
    N,
)
from tokenworks.twin.compiled import compiled, entry, inlined
from tokenworks.twin.leap import sum_of
from tokenworks.twin.step_cost import decode_keys, grown, keys_of, pairs

FULL = 1 << 61  # fine units after which everybody settles: sums of one request stay below 2**63


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


@inlined
def lose(w, q, fine, meter):  # type: ignore[no-untyped-def]
    """Into the row of lost work."""
    m = q * M_WIDE
    fine += meter[w, m + M_LOST_FINE]
    meter[w, m + M_LOST] += fine >> FINE_BITS
    meter[w, m + M_LOST_FINE] = fine & FINE_MASK


@inlined
def class_sum(w, m, c, limit, off, meter):  # type: ignore[no-untyped-def]
    """The running sum of one class as a sequence sees it: its keys grow with its context, or are at the limit."""
    if limit == 0 or off + meter[w, M_STEPS] + 1 < limit:
        return meter[w, m + M_AT + c] + off * meter[w, m + M_KEY + c]
    return limit * meter[w, m + M_KEY + c]


@inlined
def sums(w, q, v, off, number, meter):  # type: ignore[no-untyped-def]
    """The running sums of a worker as a decode sequence sees them."""
    m = q * M_WIDE
    total = meter[w, m + M_EACH]
    if number[v, SPECULATES] == 1:
        return total
    total += meter[w, m + M_AT] + off * meter[w, m + M_KEY]
    for c in range(1, 3):
        limit = number[v, LIMIT1 + c - 1]
        if limit > 0:
            total += class_sum(w, m, c, limit, off, meter)
    return total


@compiled
def open_share(s, w, v, number, st):  # type: ignore[no-untyped-def]
    """From here on a decode sequence takes part in the running sums."""
    for q in range(2):
        st.own[s, q * O_WIDE + O_FINE] -= sums(w, q, v, st.own[s, O_OFF], number, st.meter)


@compiled
def join_share(s, w, v, number, st):  # type: ignore[no-untyped-def]
    """A sequence has joined decode: at step M_STEPS it has GOAL + 1 keys, and one more at each that follows."""
    st.own[s, O_OFF] = st.slot[s, GOAL] - st.meter[w, M_STEPS]
    open_share(s, w, v, number, st)


@compiled
def close_share(s, w, v, number, st):  # type: ignore[no-untyped-def]
    """A sequence leaves decode."""
    for q in range(2):
        st.own[s, q * O_WIDE + O_FINE] += sums(w, q, v, st.own[s, O_OFF], number, st.meter)
    fold(s, st.own)


@inlined
def fold(s, own):  # type: ignore[no-untyped-def]
    """Whole units out of the fine ones."""
    for q in range(2):
        o = q * O_WIDE
        own[s, o + O_WHOLE] += own[s, o + O_FINE] >> FINE_BITS
        own[s, o + O_FINE] &= FINE_MASK


@compiled
def cross_share(s, w, c, limit, st):  # type: ignore[no-untyped-def]
    """The keys of a sequence in class ``c`` have just reached the limit: from here on they do not grow."""
    off = st.own[s, O_OFF]
    for q in range(2):
        m = q * M_WIDE
        grows = st.meter[w, m + M_AT + c] + off * st.meter[w, m + M_KEY + c]
        st.own[s, q * O_WIDE + O_FINE] += grows - limit * st.meter[w, m + M_KEY + c]


@compiled
def stop_share(s, w, v, number, st):  # type: ignore[no-untyped-def]
    """A running sequence is about to be preempted: a first prefill that is thrown away is lost."""
    if st.slot[s, PHASE] == DECODING:
        close_share(s, w, v, number, st)
    elif st.slot[s, FIRST] < 0:
        for q in range(2):
            o = q * O_WIDE
            lose(w, q, st.own[s, o + O_FINE], st.meter)
            st.meter[w, q * M_WIDE + M_LOST] += st.own[s, o + O_WHOLE]
            st.own[s, o + O_FINE] = st.own[s, o + O_WHOLE] = 0


@inlined
def prefills_only(w, worker, service):  # type: ignore[no-untyped-def]
    """True for a worker of a prefill pool."""
    own = worker[w, SERVICE_OF]
    return service[own, POOL_B] >= 0 and service[own, POOL_A] == worker[w, POOL_OF]


@compiled
def settle_share(s, w, st, books):  # type: ignore[no-untyped-def]
    """A request leaves a worker: its whole ticks and microjoules are written, what is below one goes to the next that
    leaves."""
    row, p = books.share[st.slot[s, ID]], 0 if prefills_only(w, st.worker, books.service) else A_WIDE
    row[p] = w + 1
    for q in range(2):
        o, m = q * O_WIDE, q * M_WIDE
        fine = st.own[s, o + O_FINE] + st.meter[w, m + M_SETTLED]
        row[p + 1 + q] = st.own[s, o + O_WHOLE] + (fine >> FINE_BITS)
        st.meter[w, m + M_SETTLED] = fine & FINE_MASK
        st.own[s, o + O_FINE] = st.own[s, o + O_WHOLE] = 0


@compiled
def fold_all(w, v, t, st):  # type: ignore[no-untyped-def]
    """Every running sequence takes its whole units out of the sums, before a difference could pass 2**63."""
    first = st.worker[w, FIRST_RANK]
    for g in range(first, first + st.worker[w, RANK_COUNT]):
        s = st.rank[g, RUN_HEAD]
        while s >= 0:
            if st.slot[s, PHASE] == DECODING:
                close_share(s, w, v, t.number, st)
                open_share(s, w, v, t.number, st)
            else:
                fold(s, st.own)
            s = st.slot[s, YOUNGER]
    st.meter[w, M_SINCE] = st.meter[w, M_WIDE + M_SINCE] = 0


@entry
def settle_rest(order, t, st, books):  # type: ignore[no-untyped-def]
    """At the end: the shares of the requests (slots in ``order``) that are still at a worker."""
    for s in order:
        w = st.rank[st.slot[s, RANK], RANK_WORKER]
        if st.slot[s, PHASE] == DECODING:
            close_share(s, w, st.worker[w, VARIANT], t.number, st)
        if st.own[s, O_FINE] + st.own[s, O_WIDE + O_FINE] + st.own[s, O_WHOLE] + st.own[s, O_WIDE + O_WHOLE] > 0:
            settle_share(s, w, st, books)
