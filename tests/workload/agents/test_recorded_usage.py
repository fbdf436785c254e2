"""The recorded sessions as usage events: nothing lost, doubled or invented on the way."""

from collections import Counter, defaultdict

import pytest

from tokenworks.events.ledger_events import USAGE_COLUMNS
from tokenworks.workload.agents.recorded_usage import Begin, recorded_usage, recorded_usage_table
from tokenworks.workload.agents.recording import SUMS


@pytest.fixture(scope="module")
def events():
    return list(recorded_usage())


def test_one_event_a_request_with_the_recordings_sums(events):
    assert len(events) == len({(e.source, e.id) for e in events}) == SUMS.requests
    assert sum(e.input_fresh for e in events) == SUMS.input - SUMS.cache_read
    assert sum(e.cache_read for e in events) == SUMS.cache_read
    assert sum(e.output_visible for e in events) == SUMS.output
    assert len({e.root_run for e in events}) == SUMS.sessions


def test_the_same_events_every_time(events):
    assert list(recorded_usage()) == events
    later = list(recorded_usage(Begin(first_us=0, gap_s=0, tenants=1)))
    assert [e.id for e in later] == [e.id for e in events]
    assert {e.tenant for e in later} == {"tenant-00"}


def test_every_session_shows_one_answer_and_says_that_this_is_assumed(events):
    shown = [e for e in events if e.tags.get("visible") == "assumed"]
    assert Counter(e.root_run for e in shown) == dict.fromkeys((e.root_run for e in events), 1)
    assert all(e.purpose == "final" and e.run == e.root_run for e in shown)
    assert not any(e.final for e in events)
    assert all(e.tags["output"] == "unsplit" for e in events)


def test_sub_agents_are_runs_below_their_session(events):
    below = [e for e in events if e.parent_run]
    assert (len(below), len({e.run for e in below})) == (676, SUMS.subagents)
    assert all(e.parent_run == e.root_run and e.run.startswith(e.root_run + "/") for e in below)
    assert all(e.run == e.root_run for e in events if not e.parent_run)


def test_steps_count_from_one_without_gaps(events):
    steps = defaultdict(list)
    for event in events:
        steps[event.run].append(event.step)
    assert all(found == list(range(1, len(found) + 1)) for found in steps.values())


def test_times(events):
    """trace_0001's second request was sent after 19 s and took 9.19 s; trace_0003's first sub-agent had its result
    at 134.227 s after 126.015 s, and its first request took 2.81 s."""
    by_id = {e.id: e for e in events}
    first = Begin().first_us
    assert by_id["session-0001/0/2"].time_us == first + 28_190_000
    assert by_id["session-0001/0/2"].duration_us == 9_190_000
    assert by_id["session-0003/1/1"].time_us == first + 2 * 3_600_000_000 + (134_227_000 - 126_015_000 + 2_810_000)


def test_unknown_durations_stay_unknown(events):
    assert sum(e.duration_us is None for e in events) == 49_334 - 45_022
    assert sum(e.ttft_us is None for e in events) == 49_334 - 4_153


def test_the_table_holds_the_same(events):
    table = recorded_usage_table()
    assert table.column_names == list(USAGE_COLUMNS)
    assert [str(kind) for kind in table.schema.types] == list(USAGE_COLUMNS.values())
    assert table.num_rows == len(events)
    row = table.slice(1, 1).to_pylist()[0]
    assert (row["seq"], row["sign"], row["id"], row["tags"]) == (2, 1, "session-0001/0/2", '{"output":"unsplit"}')
    assert sum(table["cache_read"].to_pylist()) == SUMS.cache_read
