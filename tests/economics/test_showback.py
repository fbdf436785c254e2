"""Costs along the hierarchy of cost centres, budgets, commitments and carbon by the hour."""

from datetime import date, timedelta
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenworks.economics.carbon import US_PER_HOUR, carbon_ug
from tokenworks.economics.commitments import Commitment, amortised, by_month
from tokenworks.economics.showback import UNTAGGED, Spent, in_parts, place_of, showback, with_commitments
from tokenworks.economics.spending import Reservations, anomalies, forecast
from tokenworks.errors import InputError

PATHS = st.sampled_from([(UNTAGGED,), ("a",), ("a", "b"), ("c", "d", "e")])
MONDAY = date(2027, 2, 1)


@given(st.lists(st.tuples(PATHS, st.integers(-(10**15), 10**15))))
def test_nothing_is_lost_on_the_way_up(rows):
    """The tops sum to the total, and every place to its own rows and the places right below it."""
    places = {p.path: p for p in showback((path, Spent(usage_micro=amount)) for path, amount in rows)}
    assert sum(p.total.micro for p in places.values() if len(p.path) == 1) == sum(amount for _, amount in rows)
    for path, place in places.items():
        below = sum(p.total.micro for q, p in places.items() if q[:-1] == path)
        assert place.total.micro == place.own.micro + below


def test_rows_without_a_name_have_a_place_of_their_own():
    assert place_of(None) == place_of("") == place_of(" / ") == (UNTAGGED,)
    assert place_of("engineering / search") == ("engineering", "search")


@given(st.integers(0, 10**18), st.lists(st.integers(0, 10**12), min_size=1).filter(any))
def test_parts_by_weight_sum_to_the_whole_and_none_is_a_unit_off(amount, weights):
    parts = in_parts(amount, weights)
    assert sum(parts) == amount
    assert all(abs(part - Fraction(amount * w, sum(weights))) < 1 for part, w in zip(parts, weights, strict=True))
    rows = [((str(n),), Spent(usage_micro=w)) for n, w in enumerate(weights)]
    assert sum(s.micro for _, s in with_commitments(rows, amount, weights)) == amount + sum(weights)


def test_commitments_without_a_weight_are_not_lost_but_refused():
    with pytest.raises(InputError, match="nothing has a weight"):
        with_commitments([(("a",), Spent())], 5, [0])


def test_a_month_with_weekends_is_forecast_by_weekday():
    """Four weeks of 100 on workdays and 10 on weekends; on the 15th of March (a Monday) 13 workdays and 4 weekend days come."""
    spent = {MONDAY + timedelta(n): 100 if (MONDAY + timedelta(n)).weekday() < 5 else 10 for n in range(42)}
    today = date(2027, 3, 15)
    found = forecast(spent, date(2027, 3, 1), date(2027, 3, 31), today, 2_200)
    assert found.spent_micro == 10 * 100 + 4 * 10
    assert found.expected_micro == found.spent_micro + 13 * 100 + 4 * 10
    assert found.low_micro == found.high_micro == found.expected_micro  # no noise, no width
    assert found.over
    assert found.used_up == date(2027, 3, 30)
    assert forecast(spent, date(2027, 3, 1), date(2027, 3, 31), today, 2_380).used_up is None


def test_eighty_of_a_hundred_months_end_inside_the_interval():
    rng = np.random.default_rng(1)
    inside = 0
    for _ in range(400):
        amounts = rng.normal(1e6, 2e5, 58).astype(int)
        days = {MONDAY + timedelta(n): int(x) for n, x in enumerate(amounts)}
        today = MONDAY + timedelta(44)
        known = {d: x for d, x in days.items() if d < today}
        first, last = MONDAY + timedelta(30), MONDAY + timedelta(57)
        found = forecast(known, first, last, today, 0)
        inside += found.low_micro <= sum(x for d, x in days.items() if first <= d <= last) <= found.high_micro
    assert 0.7 < inside / 400 < 0.88


def test_a_day_out_of_line_is_named_and_does_not_hide_the_next():
    daily = {MONDAY + timedelta(n): 1_000_000 + 10_000 * (n % 3) for n in range(30)}
    daily[MONDAY + timedelta(20)] = 9_000_000
    daily[MONDAY + timedelta(23)] = 5_000_000
    assert [a.day for a in anomalies(daily)] == [MONDAY + timedelta(20), MONDAY + timedelta(23)]
    del daily[MONDAY + timedelta(25)]  # a day without spending is one too
    assert anomalies(daily)[-1].spent_micro == 0
    assert anomalies({}) == []


def test_a_forecast_without_a_past_is_refused():
    with pytest.raises(InputError, match="at least one day"):
        forecast({}, MONDAY, MONDAY, MONDAY, 0)


def test_runs_reserve_before_they_spend():
    """A counter that is raised only when a run ends lets the second run start and passes the budget."""
    budget = Reservations(100)
    assert budget.reserve("one", 60, spent_micro=0)
    assert not budget.reserve("two", 60, spent_micro=0)
    assert budget.reserve("one", 90, spent_micro=10)
    assert not budget.reserve("one", 91, spent_micro=10)
    assert budget.held == {"one": 90}
    budget.settle("one")
    budget.settle("one")
    assert budget.reserve("two", 60, spent_micro=40)
    with pytest.raises(InputError, match="not negative"):
        budget.reserve("three", -1, 0)


@given(st.integers(0, 10**15), st.integers(1, 800), st.lists(st.integers(1, 799), max_size=5))
def test_parts_of_a_commitment_sum_to_the_whole(amount, days, cuts):
    first = date(2028, 2, 20)  # a leap year
    year = Commitment("gpus", amount, first, first + timedelta(days - 1))
    edges = sorted({0, days, *(c for c in cuts if c < days)})
    parts = [amortised(year, first + timedelta(a), first + timedelta(b - 1)) for a, b in pairwise(edges)]
    assert sum(parts) == amount
    assert sum(micro for _, _, micro in by_month([year])) == amount
    assert amortised(year, first - timedelta(9), first - timedelta(1)) == 0


def test_a_commitment_that_ends_before_it_begins_is_refused():
    with pytest.raises(InputError, match="before it begins"):
        Commitment("x", 1, date(2027, 2, 2), date(2027, 2, 1))


def test_carbon_takes_the_hour_of_the_place():
    """Half an hour before midnight UTC is half an hour after it one hour east."""
    grid = [100.0] + [500.0] * 23
    at = np.array([23 * US_PER_HOUR + US_PER_HOUR // 2])
    one_kwh = np.array([3_600_000_000_000])
    assert carbon_ug(at, one_kwh, grid, 1.0, 0.0)[0] == pytest.approx(500e6)
    assert carbon_ug(at, one_kwh, grid, 1.0, 1.0)[0] == pytest.approx(100e6)
    assert carbon_ug(at, one_kwh, grid, 1.5, 1.0)[0] == pytest.approx(150e6)
    with pytest.raises(InputError, match="24 values"):
        carbon_ug(at, one_kwh, [1.0], 1.0, 0.0)
