"""Bills by hand: exports as rows, and their comparison with a ledger of two calls."""

import json
from datetime import date
from decimal import Decimal

import pytest

from tokenworks.errors import InputError, TraceError
from tokenworks.events.ledger_events import UsageEvent
from tokenworks.events.tables import table
from tokenworks.ledger.bills.read import read_bill
from tokenworks.ledger.bills.reconcile import LedgerRow, ledger_money, ledger_usage, reconcile
from tokenworks.ledger.bills.rows import BillRow

DAY = date(2026, 3, 1)
START, END = 1_772_323_200, 1_772_409_600  # 2026-03-01 UTC

OPENAI_USAGE = {"object": "page", "has_more": False, "data": [{"object": "bucket", "start_time": START, "end_time": END, "results": [
    {"object": "organization.usage.completions.result", "input_tokens": 1500, "input_cached_tokens": 1000, "output_tokens": 300, "num_model_requests": 2, "model": "gpt-5"},
]}]}  # fmt: skip
OPENAI_COSTS = """{"object": "page", "has_more": false, "data": [{"object": "bucket", "start_time": START, "end_time": END, "results": [
    {"object": "organization.costs.result", "amount": {"value": 0.000625, "currency": "usd"}, "line_item": "gpt-5, input"},
    {"object": "organization.costs.result", "amount": {"value": 0.1250, "currency": "usd"}, "line_item": "gpt-5, cached input"},
    {"object": "organization.costs.result", "amount": {"value": 0.003, "currency": "usd"}, "line_item": "gpt-5, output"},
    {"object": "organization.costs.result", "amount": {"value": 2.25, "currency": "usd"}, "line_item": "web search tool calls"}
]}]}""".replace("START", str(START)).replace("END", str(END))
ANTHROPIC_USAGE = {"has_more": False, "data": [{"starting_at": "2026-03-01T00:00:00Z", "ending_at": "2026-03-02T00:00:00Z", "results": [
    {"uncached_input_tokens": 1500, "cache_creation": {"ephemeral_1h_input_tokens": 1000, "ephemeral_5m_input_tokens": 500}, "cache_read_input_tokens": 200, "output_tokens": 500, "model": "claude-sonnet-4-5"},
]}]}  # fmt: skip
ANTHROPIC_COSTS = {"has_more": False, "data": [{"starting_at": "2026-03-01T00:00:00Z", "ending_at": "2026-03-02T00:00:00Z", "results": [
    {"currency": "USD", "amount": "123.78912", "model": "claude-sonnet-4-5", "token_type": "uncached_input_tokens", "description": "Input Tokens"},
    {"currency": "USD", "amount": "50", "model": None, "cost_type": "web_search", "description": "Web Search Usage"},
]}]}  # fmt: skip


def write(path, body):
    path.write_text(body if isinstance(body, str) else json.dumps(body), encoding="utf-8")
    return path


def cells(rows):
    return [(r.day, r.model, r.bucket, r.quantity, r.cost, r.currency) for r in rows]


def test_openai(tmp_path):
    """Input includes cached input: 1,500 − 1,000 = 500 fresh."""
    assert cells(read_bill(write(tmp_path / "u.json", OPENAI_USAGE), "openai")) == [
        (DAY, "gpt-5", "input_fresh", 500, None, ""),
        (DAY, "gpt-5", "cache_read", 1000, None, ""),
        (DAY, "gpt-5", "output", 300, None, ""),
    ]
    assert cells(read_bill(write(tmp_path / "c.json", OPENAI_COSTS), "openai")) == [
        (DAY, "gpt-5", "input_fresh", None, Decimal("0.000625"), "USD"),
        (DAY, "gpt-5", "cache_read", None, Decimal("0.1250"), "USD"),
        (DAY, "gpt-5", "output", None, Decimal("0.003"), "USD"),
        (DAY, "", "web search tool calls", None, Decimal("2.25"), "USD"),
    ]


def test_openai_csv(tmp_path):
    text = (
        f"start_time,end_time,model,input_tokens,input_cached_tokens,output_tokens\n{START},{END},gpt-5,1500,1000,300\n"
    )
    assert cells(read_bill(write(tmp_path / "u.csv", text), "openai")) == cells(
        read_bill(write(tmp_path / "u.json", OPENAI_USAGE), "openai")
    )
    text = 'start_time,end_time,amount_value,amount_currency,line_item\n2026-03-01T00:00:00+00:00,2026-03-02T00:00:00+00:00,0.10,usd,"gpt-5, output"\n'
    assert cells(read_bill(write(tmp_path / "c.csv", text), "openai")) == [
        (DAY, "gpt-5", "output", None, Decimal("0.10"), "USD")
    ]


def test_anthropic(tmp_path):
    """Inputs are disjoint; both lifetimes are cache writes; 123.78912 cents are 1.2378912 dollars."""
    assert cells(read_bill(write(tmp_path / "u.json", ANTHROPIC_USAGE), "anthropic")) == [
        (DAY, "claude-sonnet-4-5", "input_fresh", 1500, None, ""),
        (DAY, "claude-sonnet-4-5", "cache_read", 200, None, ""),
        (DAY, "claude-sonnet-4-5", "cache_write", 1500, None, ""),
        (DAY, "claude-sonnet-4-5", "output", 500, None, ""),
    ]
    assert cells(read_bill(write(tmp_path / "c.json", ANTHROPIC_COSTS), "anthropic")) == [
        (DAY, "claude-sonnet-4-5", "input_fresh", None, Decimal("1.2378912"), "USD"),
        (DAY, "", "Web Search Usage", None, Decimal("0.5"), "USD"),
    ]
    text = "starting_at,ending_at,model,uncached_input_tokens,cache_read_input_tokens,cache_creation.ephemeral_5m_input_tokens,output_tokens\n2026-03-01,2026-03-02,m,5,6,7,8\n"
    assert [(r.bucket, r.quantity) for r in read_bill(write(tmp_path / "u.csv", text), "anthropic")] == [
        ("input_fresh", 5),
        ("cache_read", 6),
        ("cache_write", 7),
        ("output", 8),
    ]


FOCUS = """BilledCost,BillingCurrency,ChargeCategory,ChargePeriodStart,ChargePeriodEnd,ChargeDescription,ConsumedQuantity,ConsumedUnit,SkuMeter
1.25,USD,Usage,2026-03-01T00:00:00Z,2026-03-02T00:00:00Z,"gpt-5 Input Tokens",1000,1K Tokens,Input
0.05,USD,Usage,2026-03-01T00:00:00Z,2026-03-02T00:00:00Z,"gpt-5 cached input",0.4,M tokens,Cached
3,USD,Usage,2026-03-01T00:00:00Z,2026-03-02T00:00:00Z,"gpt-5-mini Output Tokens",300,tokens,Output
9,USD,Usage,2026-03-01T00:00:00Z,2026-03-02T00:00:00Z,"virtual machine",24,Hours,Compute
-2,USD,Credit,2026-03-01T00:00:00Z,2026-03-02T00:00:00Z,"gpt-5 Input promotion",,,
"""


def test_focus(tmp_path):
    rows = read_bill(write(tmp_path / "f.csv", FOCUS), "focus", ["gpt-5"])
    assert cells(rows) == [
        (DAY, "gpt-5", "input_fresh", 1_000_000, Decimal("1.25"), "USD"),
        (DAY, "gpt-5", "cache_read", 400_000, Decimal("0.05"), "USD"),
        (DAY, "", "Usage: gpt-5-mini Output Tokens", None, Decimal(3), "USD"),
        (DAY, "", "Usage: virtual machine", None, Decimal(9), "USD"),
        (DAY, "gpt-5", "Credit: gpt-5 Input promotion", None, Decimal(-2), "USD"),
    ]


def changed(page, **more):
    copy = json.loads(json.dumps(page))
    copy["data"][0]["results"][0] |= more
    return copy


@pytest.mark.parametrize(
    ("provider", "body", "why"),
    [
        ("openai", {**OPENAI_USAGE, "has_more": True}, "page 1: has_more is true"),
        ("openai", changed(OPENAI_USAGE, input_cached_tokens=1501), "cached input 1501 exceeds the input of 1500"),
        ("openai", changed(OPENAI_USAGE, output_tokens=-1), "page 1, bucket 1, result 1: output_tokens -1 is not"),
        ("openai", changed(OPENAI_USAGE, output_tokens=1.5), "output_tokens"),
        ("openai", {"data": [{"start_time": START, "end_time": END + 86_400, "results": []}]}, "longer than a day"),
        ("openai", {"data": [{"start_time": "noon", "end_time": END, "results": []}]}, "'noon' is no time"),
        ("openai", {"data": 3}, "no list of data"),
        ("openai", [3], "page 1: it holds no list of data"),
        ("openai", "{", "not JSON"),
        (
            "openai",
            {"data": [{"start_time": START, "end_time": END, "results": [{"line_item": "x"}]}]},
            "neither tokens nor an amount",
        ),
        ("anthropic", changed(ANTHROPIC_COSTS, currency="EUR"), "currency 'EUR'"),
        ("anthropic", changed(ANTHROPIC_COSTS, amount="many"), "amount 'many' is not a number"),
        ("anthropic", changed(ANTHROPIC_COSTS, amount="NaN"), "not a finite number"),
    ],
)
def test_what_cannot_be_read_names_its_place(tmp_path, provider, body, why):
    with pytest.raises(TraceError, match=why):
        read_bill(write(tmp_path / "b.json", body), provider)


def test_other_files(tmp_path):
    with pytest.raises(InputError, match="there are openai, anthropic, focus"):
        read_bill(tmp_path / "b.json", "acme")
    with pytest.raises(TraceError, match="column BilledCost is missing"):
        read_bill(write(tmp_path / "b.csv", "a,b\n1,2\n"), "focus")
    with pytest.raises(TraceError, match="line 2: it has not as many fields"):
        read_bill(write(tmp_path / "b.csv", "a,b\n1\n"), "focus")


def call(number, *, model="gpt-5", reasoning=0, day=0, **more):
    return UsageEvent(
        source="s",
        id=str(number),
        time_us=(START + 86_400 * day) * 1_000_000 + number,
        tenant="a",
        model=model,
        provider="openai",
        output_reasoning=reasoning,
        **more,
    )


def ledger():
    """Two calls of the day that the bill is of: 500 fresh, 1,000 read, 300 put out."""
    return table([
        call(1, input_fresh=200, cache_read=1000, output_visible=100, reasoning=50, cost_micro_usd=100_000),
        call(2, input_fresh=300, cache_read=0, output_visible=150, cost_micro_usd=28_625),
    ])  # fmt: skip


def bill(tmp_path, usage=OPENAI_USAGE, costs=OPENAI_COSTS):
    return [
        r
        for name, body in (("u", usage), ("c", costs))
        if body
        for r in read_bill(write(tmp_path / f"{name}.json", body), "openai")
    ]


def test_what_agrees_is_clean(tmp_path):
    found = reconcile(ledger_usage(ledger()), bill(tmp_path, costs=None))
    assert (found.agreed, found.clean) == (3, True)


def test_money_agrees_to_the_micro_dollar(tmp_path):
    """0.000625 + 0.125 + 0.003 = 0.128625; the web search is on the bill alone."""
    found = reconcile(ledger_usage(ledger()), bill(tmp_path), ledger_money(ledger()))
    assert (found.agreed, found.differences, found.ledger_only) == (4, [], [])
    assert [(r.bucket, r.cost) for r in found.bill_only] == [("web search tool calls", Decimal("2.25"))]
    assert found.billed == {"USD": Decimal("2.378625")}


def test_a_difference_is_worth_what_the_bill_charges(tmp_path):
    """The bill has 200 tokens of output more than the ledger's 300 of 500, at 0.003 ÷ 500 = 0.000006 a token."""
    found = reconcile(ledger_usage(ledger()), bill(tmp_path, changed(OPENAI_USAGE, output_tokens=500)))
    (item,) = found.differences
    assert (item.bucket, item.ledger, item.bill, item.difference, item.money, item.currency) == (
        "output",
        300,
        500,
        200,
        Decimal("0.0012"),
        "USD",
    )
    assert found.money_of_differences == {"USD": Decimal("0.0012")}


def test_a_tenth_of_a_cent_of_money_is_a_difference(tmp_path):
    money = {(DAY, "gpt-5"): Decimal("0.127625")}
    (item,) = reconcile(ledger_usage(ledger()), bill(tmp_path), money).differences
    assert (item.bucket, item.difference) == ("money", Decimal("0.001"))


def test_what_stands_on_one_side_is_listed(tmp_path):
    events = table(
        [
            call(1, input_fresh=5, cache_read=0, output_visible=1, model="own-model"),
            call(2, input_fresh=7, cache_read=None, output_visible=1, day=1),
        ]
    )
    found = reconcile(ledger_usage(events), bill(tmp_path, costs=None))
    assert [(r.bucket, r.quantity) for r in found.bill_only] == [
        ("input_fresh", 500),
        ("cache_read", 1000),
        ("output", 300),
    ]
    assert found.ledger_only == [
        LedgerRow(DAY, "own-model", "input_fresh", 5, 0),
        LedgerRow(DAY, "own-model", "output", 1, 0),
        LedgerRow(date(2026, 3, 2), "gpt-5", "input_fresh", 7, 0),
        LedgerRow(date(2026, 3, 2), "gpt-5", "cache_read", 0, 1),
        LedgerRow(date(2026, 3, 2), "gpt-5", "output", 1, 0),
    ]
    assert not found.differences


def test_unknown_buckets_of_the_ledger_are_named_beside_the_difference(tmp_path):
    events = table([call(1, input_fresh=1500, cache_read=None, output_visible=300)])
    fresh, read = sorted(
        reconcile(ledger_usage(events), bill(tmp_path, costs=None)).differences, key=lambda d: d.bucket, reverse=True
    )
    assert (fresh.bucket, fresh.difference, fresh.unknown_calls) == ("input_fresh", -1000, 0)
    assert (read.bucket, read.difference, read.unknown_calls) == ("cache_read", 1000, 1)


def test_models_by_another_name(tmp_path):
    events = table([call(1, model="prod/gpt5", input_fresh=500, cache_read=1000, output_visible=300)])
    assert reconcile(ledger_usage(events, models={"prod/gpt5": "gpt-5"}), bill(tmp_path, costs=None)).clean


def test_calls_without_a_cost_have_no_money_to_compare():
    events = table(
        [
            call(1, input_fresh=1, cache_read=0, output_visible=1, cost_micro_usd=5),
            call(2, input_fresh=1, cache_read=0, output_visible=1),
        ]
    )
    assert ledger_money(events) == {}


def test_two_currencies_are_refused():
    row = BillRow(DAY, "gpt-5", "output", None, Decimal(1), "USD", "")
    with pytest.raises(InputError, match="in USD and in EUR"):
        reconcile([], [row, BillRow(DAY, "gpt-5", "output", None, Decimal(1), "EUR", "")])
    with pytest.raises(InputError, match="convert the bill first"):
        reconcile([], [BillRow(DAY, "gpt-5", "output", None, Decimal(1), "EUR", "")], {(DAY, "gpt-5"): Decimal(1)})
