"""Time-of-use integral, demand charge, carbon by the hour."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up import TARIFF

from tokenworks.economics.tariff import DAY_S, HOUR_S, MONTH_S, bucket_means, day_integral

hourly_curves = st.lists(st.floats(0.0, 1.0), min_size=24, max_size=24)


def walked(hourly: list[float], start_s: int, end_s: int) -> float:
    """The integral the slow way: one second after the other."""
    return sum(hourly[(second // 3600) % 24] for second in range(start_s, end_s))


@settings(derandomize=True, max_examples=25, deadline=None)
@given(hourly_curves, st.integers(0, 90_000), st.integers(1, 30_000))
def test_integral_equals_brute_force(hourly: list[float], start_s: int, length_s: int) -> None:
    edges = day_integral(hourly, np.array([start_s, start_s + length_s], float))
    assert edges[1] - edges[0] == pytest.approx(walked(hourly, start_s, start_s + length_s), abs=1e-6)


@settings(derandomize=True, max_examples=50, deadline=None)
@given(hourly_curves, st.integers(1, 500))
def test_bucket_means_of_whole_days_average_to_the_days_mean(hourly: list[float], buckets: int) -> None:
    means = bucket_means(hourly, buckets, 2 * DAY_S / buckets)
    assert means.mean() == pytest.approx(np.mean(hourly), abs=1e-9)


def test_a_day_is_charged_by_the_hour() -> None:
    # 10 kW by night (0–12 h, $0.05), 20 kW by day ($0.15): 120 kWh · 0.05 + 240 kWh · 0.15 = $42.
    watts = np.repeat([10_000.0, 20_000.0], 48)
    assert TARIFF.energy_usd(watts, 900.0) == pytest.approx(42.0)
    # 60 kWh · 0.3 + 60 kWh · 0.5 + 240 kWh · 0.5 kg
    assert TARIFF.carbon_kg(watts, 900.0) == pytest.approx(18.0 + 30.0 + 120.0)


def test_buckets_that_straddle_an_hour_are_divided() -> None:
    watts = np.full(5, 1000.0)  # 5 buckets of 4.8 h: the third spans 9.6 h to 14.4 h
    assert TARIFF.energy_usd(watts, DAY_S / 5) == pytest.approx(12 * 0.05 + 12 * 0.15)


def test_part_of_a_day_pays_the_mean_price() -> None:
    assert TARIFF.energy_usd(np.full(4, 1000.0), 900.0) == pytest.approx(0.10)


def test_billed_peak_is_the_highest_quarter_of_an_hour() -> None:
    watts = np.array([1000.0] * 30 + [4000.0] * 3 + [1000.0] * 30)  # minutes; a 3-minute burst
    assert TARIFF.demand_w(watts, 60.0) == pytest.approx((12 * 1000 + 3 * 4000) / 15)
    assert TARIFF.demand_w(np.array([1000.0, 3000.0]), 60.0) == pytest.approx(2000.0)  # shorter than the interval


def test_demand_charge_is_the_horizons_share_of_a_month() -> None:
    assert TARIFF.demand_usd(5000.0, MONTH_S) == pytest.approx(50.0)
    assert TARIFF.demand_usd(5000.0, HOUR_S) == pytest.approx(50.0 * HOUR_S / MONTH_S)
