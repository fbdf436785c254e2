"""What a request owes its worker: its place in the running sums while it decodes, its fine and whole units, what is lost."""

from __future__ import annotations

from tokenworks.twin.columns import (
    DECODING,
    FINE_BITS,
    FINE_MASK,
    FIRST,
    FIRST_RANK,
    GOAL,
    LIMIT1,
    M_AT,
    M_EACH,
    M_KEY,
    M_LOST,
    M_LOST_FINE,
    M_SINCE,
    M_STEPS,
    M_WIDE,
    O_FINE,
    O_OFF,
    O_WHOLE,
    O_WIDE,
    PHASE,
    RANK_COUNT,
    RUN_HEAD,
    SPECULATES,
    YOUNGER,
)
from tokenworks.twin.compiled import compiled, inlined

FULL = 1 << 61  # fine units after which everybody settles: sums of one request stay below 2**63


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
