"""TAF by hand: a ratio of sums, its percentiles, intervals, proxies and what is left out."""

import numpy as np
import pytest
from calls_made import HOUR_US, agent, call, reversal, sub, usage

from tokenworks.errors import InputError
from tokenworks.ledger.bootstrap import ratio_intervals
from tokenworks.ledger.taf import taf


def only(*events, by=(), **more):
    (row,) = taf(usage(*events), by, **more)
    return row


def test_a_run_by_hand():
    row = only(*agent(), by=("run",))
    assert (row.key, row.runs, row.calls, row.processed_tokens, row.cache_read_tokens, row.visible_tokens) == (
        ("r",),
        1,
        5,
        4820,
        2300,
        100,
    )
    assert (row.taf_processed.ratio, row.taf_computed.ratio) == (48.2, 25.2)
    assert (row.taf_processed.interval, row.taf_processed.percentiles[50], row.assumed) == (None, 48.2, False)


def test_the_narratives_two_examples():
    """331,500 / 10,000 and 262,000 / 8,000: the second is 32.75, not the 26 that is printed beside it."""
    assert only(call(1, fresh=321_500, shown=10_000, final=True)).taf_processed.ratio == 33.15
    assert only(call(1, fresh=254_000, shown=8000, final=True)).taf_processed.ratio == 32.75


def test_sums_are_divided_not_ratios_averaged():
    """Naive: the mean of 100 and 2 is 51; together 1,100 tokens were processed for 510 visible ones."""
    events = (
        call(
            1,
            "small",
            fresh=90,
            shown=10,
            final=True,
        ),
        call(2, "large", fresh=500, shown=500, final=True),
    )
    row = only(*events)
    assert row.taf_processed.ratio == 1100 / 510 != (10 + 2) / 2
    assert row.taf_processed.percentiles == {10: 2.8, 50: 6.0, 90: 9.2, 99: 9.92}


def test_the_last_call_stands_in_and_says_so():
    row = only(call(1, fresh=10, shown=5), call(2, fresh=20, shown=7), sub(3, fresh=5, shown=99))
    assert (row.visible_tokens, row.taf_processed.ratio, row.assumed, row.assumed_runs) == (7, 146 / 7, True, 1)


def test_of_calls_at_one_time_the_last_stored_is_the_last():
    row = only(call(2, fresh=1, shown=5, time_us=9), call(1, fresh=1, shown=7, time_us=9))
    assert row.visible_tokens == 7


def test_a_failed_last_call_shows_nothing_to_anybody():
    assert only(call(1, fresh=10, shown=5), call(2, fresh=20, shown=9, failed=True)).visible_tokens == 5
    assert (
        only(call(1, fresh=10, shown=5, final=True), call(2, fresh=20, shown=9, failed=True, final=True)).visible_tokens
        == 5
    )


def test_unknown_output_is_no_zero():
    """A run whose visible output nobody knows is in neither sum; what it processed is named."""
    row = only(call(1, fresh=10, shown=5, final=True), call(2, "q", fresh=1000, shown=None, final=True))
    assert (row.runs, row.taf_processed.ratio, row.left_out_runs, row.left_out_tokens, row.unknown_calls) == (
        1,
        3.0,
        1,
        1000,
        1,
    )
    row = only(call(2, "q", fresh=1000, shown=None))
    assert (row.runs, row.taf_processed, row.visible_tokens, row.left_out_tokens) == (0, None, None, 1000)


def test_a_run_that_showed_nothing_counts_above_and_not_below():
    row = only(call(1, fresh=10, shown=5, final=True), call(2, "q", fresh=1000, tool=5))
    assert (row.taf_processed.ratio, row.silent_runs, row.taf_processed.percentiles[99]) == (1020 / 5, 1, 3.0)
    assert only(call(2, "q", fresh=1000, tool=5)).taf_processed is None


def test_unknown_cache_reads_are_counted():
    row = only(call(1, fresh=10, read=None, shown=5, final=True))
    assert (row.taf_computed.ratio, row.unknown_read_calls) == (3.0, 1)


def test_what_was_taken_back_is_gone():
    kept = [call(1, fresh=10, shown=5, final=True)]
    taken = [call(2, fresh=999, shown=50, final=True), reversal(3, 2)]
    assert only(*kept, *taken) == only(*kept)
    replaced = only(*taken, call(4, fresh=20, shown=10, final=True))
    assert (replaced.calls, replaced.taf_processed.ratio) == (1, 3.0)


def test_a_reversal_without_its_original_subtracts():
    whole = usage(call(1, fresh=100, shown=5, final=True), call(2, fresh=30, shown=1), reversal(3, 2))
    (row,) = taf(whole.filter([True, False, True]), ())
    assert (row.processed_tokens, row.calls) == (105 - 31, 0)


def test_by_model_the_parts_of_a_run_add_up():
    """A small model for the sub-tasks shows nothing itself; its tokens count per token that the run showed."""
    rows = taf(
        usage(*(e if e.agent == "lead" else sub(3, fresh=400, shown=60, model="small") for e in agent())), ("model",)
    )
    assert [(r.key, r.processed_tokens, r.visible_tokens) for r in rows] == [
        (("m",), 4360, 100),
        (("small",), 460, 100),
    ]
    assert sum(r.taf_processed.ratio for r in rows) == pytest.approx(48.2)


def test_by_call_tenant_agent_and_period():
    other = call(9, "q", fresh=90, shown=10, final=True, tenant="b", agent="helper", time_us=25 * HOUR_US)
    table = usage(*agent(), other)
    rows = taf(table, ("call",))
    assert [(r.key[0], r.visible_tokens, r.taf_processed and r.taf_processed.ratio) for r in rows] == [
        ("s/1", 0, None),
        ("s/2", 0, None),
        ("s/3", 0, None),
        ("s/4", 0, None),
        ("s/5", 100, 17.5),
        ("s/9", 10, 10.0),
    ]
    assert [(r.key, r.taf_processed.ratio) for r in taf(table, ("tenant", "period"))] == [
        (("a", "1970-01-01"), 48.2),
        (("b", "1970-01-02"), 10.0),
    ]
    assert [(r.key, r.processed_tokens) for r in taf(table, ("agent",))] == [(("helper",), 100), (("lead",), 4820)]
    assert [r.key for r in taf(table, ("period",), period="hour")] == [("1970-01-01T00",), ("1970-01-02T01",)]
    assert [r.key for r in taf(table, ("period",), period="month")] == [("1970-01",)]


def test_two_tenants_with_one_run_name_are_two_runs():
    row = only(call(1, fresh=1, shown=1, final=True), call(2, fresh=1, shown=1, final=True, tenant="b"))
    assert row.runs == 2


def test_calls_outside_any_run_are_runs_of_their_own():
    rows = taf(usage(call(1, "", fresh=9, shown=1), call(2, "", fresh=19, shown=1)), ("run",))
    assert [(r.key, r.taf_processed.ratio) for r in rows] == [(("s/1",), 10.0), (("s/2",), 20.0)]


def test_nothing_is_nothing():
    assert taf(usage(), ("tenant",)) == []
    assert taf(usage(), ()) == []


@pytest.mark.parametrize(("by", "why"), [(("colour",), "cannot group by colour"), (("run", "run"), "each once")])
def test_unknown_keys(by, why):
    with pytest.raises(InputError, match=why):
        taf(usage(*agent()), by)
    with pytest.raises(InputError, match="no period 'week'"):
        taf(usage(*agent()), (), period="week")


def test_a_table_without_the_columns():
    with pytest.raises(InputError, match="lacks cache_read"):
        taf(usage(*agent()).drop_columns(["cache_read"]))


def many(count, seed):
    """Runs with a heavy tail: output 1–200, amplification around 20."""
    rng = np.random.default_rng(seed)
    shown = rng.integers(1, 200, count)
    return (shown * rng.lognormal(3, 0.5, count)).astype(np.int64) + shown, shown.astype(np.int64)


def test_the_interval_covers_the_ratio_as_often_as_it_says():
    """95% intervals over 300 draws of 60 runs hold the ratio of the whole between 89% and 98% of the time (few runs and a
    percentile interval: a little below 95%)."""
    above, below = many(200_000, 0)
    truth = above.sum() / below.sum()
    hits = 0
    for seed in range(300):
        a, b = many(60, seed + 1)
        ((low, high),) = ratio_intervals([a], b, resamples=400, seed=seed, name="x")
        hits += low <= truth <= high
    assert 0.89 <= hits / 300 <= 0.98


def test_blocks_of_many_runs_spread_like_the_runs():
    """Above 1,024 runs blocks are drawn. Their interval is as wide as the delta method says, within 15%."""
    above, below = many(20_000, 3)
    ratio = above.sum() / below.sum()
    spread = np.std(above - ratio * below) / below.mean() / np.sqrt(len(above))
    ((low, high),) = ratio_intervals([above], below, resamples=2000, seed=0, name="x")
    assert high - low == pytest.approx(2 * 1.96 * spread, rel=0.15)


def test_intervals_are_repeatable_and_do_not_depend_on_the_neighbours():
    events = [call(i, f"r{i}", fresh=10 * i, shown=i % 7 + 1, final=True, tenant="ab"[i % 2]) for i in range(1, 60)]
    both = taf(usage(*events), ("tenant",), seed=4)
    alone = taf(usage(*(e for e in events if e.tenant == "b")), ("tenant",), seed=4)
    assert both[1:] == alone
    assert both == taf(usage(*events), ("tenant",), seed=4) != taf(usage(*events), ("tenant",), seed=5)
