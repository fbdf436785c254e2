"""Causes by hand, and that they sum to the tokens whatever the calls are."""

import pytest
from calls_made import agent, call, reversal, usage
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenworks.errors import InputError
from tokenworks.events.ledger_events import BUCKETS, Reversal, UsageEvent
from tokenworks.ledger.taf import taf
from tokenworks.ledger.waterfall import CAUSES, waterfall


def causes(*events):
    (row,) = waterfall(usage(*events))
    assert sum(row.tokens.values()) == row.processed_tokens
    return {name: number for name, number in row.tokens.items() if number}


def test_a_run_by_hand():
    """Call 2 had 1,070 tokens before it: of its 1,300 input 1,070 are read again, 230 are the tool's result. Call 5 had
    1,330: of 1,500 it reads 1,330 again; call 2 called a tool, so the other 170 are results."""
    assert causes(*agent()) == {
        "visible": 100,
        "prompt": 1000,
        "reading_again": 1070 + 1330,
        "reasoning": 100 + 50 + 10 + 150,
        "tools": 20 + 230 + 30 + 170,
        "sub_agents": 460,
        "retries": 100,
    }


def test_input_after_no_tool_is_the_users():
    assert causes(call(1, fresh=100, shown=10), call(2, fresh=150, shown=5, final=True)) == {
        "visible": 5, "prompt": 100 + 40, "reading_again": 110, "reasoning": 10,
    }  # fmt: skip


def test_a_first_calls_cache_is_read_again():
    """A system prompt that other runs have left in the cache."""
    assert causes(call(1, fresh=100, read=900, shown=10, final=True)) == {
        "visible": 10,
        "prompt": 100,
        "reading_again": 900,
    }


def test_a_retry_is_no_context_for_what_follows():
    """Naive: the failed attempt's 500 input are seen, so the second attempt's are "read again" and counted as waste twice."""
    assert causes(call(1, fresh=500, failed=True), call(2, fresh=500, shown=5, final=True)) == {
        "visible": 5,
        "prompt": 500,
        "retries": 500,
    }
    again = causes(
        call(1, fresh=500, shown=4),
        call(2, fresh=500, shown=5, purpose="retry"),
        call(3, fresh=600, shown=6, final=True),
    )
    assert again == {"visible": 6, "prompt": 500 + 96, "reading_again": 504, "reasoning": 4, "retries": 505}


def test_a_tool_call_of_unknown_size_is_known_by_its_purpose():
    assert causes(call(1, fresh=100, shown=9, tool=None, purpose="tool"), call(2, fresh=300, shown=5, final=True)) == {
        "visible": 5, "reading_again": 109, "reasoning": 9, "tools": 100 + 191,
    }  # fmt: skip


def test_the_last_call_stands_in_as_in_taf():
    assert causes(call(1, fresh=100, shown=9), call(2, fresh=109, shown=5))["visible"] == 5


def test_a_late_reversal_is_a_correction():
    whole = usage(call(1, fresh=100, shown=5, final=True), call(2, fresh=30, shown=1), reversal(3, 2))
    (row,) = waterfall(whole.filter([True, False, True]))
    assert (row.tokens["corrections"], row.processed_tokens) == (-31, 74)


def test_groups():
    table = usage(*agent(), call(9, "q", fresh=90, shown=10, final=True, tenant="b", model="n"))
    assert [(w.key, w.processed_tokens) for w in waterfall(table, ("tenant", "model"))] == [
        (("a", "m"), 4820),
        (("b", "n"), 100),
    ]
    assert [(w.key, w.processed_tokens) for w in waterfall(table, ("run",))] == [(("q",), 100), (("r",), 4820)]
    assert waterfall(usage()) == []
    with pytest.raises(InputError, match="depend on its run"):
        waterfall(table, ("call",))


TOKENS = st.none() | st.integers(0, 10**6)
CALLS = st.lists(
    st.builds(
        lambda run, depth, time, numbers, final, failed, purpose: (run, depth, time, numbers, final, failed, purpose),
        st.sampled_from("abc"), st.sampled_from(["", "/sub", "/sub/sub"]), st.integers(0, 9), st.tuples(*[TOKENS] * 6),
        st.booleans(), st.booleans(), st.sampled_from(["", "tool", "retry", "plan", "final"]),
    ),
    max_size=14,
)  # fmt: skip


def visible_by_hand(calls):
    """The rule of TAF, told in plain Python: final calls, else the last call of the task itself that somebody got."""
    got = [e for e in calls if not e.failed]
    final = [e.output_visible for e in got if e.final]
    if final:
        return None if None in final else sum(final)
    own = sorted((e for e in got if e.run == e.root_run), key=lambda e: (e.time_us, int(e.id)))
    return own[-1].output_visible if own else None


@settings(max_examples=25)
@given(CALLS, st.sets(st.integers(0, 13)))
def test_causes_sum_and_visible_is_tafs(made, taken):
    events = [
        UsageEvent(
            source="s", id=str(i), time_us=time, tenant="a", root_run=run, run=run + depth, model="m", purpose=purpose,
            final=final, failed=failed, **dict(zip(BUCKETS, numbers, strict=True)),
        )
        for i, (run, depth, time, numbers, final, failed, purpose) in enumerate(made)
    ]  # fmt: skip
    kept = [e for i, e in enumerate(events) if i not in taken]
    back = [
        Reversal(source="s", id=f"x{i}", time_us=99, tenant="a", of_source="s", of_id=str(i), reason="")
        for i in taken
        if i < len(events)
    ]
    table = usage(*events, *back)
    by_hand = sum(getattr(e, name) or 0 for e in kept for name in BUCKETS)
    rows = waterfall(table, ("run",))
    assert sum(row.processed_tokens for row in rows) == by_hand
    for row in rows:
        assert all(number >= 0 for number in row.tokens.values())
        assert tuple(row.tokens) == CAUSES
    shown = {run: visible_by_hand([e for e in kept if e.root_run == run]) for run in {e.root_run for e in kept}}
    for row, other in zip(rows, taf(table, ("run",), resamples=0), strict=True):
        assert row.processed_tokens == other.processed_tokens + other.left_out_tokens
        assert other.visible_tokens == shown[row.key[0]]
        if other.visible_tokens is not None:
            assert row.tokens["visible"] == other.visible_tokens
