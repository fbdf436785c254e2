"""Which request comes when, against a recursion that knows nothing of heaps."""

from dataclasses import replace
from heapq import heapify, heappop, heappush

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenworks.serve.bench.order import Clients, Order
from tokenworks.workload.streams import bounds, in_ticks, requests


def made(arrival, think, before=()):
    n = len(arrival)
    found = requests(np.array(arrival, float), np.ones(n, np.int32), np.ones(n, np.int32))
    found = replace(found, think=in_ticks(np.array(think, float)))
    if not before:
        return found
    return replace(
        found,
        after_start=bounds(np.array([len(b) for b in before])),
        after=np.array([i for b in before for i in b], np.int64),
    )


def played(order, lasts, failed=frozenset()):
    """(number → when it was sent, most at the same time) where request i takes lasts[i]."""
    due, running, sent, most, now = list(order.first()), [], {}, 0, 0.0
    heapify(due)
    while due or running:
        if running and (not due or running[0][0] <= due[0][0]):
            now, number = heappop(running)
            for later in order.ended(number, now, number in failed):
                heappush(due, later)
        else:
            now, number = heappop(due)
            assert number not in sent
            sent[number] = now
            heappush(running, (now + lasts[number], number))
            most = max(most, len(running))
    return sent, most


@st.composite
def trees(draw):
    n = draw(st.integers(1, 12))
    before = [sorted(draw(st.sets(st.integers(0, i - 1), max_size=3))) if i else [] for i in range(n)]
    times = st.integers(0, 50).map(float)
    columns = [draw(st.lists(times, min_size=n, max_size=n)) for _ in range(3)]
    failed = draw(st.sets(st.integers(0, n - 1), max_size=2))
    return before, *columns, failed


@given(trees())
def test_a_request_comes_after_its_predecessors_and_its_pause(case):
    before, arrival, think, lasts, failed = case
    sent, _ = played(Order(made(arrival, think, before)), lasts, failed)
    expected = {}
    for i, needs in enumerate(before):
        if all(b in expected and b not in failed for b in needs):
            after = max((expected[b] + lasts[b] for b in needs), default=-np.inf)
            expected[i] = max(arrival[i], after + think[i]) if needs else arrival[i]
    assert sent == pytest.approx(expected)


@given(
    st.integers(1, 6),
    st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9)), min_size=1, max_size=25),
    st.sets(st.integers(0, 24)),
)
def test_clients_send_everything_one_each_at_a_time(clients, pairs, failed):
    think, lasts = ([float(x) for x in column] for column in zip(*pairs, strict=True))
    order = Clients(made([0.0] * len(pairs), think), clients)
    sent, most = played(order, lasts, failed)
    assert sorted(sent) == list(range(len(pairs)))
    assert most <= clients
    free = [0.0] * clients  # the client that is free first takes the next request
    expected = {}
    for i in range(len(pairs)):
        mine = min(range(clients), key=lambda c: free[c])
        expected[i] = free[mine] + think[i]
        free[mine] = expected[i] + lasts[i]
    assert sent == pytest.approx(expected)
