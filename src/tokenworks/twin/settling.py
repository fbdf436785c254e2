"""A request leaves a worker: its whole ticks and microjoules are written."""

from __future__ import annotations

from tokenworks.twin.columns import (
    A_WIDE,
    DECODING,
    FINE_BITS,
    FINE_MASK,
    M_SETTLED,
    M_WIDE,
    O_FINE,
    O_SHARE,
    O_WHOLE,
    O_WIDE,
    PHASE,
    POOL_A,
    POOL_B,
    POOL_OF,
    RANK,
    RANK_WORKER,
    SERVICE_OF,
    VARIANT,
)
from tokenworks.twin.compiled import compiled, entry, inlined
from tokenworks.twin.sharing import close_share


@inlined
def prefills_only(w, worker, service):  # type: ignore[no-untyped-def]
    """True for a worker of a prefill pool."""
    own = worker[w, SERVICE_OF]
    return service[own, POOL_B] >= 0 and service[own, POOL_A] == worker[w, POOL_OF]


@compiled
def settle_share(s, w, st, books):  # type: ignore[no-untyped-def]
    """A request leaves a worker: its whole ticks and microjoules are written, what is below one goes to the next that
    leaves."""
    p = O_SHARE + (0 if prefills_only(w, st.worker, books.service) else A_WIDE)
    st.own[s, p] = w + 1
    for q in range(2):
        o, m = q * O_WIDE, q * M_WIDE
        fine = st.own[s, o + O_FINE] + st.meter[w, m + M_SETTLED]
        st.own[s, p + 1 + q] = st.own[s, o + O_WHOLE] + (fine >> FINE_BITS)
        st.meter[w, m + M_SETTLED] = fine & FINE_MASK
        st.own[s, o + O_FINE] = st.own[s, o + O_WHOLE] = 0


@entry
def settle_rest(order, t, st, books):  # type: ignore[no-untyped-def]
    """At the end: the shares of the requests (slots in ``order``) that are still at a worker."""
    for s in order:
        w = st.rank[st.slot[s, RANK], RANK_WORKER]
        if st.slot[s, PHASE] == DECODING:
            close_share(s, w, st.worker[w, VARIANT], t.number, st)
        if st.own[s, O_FINE] + st.own[s, O_WIDE + O_FINE] + st.own[s, O_WHOLE] + st.own[s, O_WIDE + O_WHOLE] > 0:
            settle_share(s, w, st, books)
