"""The recording as calls that wait: at its own pace it is itself; on a slower factory it takes longer."""

import numpy as np
import pytest

from tokenworks.workload.agents.recorded_calls import began, calls_of, recorded_calls
from tokenworks.workload.agents.recorded_times import pauses_s, took_s
from tokenworks.workload.agents.recording import SUMS, load_recording
from tokenworks.workload.agents.schedule import sent
from tokenworks.workload.agents.settle import settled
from tokenworks.workload.streams import TICKS_PER_S


def ends_at_recorded_pace(calls, begins, api_s):
    """Calls one by one, each taking what was recorded."""
    took = np.rint(np.nan_to_num(api_s) * TICKS_PER_S).astype(np.int64)
    ends = np.zeros(len(calls), np.int64)
    for row in range(len(calls)):
        waits = calls.before[calls.before_start[row] : calls.before_start[row + 1]]
        gap = round(float(calls.tool_s[row] + calls.think_s[row]) * TICKS_PER_S)
        ends[row] = (max(ends[waits]) if len(waits) else begins[row]) + gap + took[row]
    return ends


def test_nothing_is_lost():
    calls = recorded_calls()
    assert len(calls) == SUMS.requests
    assert (calls.input_tokens.sum(), calls.output_tokens.sum()) == (SUMS.input, SUMS.output)
    assert calls.cache_read(64).sum() == SUMS.cache_read
    assert calls.seen.sum() == SUMS.sessions
    assert (np.diff(calls.before_start)[np.unique(calls.run, return_index=True)[1]] == 0).sum() == SUMS.sessions


def test_at_the_recorded_pace_it_happens_when_it_did():
    """The recording's times are whole seconds: nine of ten sessions end to the millisecond when they did."""
    r, calls = load_recording(), recorded_calls()
    ends = ends_at_recorded_pace(calls, np.zeros(len(calls), np.int64), took_s(r)) / TICKS_PER_S
    lead = r.agent == 0
    told, found = np.zeros(710), np.zeros(710)
    np.maximum.at(told, r.session[lead], (r.start_s + took_s(r))[lead])
    np.maximum.at(found, r.session[lead], ends[lead])
    off = np.abs(found - told)
    assert np.quantile(off, 0.9) < 1e-3
    assert off.max() < 60


def test_the_recordings_think_time_counts_from_the_last_known_end():
    """Why it is not used: where the end before is known it is the pause, else it covers the requests in between."""
    r = load_recording()
    pause, known = pauses_s(r)
    told = ~np.isnan(r.think_s)
    assert (np.abs(pause - r.think_s)[known & told] <= 1.5).mean() > 0.9
    after_unknown = ~known & told & (r.start_s > 0) & (r.agent == 0)
    assert np.median(r.think_s[after_unknown]) > 3 * np.median(pause[after_unknown])


def test_sub_agents_are_waited_for():
    calls = recorded_calls()
    lead = np.flatnonzero(calls.agent == 0)
    waits = [calls.before[calls.before_start[row] : calls.before_start[row + 1]] for row in lead]
    joins = [w for w in waits if (calls.agent[w] > 0).any()]
    assert sum((calls.agent[w] > 0).sum() for w in joins) > 30
    assert all((calls.run[w] == calls.run[row]).all() for row, w in zip(lead, waits, strict=True))


@pytest.mark.parametrize("token_ms", [10, 40])
def test_a_slower_factory_slows_recorded_sessions(token_ms):
    """20 sessions on a factory that answers everybody at once, at some time per token: to the tick."""
    from dataclasses import replace as changed

    r = load_recording()
    rows = r.session < 20
    subs = r.sub_session < 20
    columns = {
        name: getattr(r, name)[rows]
        for name in (
            "session",
            "agent",
            "start_s",
            "streaming",
            "model",
            "stop",
            "input_tokens",
            "cache_read",
            "output_tokens",
            "api_s",
            "think_s",
            "ttft_s",
        )
    }
    part = changed(
        r,
        **columns,
        sub_session=r.sub_session[subs],
        sub_noted_s=r.sub_noted_s[subs],
        sub_duration_s=r.sub_duration_s[subs],
    )
    calls = calls_of(part)
    begins = began(calls, 600.0)
    found = settled(
        calls,
        begins,
        lambda q: q.arrival + q.output_tokens.astype(np.int64) * (token_ms * TICKS_PER_S // 1000),
        block=4096,
    )
    assert np.array_equal(found.sent, sent(calls, begins, found.ends - found.sent))
    alone = np.maximum(1, calls.output_tokens) * token_ms / 1000
    first = ends_at_recorded_pace(calls, begins, alone)
    assert np.array_equal(found.ends, first)
