"""The books close: every cent and joule has one place; prices by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up import OWNED, RENTED, USE, facts, physical

from tokenworks.economics.account import ServiceUse, books
from tokenworks.economics.allocation import in_parts
from tokenworks.economics.capital import YEAR_S, annuity, straight_line_usd_s
from tokenworks.economics.tariff import MONTH_S
from tokenworks.events.results import Energy

uses = st.builds(
    ServiceUse,
    name=st.just("chat"),
    gpus=st.integers(1, 8),
    busy_share=st.floats(0.0, 1.0),
    prefill_share=st.floats(0.0, 0.9),
    input_tokens=st.floats(1e3, 1e9),
    cached_tokens=st.floats(0.0, 999.0),
    output_tokens=st.floats(1.0, 1e9),
    prefill_j=st.floats(0.0, 1e6),
    decode_j=st.floats(0.0, 1e6),
    static_j=st.floats(0.0, 1e6),
    system=st.just("rack"),
    reload_share=st.floats(0.0, 0.1),
)


@settings(derandomize=True, max_examples=100, deadline=None)
@given(uses, uses, st.floats(1.0, 1e7))
def test_every_dollar_is_allocated_once(a: ServiceUse, b: ServiceUse, horizon_s: float) -> None:
    run = physical(a, replace(b, name="code", gpus=8, system="cloud"), horizon_s=horizon_s)
    money = books(run, facts(OWNED, RENTED)).money
    total = money.total_usd
    assert math.fsum(p.value for p in money.parts) == pytest.approx(total, rel=1e-12)
    assert math.fsum(r.value for r in money.allocation) == pytest.approx(total, rel=1e-9)
    assert all(r.value >= -1e-9 * total for r in money.allocation)
    unused = next(r.value for r in money.allocation if r.label == "unused GPUs")
    assert math.fsum([*money.by_service_usd, unused]) == pytest.approx(total, rel=1e-9)


@settings(derandomize=True, max_examples=200, deadline=None)
@given(st.lists(st.floats(0.0, 1e6), min_size=1, max_size=20))
def test_cents_add_up(dollars: list[float]) -> None:
    cents = in_parts(dollars)
    assert sum(cents) == round(math.fsum(dollars) * 100)
    assert all(abs(c - 100 * d) <= 1 for c, d in zip(cents, dollars, strict=True))


def test_owned_costs_by_hand() -> None:
    money = books(physical(), facts()).money
    parts = {p.label: p.value for p in money.parts}
    hour = 3600.0
    lost = 400_000 * 0.9 / (4 * YEAR_S) * hour
    assert parts["depreciation"] == pytest.approx(lost)
    assert parts["maintenance"] == pytest.approx(400_000 * 0.03 / YEAR_S * hour)
    assert parts["space and cooling plant"] == pytest.approx(10 * 100 / MONTH_S * hour)
    assert parts["staff"] == pytest.approx(lost * 0.05)
    assert "rent" not in parts


def test_rented_gpus_pay_no_electricity() -> None:
    money = books(physical(replace(USE, gpus=16, system="cloud")), facts(RENTED)).money
    assert [(p.label, pytest.approx(p.value)) for p in money.parts] == [("rent", 16 * 2.0)]


def test_electricity_goes_to_owned_systems_by_nameplate() -> None:
    run = physical()
    alone, both = books(run, facts(OWNED)), books(run, facts(OWNED, RENTED))
    energy = {p.label: p.value for p in both.money.parts}["energy"]
    kwh = both.energy.facility_j / 3.6e6
    assert energy == pytest.approx(kwh * 0.10 / 3)  # 10 of 30 kW
    assert {p.label: p.value for p in alone.money.parts}["energy"] == pytest.approx(alone.energy.facility_j / 3.6e7)


def test_prices_by_hand() -> None:
    """6 of 8 GPUs, half busy, 40% of that prefill: 15% of all cost for 6 M computed input tokens."""
    money = books(physical(), facts()).money
    assert money.usd_per_mtok_input == pytest.approx(money.total_usd * 0.15 / 6)
    assert money.usd_per_mtok_decode == pytest.approx(money.total_usd * 0.225 / 2)
    assert money.usd_per_mtok_output == pytest.approx(money.total_usd / 2)
    assert money.usd_per_mtok_blended == pytest.approx(money.total_usd / 11)
    assert money.usd_per_mtok_cached == 0.0
    assert money.idle_usd == pytest.approx(money.total_usd * (0.75 * 0.5 + 0.25))
    assert money.tokens_per_usd == pytest.approx(2e6 / money.total_usd)


def test_cached_tokens_cost_their_reload() -> None:
    money = books(physical(replace(USE, reload_share=0.1)), facts()).money
    assert money.usd_per_mtok_cached == pytest.approx(money.total_usd * 0.75 * 0.05 / 3)


def test_nothing_made_has_no_finite_price() -> None:
    idle = replace(USE, busy_share=0.0, input_tokens=0.0, cached_tokens=0.0, output_tokens=0.0)
    money = books(physical(idle), facts()).money
    assert math.isinf(money.usd_per_mtok_output)
    assert money.idle_usd == pytest.approx(money.total_usd)


def children(energy: Energy, parent: str) -> float:
    return math.fsum(p.value for p in energy.parts if p.parent == parent)


def test_joules_close_at_every_scope() -> None:
    found = books(physical(), facts())
    energy = found.energy
    assert children(energy, "facility") == pytest.approx(energy.facility_j)
    assert children(energy, "IT") == pytest.approx(energy.it_j)
    assert children(energy, "GPU boards") == pytest.approx(energy.board_j)
    assert energy.board_j == pytest.approx((5000 + 100) * 3600)
    assert found.facility_w.sum() * 60 == pytest.approx(energy.facility_j)
    assert found.pue == pytest.approx(energy.facility_j / energy.it_j)
    assert all(part.value >= 0 for part in energy.parts)


def test_stranded_power_is_the_budget_above_the_planned_percentile() -> None:
    found = books(physical(), facts())
    assert found.stranded_w == pytest.approx(12_000 - np.percentile(found.facility_w, 99))
    assert found.billed_peak_w <= found.peak_w["facility"]


def test_a_spike_of_one_short_bucket_is_no_peak() -> None:
    run = physical(horizon_s=60.0, buckets=240)
    spiky = np.full((1, 240), 1000.0)
    spiky[0, 100] = 41_000.0  # 40 kW for a quarter of a second
    found = books(replace(run, board_w=spiky), replace(facts(), peak_interval_s=10.0))
    assert found.peak_w["board"] == pytest.approx(100 + 1000 + 40_000 / 40)
    assert found.energy.board_j == pytest.approx(100 * 60 + 1000 * 60 + 10_000)


def test_water_and_carbon() -> None:
    found = books(physical(), facts())
    assert found.water_l == pytest.approx((0.5 * found.energy.it_j + found.energy.facility_j) / 3.6e6)
    assert found.carbon_kg == pytest.approx(found.energy.facility_j / 3.6e6 * 0.45)


@settings(derandomize=True, max_examples=100, deadline=None)
@given(st.floats(1, 1e7), st.floats(0.001, 0.5), st.integers(1, 30))
def test_annuity_repays_the_price(price: float, rate: float, years: int) -> None:
    owed = price
    for _ in range(years):
        owed = owed * (1 + rate) - annuity(price, rate, years)
    assert owed == pytest.approx(0.0, abs=1e-6 * price * (1 + rate) ** years)


def test_straight_line_reaches_the_residual() -> None:
    assert 1000 - straight_line_usd_s(1000, 0.2, YEAR_S) * YEAR_S == pytest.approx(200)
