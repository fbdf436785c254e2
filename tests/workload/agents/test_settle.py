"""Agents that wait for a factory, against an executor that releases their calls one by one; and hashes of prompts."""

import heapq
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenworks.errors import InputError
from tokenworks.workload.agents.as_requests import at_times, in_order
from tokenworks.workload.agents.fitted import grow_fitted
from tokenworks.workload.agents.grow import grow
from tokenworks.workload.agents.layout import layout_of
from tokenworks.workload.agents.prompts import prompt_hashes
from tokenworks.workload.agents.schedule import NEVER, Pace, at_pace, pauses, sent
from tokenworks.workload.agents.settle import settled
from tokenworks.workload.agents.tables import load_fitted
from tokenworks.workload.streams import TICKS_PER_S

MS = TICKS_PER_S // 1000


def queue(servers, token_ms):
    """A factory of some servers with one queue: takes requests in their order, each for its tokens' time."""

    def ends(requests):
        free, found = [0] * servers, []
        for arrival, tokens in zip(requests.arrival.tolist(), requests.output_tokens.tolist(), strict=True):
            start = max(arrival, heapq.heappop(free))
            found.append(start + tokens * token_ms * MS)
            heapq.heappush(free, found[-1])
        return np.array(found, np.int64)

    return ends


def one_by_one(calls, begins, servers, token_ms):
    """The same queue as an event loop in which an end sends what waited for it."""
    gaps, ends, at = pauses(calls).tolist(), {}, {}
    waits = [set(calls.before[a:b].tolist()) for a, b in itertools.pairwise(calls.before_start)]
    coming = [(int(begins[row]) + gaps[row], row) for row in range(len(calls)) if not waits[row]]
    heapq.heapify(coming)
    free = [0] * servers
    while coming:
        arrival, row = heapq.heappop(coming)
        at[row] = arrival
        end = max(arrival, heapq.heappop(free)) + max(1, int(calls.output_tokens[row])) * token_ms * MS
        heapq.heappush(free, end)
        ends[row] = end
        for later in range(len(calls)):
            if row in waits[later]:
                waits[later].discard(row)
                if not waits[later]:
                    latest = max(
                        ends[b]
                        for b in calls.before[calls.before_start[later] : calls.before_start[later + 1]].tolist()
                    )
                    heapq.heappush(coming, (latest + gaps[later], later))
    return [at[row] for row in range(len(calls))], [ends[row] for row in range(len(calls))]


def begins_of(calls, gap_s):
    return calls.run * int(gap_s * TICKS_PER_S)


@settings(max_examples=15, deadline=None)
@given(
    name=st.sampled_from(["chat", "multi-agent-research", "customer-service", "reasoning"]),
    seed=st.integers(0, 1000),
    servers=st.integers(1, 4),
    token_ms=st.integers(1, 30),
)
def test_settled_runs_are_those_of_an_executor(name, seed, servers, token_ms):
    calls = grow(layout_of(name), seed, range(4))
    found = settled(calls, begins_of(calls, 5.0), queue(servers, token_ms))
    at, ends = one_by_one(calls, begins_of(calls, 5.0), servers, token_ms)
    assert found.sent.tolist() == at
    assert found.ends.tolist() == ends


def test_a_slower_factory_slows_its_agents():
    calls = grow(layout_of("deep-research"), 3, range(6))
    begins = begins_of(calls, 60.0)
    spans = []
    for token_ms in (5, 20, 80):
        found = settled(calls, begins, queue(6, token_ms))
        spans.append([(found.ends[calls.run == run].max() - run * 60 * TICKS_PER_S) for run in range(6)])
        assert np.array_equal(found.sent, sent(calls, begins, found.ends - found.sent))
    assert all(a < b < c for a, b, c in zip(*spans, strict=True))
    # alone on a server each run takes its pauses and its tokens' time, to the tick
    own = [
        int(pauses(calls)[calls.run == run].sum() + 5 * MS * calls.output_tokens[calls.run == run].sum())
        for run in range(6)
    ]
    assert spans[0] == own


def test_calls_after_one_without_an_answer_are_never_sent():
    calls = grow(layout_of("multi-agent-research"), 3, range(2))
    lost = int(np.flatnonzero((calls.run == 0) & (calls.agent == 2))[3])

    def factory(requests):
        ends = queue(8, 5)(requests)
        hit = (requests.session == 0) & (requests.input_tokens == calls.input_tokens[lost])
        return np.where(hit, NEVER, ends)

    found = settled(calls, begins_of(calls, 1.0), factory)
    assert found.ends[lost] == NEVER
    assert found.sent[lost] != NEVER
    after = (calls.run == 0) & (
        ((calls.agent == 2) & (np.arange(len(calls)) > lost)) | (calls.agent == 0) & (np.arange(len(calls)) > lost)
    )
    assert (found.sent[after] == NEVER).all()
    assert (found.sent[calls.run == 1] != NEVER).all()
    assert len(found.requests) == (found.sent != NEVER).sum()


def test_what_does_not_settle_says_so():
    calls = grow(layout_of("chat"), 3, range(3))
    with pytest.raises(InputError, match="3 runs have not settled after 1 rounds"):
        settled(calls, begins_of(calls, 1.0), queue(1, 30), rounds=1)


def test_at_pace_is_what_an_endless_factory_gives():
    calls = grow(layout_of("batch-documents"), 3, range(3))
    begins = begins_of(calls, 1.0)
    pace = Pace(ttft_s=0.0, tpot_s=0.01)
    assert settled(calls, begins, queue(500, 10), pace=pace).rounds == 1
    assert np.array_equal(at_pace(calls, begins, pace), one_by_one(calls, begins, 500, 10)[0])


def test_requests_by_time():
    calls = grow(layout_of("chat"), 3, range(3))
    made = in_order(calls)
    at = np.array([5, NEVER, 3] + [7] * (len(calls) - 3), np.int64)
    requests, order = at_times(made, at)
    assert order.tolist() == [2, 0, *range(3, len(calls))]
    assert np.array_equal(requests.input_tokens, calls.input_tokens[order])
    assert (np.diff(requests.arrival) >= 0).all()
    assert np.array_equal(requests.session, calls.run[order])


@pytest.mark.parametrize("name", ["deep-research", "multi-agent-research", "narrative-coding-agent", "coding-agent"])
def test_prompts_share_exactly_what_they_kept(name):
    """A prompt's blocks that occurred before are those that it kept of its agent's earlier prompts, or of all runs."""
    if name == "coding-agent":
        calls = grow_fitted(load_fitted(name), 4, range(8))
    else:
        calls = grow(layout_of(name), 4, range(4))
    start, hashes = prompt_hashes(calls, 64)
    seen, heads = {}, set()
    assert np.array_equal(np.diff(start), calls.input_tokens // 64)
    for row in range(len(calls)):
        key, mine = (int(calls.run[row]), int(calls.agent[row])), hashes[start[row] : start[row + 1]].tolist()
        assert len(set(mine)) == len(mine)
        kept = int(calls.kept[row]) // 64
        if key not in seen:
            head = (calls.agent[row] > 0, tuple(mine[:kept]))
            heads.add(head)
            assert len({h for h in heads if h[0] == head[0]}) == 1
            seen[key] = set(mine)
            continue
        assert len(set(mine) & seen[key]) == kept
        assert set(mine[:kept]) <= seen[key]
        seen[key] |= set(mine)
    own = {}
    for key, blocks in seen.items():
        for block in blocks:
            own.setdefault(block, set()).add(key)
    common = {block for block, keys in own.items() if len(keys) > 1}
    assert common <= {block for _, head in heads for block in head}
