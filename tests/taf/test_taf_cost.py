"""taf_cost by hand: the whole run's dollars, tools and all, per dollar of visible output."""

import pytest
from calls_made import call, sub, usage

from tokenworks.economics.amplification import taf_cost
from tokenworks.errors import InputError
from tokenworks.events.ledger_events import CostEvent
from tokenworks.events.tables import table

WEIGHTS = {
    "input_fresh": 1,
    "cache_write": 1,
    "cache_read": 0.1,
    "output_visible": 5,
    "output_reasoning": 5,
    "output_tool": 5,
}


def tool(number, micro, run="r", **more):
    more = {"currency": "USD", **more}
    return CostEvent(
        source="s",
        id=f"c{number}",
        time_us=number,
        tenant="a",
        root_run=run,
        run=run,
        meter="tool_call",
        quantity_micro=1_000_000,
        unit="call",
        amount_micro=micro,
        **more,
    )


def priced():
    """Costs by the weights above, a micro-dollar each: 1,500, 400 and 250 + 100 + 750 = 1,100, of which visible 500."""
    return (
        call(1, fresh=1000, reasoning=100, cost_micro_usd=1500),
        sub(2, fresh=400, cost_micro_usd=400),
        call(3, fresh=250, read=1000, shown=100, reasoning=50, final=True, cost_micro_usd=1100),
    )


def only(events, tools=(), **more):
    (row,) = taf_cost(usage(*events), table(tools, "cost"), **{"weights": WEIGHTS, **more})
    return row


def test_a_run_by_hand():
    """(1,500 + 400 + 1,100 + 2,000 of tools) ÷ 500."""
    row = only(priced(), [tool(5, 1500), tool(6, 500)])
    assert (row.cost_micro_usd, row.tools_micro_usd, row.visible_micro_usd, row.taf_cost.ratio) == (
        5000,
        2000,
        500,
        10.0,
    )
    assert (row.key, row.runs, row.basis, row.assumed_runs) == (("r",), 1, "given", 0)


def test_without_tools_it_would_be_too_small():
    assert only(priced()).taf_cost.ratio == 6.0


def test_the_weights_are_found_in_the_events():
    row = only(priced(), weights=None)
    assert (row.basis, row.visible_micro_usd, row.taf_cost.ratio) == ("fitted to 3 calls", 500, 6.0)


def test_unknown_costs_are_counted_not_zero():
    first, second, last = priced()
    row = only([call(1, fresh=1000), second, last], [tool(5, None)])
    assert (row.cost_micro_usd, row.unknown_calls, row.unknown_events) == (1500, 1, 1)
    row = only([first, second, call(3, fresh=1, shown=1, final=True)])
    assert (row.taf_cost, row.visible_micro_usd, row.left_out_runs, row.left_out_micro_usd) == (None, None, 1, 1900)


def test_tools_of_a_run_without_a_call_are_named():
    row = only(priced(), [tool(5, 700, "lost")], by=())
    assert (row.runs, row.cost_micro_usd, row.left_out_runs, row.left_out_micro_usd) == (1, 3000, 1, 700)


def test_the_last_call_stands_in():
    row = only([call(1, fresh=500, shown=100, cost_micro_usd=1000)])
    assert (row.assumed_runs, row.taf_cost.ratio) == (1, 2.0)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"by": ("model",)}, "cannot be divided by model"),
        ({"weights": {"output_visible": 0}}, "need output_visible above zero"),
        ({"weights": {"output_visible": 1, "colour": 1}}, "of input_fresh"),
        ({"tools": [tool(1, 5, currency="EUR")]}, "costs in EUR beside USD"),
    ],
)
def test_what_is_refused(more, why):
    with pytest.raises(InputError, match=why):
        only(priced(), **more)
