"""Usage events and traces as traffic: by hand, with everything that cannot be replayed named and counted."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from tokenworks.errors import InputError
from tokenworks.events.ledger_events import USAGE_COLUMNS
from tokenworks.events.results import Interval
from tokenworks.rehearsal.live.from_trace import from_trace
from tokenworks.rehearsal.live.from_usage import from_usage
from tokenworks.rehearsal.live.lines import DRIFT, NOT_JUDGED, OK, UNSURE, _mean_number, _state
from tokenworks.rehearsal.live.prefixes import BLOCK_TOKENS, prefixes
from tokenworks.rehearsal.live.recorded import Recorded
from tokenworks.spec import load

DESK = load(Path(__file__).parents[2] / "examples" / "laptop.yaml")
TWO = load(Path(__file__).parents[2] / "examples" / "two-halls.yaml")
CALL = {
    "source": "gateway/a", "time_us": 10_000_000, "sign": 1, "tenant": "t", "root_run": "", "service": "chat", "model": "m",
    "input_fresh": 60, "cache_read": 40, "cache_write": 0, "output_visible": 5, "output_reasoning": 3, "output_tool": 2,
    "usage_status": "final", "final": True, "failed": False, "ttft_us": 200_000, "duration_us": 2_000_000,
    "energy_uj": 5_000_000, "cost_micro_usd": 30,
}  # fmt: skip


def events(*changes):
    import pyarrow as pa

    schema = pa.schema([(name, pa.type_for_alias(kind)) for name, kind in USAGE_COLUMNS.items()])
    rows = [{**CALL, "id": str(i), "seq": i, **change} for i, change in enumerate(changes)]
    return pa.Table.from_pylist(rows, schema=schema)


def test_an_event_is_a_request():
    live = from_usage(
        events({}, {"time_us": 9_000_000, "root_run": "r"}, {"time_us": 12_000_000, "root_run": "r"}), DESK, "x"
    )
    made = live.requests
    assert made.arrival_s.tolist() == [0, 1, 3]
    assert made.input_tokens.tolist() == [100] * 3
    assert made.cached_tokens.tolist() == [40] * 3
    assert made.output_tokens.tolist() == [10] * 3
    assert made.session.tolist() == [0, -1, 0]
    assert made.tpot_s == pytest.approx([1.8 / 9] * 3)
    assert made.usd == pytest.approx([30e-6] * 3)
    assert made.joules.tolist() == [5] * 3
    assert live.begin_us == 7_000_000
    assert made.span_s == 5
    assert not live.inside


def test_an_event_is_timed_at_its_end():
    assert from_usage(events({}), DESK, "x").begin_us == 8_000_000


def test_what_cannot_be_replayed_is_counted_by_its_reason():
    table = events(
        {}, {"service": "else"}, {"duration_us": None}, {"input_fresh": None}, {"output_visible": None},
        {"output_visible": 0, "output_reasoning": 0, "output_tool": 0, "failed": True}, {"input_fresh": 0, "cache_read": 0},
        {"id": "again"}, {"id": "again", "sign": -1},
    )  # fmt: skip
    live = from_usage(table, DESK, "x")
    assert len(live.requests) == 1
    assert live.left_out == (
        ("of other services", 1), ("without a duration (not ended, or nobody measured it)", 1), ("whose tokens nobody knows", 2),
        ("refused or given up before their first token", 1), ("whose prompt has no tokens", 1), ("taken back", 1),
    )  # fmt: skip


def test_an_engine_that_does_not_divide_its_tokens():
    live = from_usage(
        events({"cache_read": None, "cache_write": None, "output_reasoning": None, "output_tool": None}), DESK, "x"
    )
    made = live.requests
    assert (made.input_tokens.tolist(), made.output_tokens.tolist(), made.cached_tokens.tolist()) == ([60], [5], [-1])


def test_an_event_without_a_service_goes_to_the_one_that_has_its_model():
    model = DESK.services[0].model
    assert len(from_usage(events({"service": "", "model": model}), DESK, "x").requests) == 1


def test_events_of_other_services_alone_are_refused_with_the_nearest():
    with pytest.raises(InputError, match=r"x: its events are of chap, the factory has chat; is chat meant\?"):
        from_usage(events({"service": "chap"}), DESK, "x")
    with pytest.raises(InputError, match="x: nothing to replay: 1 without a duration"):
        from_usage(events({"duration_us": None}), DESK, "x")
    with pytest.raises(InputError, match="x: nothing to replay: no events"):
        from_usage(events(), DESK, "x")


def test_a_trace_has_no_latencies_and_asks_the_only_service(tmp_path):
    (tmp_path / "t.csv").write_text("arrival_s,input_tokens,output_tokens\n5,10,3\n4,20,2\n")
    live = from_trace(str(tmp_path / "t.csv"), DESK, None)
    assert not live.timed
    assert live.requests.arrival_s.tolist() == [0, 1]
    assert live.requests.input_tokens.tolist() == [20, 10]
    with pytest.raises(InputError, match="name one with --service"):
        from_trace(str(tmp_path / "t.csv"), TWO, None)
    with pytest.raises(InputError, match="no service 'chatt'"):
        from_trace(str(tmp_path / "t.csv"), DESK, "chatt")


def test_what_bench_writes_has_its_latencies_beside(tmp_path):
    lines = (
        "arrival_s,input_tokens,output_tokens,session,ttft_s,tpot_s,e2e_s,status,cached_tokens",
        "2.0,10,3,4,0.5,0.25,1.0,finished,", "1.0,20,1,4,0.25,,0.25,finished,8", "1.5,20,0,,,,,HTTP 503,",
    )  # fmt: skip
    (tmp_path / "requests.csv").write_text("\n".join(lines) + "\n")
    live = from_trace(str(tmp_path / "requests.csv"), DESK, None)
    assert live.timed
    assert live.left_out == (("that failed or did not end", 1),)
    assert live.requests.ttft_s.tolist() == [0.25, 0.5]
    assert live.requests.tpot_s[1] == pytest.approx(0.25)
    assert live.requests.cached_tokens.tolist() == [8, -1]
    assert live.requests.session.tolist() == [0, 0]
    assert not live.inside


def recorded(inputs, cached, session):
    n = len(inputs)
    nan, ints = np.full(n, np.nan), lambda values: np.array(values, np.int64)
    return Recorded(
        np.arange(n, dtype=float),
        nan,
        nan,
        ints(inputs),
        ints(cached),
        ints([1] * n),
        ints([0] * n),
        ints(session),
        nan,
        nan,
        np.ones(n, bool),
    )


def test_prompts_share_as_many_blocks_as_were_cached():
    b = BLOCK_TOKENS
    start, hashes = prefixes(
        recorded([4 * b + 3, 6 * b, 6 * b, 5 * b, 2 * b], [0, 4 * b + 3, 5 * b, 3 * b, 3 * b], [7, 7, -1, -1, 7])
    )
    rows = [hashes[x:y].tolist() for x, y in itertools.pairwise(start)]
    assert [len(row) for row in rows] == [4, 6, 6, 5, 2]
    assert rows[1][:4] == rows[0]  # the same run: the prompt before it
    assert rows[2][:3] == rows[3][:3]  # no run: what everybody has
    assert rows[4] == rows[1][:2]
    own = rows[0] + rows[1][4:] + rows[2][5:] + rows[3][3:]
    assert len(set(own)) == len(own)
    assert not set(own) & set(rows[2][:5])


def test_the_mean_number_of_requests_inside_by_hand():
    """From 10 to 20 s: one inside for 2 s, one for all 10, one for the last 4 without an end, one before it."""
    begin, length = np.array([8.0, 0.0, 16.0, 1.0]), np.array([4.0, 100.0, np.nan, 2.0])
    assert _mean_number(begin, length, (10.0, 20.0)) == pytest.approx((2 + 10 + 4) / 10)


@pytest.mark.parametrize(
    ("live", "bound", "state"),
    [
        (105, 0.1, OK),
        (95, 0.1, OK),
        (115, 0.1, UNSURE),
        (85, 0.1, UNSURE),
        (130, 0.1, DRIFT),
        (70, 0.1, DRIFT),
        (130, 0.5, OK),
        (130, None, NOT_JUDGED),
        (np.nan, 0.1, NOT_JUDGED),
    ],
)
def test_drift_is_beyond_the_bound_and_beyond_what_the_model_knows(live, bound, state):
    assert _state(live, Interval(100.0, 80.0, 120.0), bound) == state


def test_nothing_is_judged_against_nothing():
    assert _state(1.0, Interval(0.0, 0.0, 0.0), 0.1) == NOT_JUDGED
