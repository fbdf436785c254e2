"""Rating against an independent reference and against itself: what must not change the bill does not."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_usage import tables

from tokenworks.errors import InputError
from tokenworks.pricing.account import Account
from tokenworks.pricing.bulk import rate_many
from tokenworks.pricing.curves import steps
from tokenworks.pricing.money import as_decimal, rounded, split
from tokenworks.pricing.periods import midnight_us, month
from tokenworks.pricing.plan import Plan, Price
from tokenworks.pricing.rating import Terms, rate
from tokenworks.pricing.reading import parsed

bounds = st.lists(st.integers(1, 500), min_size=1, max_size=4, unique=True).map(sorted)
SCALE = [Decimal("0.01"), Decimal("0.007"), Decimal("0.0031"), Decimal("0.002"), Decimal("0.0005")]


def tiered(model: str, tops: list[int], included: int = 0) -> Price:
    tiers = [{"up_to": t, "price": p} for t, p in zip(tops, SCALE, strict=False)] + [{"price": SCALE[-1]}]
    return Price.model_validate({"id": "t", "meter": "tokens", "model": model, "tiers": tiers, "included": included})


def unit_by_unit(price: Price, quantity: int) -> Decimal:
    """The price of each unit by its own number."""
    return sum(
        (next(t.price for t in price.tiers if t.up_to is None or n <= t.up_to) for n in range(1, quantity + 1)),
        Decimal(0),
    )


@given(bounds, st.integers(0, 700), st.integers(0, 700))
def test_graduated_is_the_sum_of_its_units(tops, one, two):
    price = tiered("graduated", tops)
    begin, end = sorted((one, two))
    found = sum((s.amount for s in steps(price, Fraction(begin), Fraction(end), Fraction(end))), Fraction(0))
    assert found == Fraction(unit_by_unit(price, end)) - Fraction(unit_by_unit(price, begin))


@given(st.fractions(-1000, 1000), st.sampled_from(["USD", "JPY", "KWD"]))
def test_rounding_is_that_of_decimal(amount, currency):
    quantum = Decimal(1).scaleb(-{"USD": 2, "JPY": 0, "KWD": 3}[currency])
    exact = Decimal(amount.numerator) / Decimal(amount.denominator)
    assert abs(Fraction(rounded(amount, currency)) - amount) <= Fraction(quantum) / 2
    if Fraction(exact) == amount:
        assert rounded(amount, currency) == exact.quantize(quantum, ROUND_HALF_EVEN)


@given(st.integers(-(10**9), 10**9), st.lists(st.integers(0, 100), min_size=1, max_size=9).filter(any))
def test_a_split_is_whole_and_fair(cents, weights):
    whole = as_decimal(Fraction(cents, 100), 2)
    parts = split(whole, weights, "USD")
    assert sum(map(Fraction, parts)) == Fraction(cents, 100)
    assert all(
        abs(Fraction(p) - Fraction(cents, 100) * w / sum(weights)) < Fraction(1, 100)
        for p, w in zip(parts, weights, strict=True)
    )


def plan_of(model: str, tops: list[int], change: str = "") -> Plan:
    price = tiered(model, tops, included=50).model_dump(mode="json", exclude_defaults=True)
    versions = [{"id": "v1", "from": "2025-01-01", "prices": [price]}]
    if change:
        versions = [{**versions[0], "until": change}, {"id": "v2", "from": change, "prices": [price]}]
    return Plan.model_validate({"plan": "p", "currency": "USD", "versions": versions})


ACCOUNT = Account.model_validate({"tenant": "acme", "plan": "p", "from": "2025-01-01"})
events = st.lists(st.tuples(st.integers(1, 28), st.integers(0, 300)), min_size=1, max_size=6)


@settings(max_examples=25)
@given(bounds, events, st.integers(2, 31), st.sampled_from(["graduated", "volume"]))
def test_a_version_with_the_same_prices_changes_nothing_but_lines(tops, rows, day, model):
    """A change of version in the middle of the month keeps counters: the exact total is that of one version."""
    usage = tables({"usage": [{"at": f"2026-01-{d:02}T12:00:00Z", "input_fresh": n} for d, n in rows]})
    january = month("2026-01")
    one = rate(Terms(plan_of(model, tops), ACCOUNT, january), usage)
    two = rate(Terms(plan_of(model, tops, f"2026-01-{day:02}"), ACCOUNT, january), usage)
    assert abs(one.total - two.total) <= Decimal("0.01")  # two lines are rounded instead of one


def test_sums_beyond_64_bits_are_exact():
    """Three times the largest bucket: 27,670,116,110,564,327,421 tokens at 0.01 a million."""
    top = 2**63 - 1
    usage = tables({"usage": [{"at": "2026-01-05T10:00:00Z", "input_fresh": top} for _ in range(3)]})
    plan = parsed(
        "plan: p\ncurrency: USD\nversions: [{id: v, from: 2025-01-01, prices: [{id: t, meter: tokens, price: 0.01, per: 1_000_000}]}]\n",
        Plan,
    )
    found = rate(Terms(plan, ACCOUNT, month("2026-01")), usage)
    assert str(found.charges[0].quantity) == str(3 * top)
    assert found.total == Decimal("276701161105.64")


def test_a_lost_original_and_a_double_reversal_are_refused():
    plan = plan_of("graduated", [10])
    usage = tables({"usage": [{"at": "2026-01-05T10:00:00Z", "input_fresh": 5}]})
    alone = usage.usage.set_column(4, "sign", [[-1]]).cast(usage.usage.schema)
    with pytest.raises(InputError, match=r"the reversal of \(test, e1\) stands without its original"):
        rate(Terms(plan, ACCOUNT, month("2026-01")), type(usage)(alone))
    twice = tables(
        {
            "usage": [
                {"at": "2026-01-05T10:00:00Z", "input_fresh": 5},
                {"reverse": "e1", "at": "2026-01-06T10:00:00Z"},
                {"reverse": "e1", "at": "2026-01-07T10:00:00Z"},
            ]
        }
    )
    with pytest.raises(InputError, match="sums to -5: below 0"):
        rate(Terms(plan, ACCOUNT, month("2026-01")), twice)


def test_many_tenants_are_each_alone():
    """In one pass for each time zone, the same as one by one."""
    names = [("a", "UTC"), ("b", "UTC"), ("c", "America/New_York"), ("d", "Pacific/Auckland")]
    accounts = [Account.model_validate({"tenant": n, "plan": "p", "from": "2025-01-01", "zone": z}) for n, z in names]
    rows = [
        {"at": f"2026-01-{d:02}T03:00:00Z", "tenant": n, "input_fresh": 97 * d} for n, _ in names for d in range(1, 32)
    ]
    usage, plan = tables({"usage": rows}), plan_of("graduated", [100, 400], "2026-01-16")
    whole = rate_many(plan, accounts, usage, "2026-01")
    assert whole == {a.tenant: rate(Terms(plan, a, month("2026-01", a.zone)), usage) for a in accounts}
    assert whole["c"].total < whole["a"].total == whole["d"].total  # New York's 1 January begins later


def test_a_skipped_midnight_is_the_moment_of_the_skip():
    """Beirut, 26 March 2023: midnight became 01:00; the day began at 22:00 UTC of the 25th."""
    from datetime import date

    assert month("2023-03", "Asia/Beirut").days == 31
    assert midnight_us(date(2023, 3, 26), "Asia/Beirut") == 1_679_781_600_000_000
