"""Costs of fleets: equal to the books of a run at the same constant load; spares against scipy's binomial."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from tokenworks.economics.account import PhysicalRun, ServiceUse, books
from tokenworks.economics.facts import facts_of
from tokenworks.plan.cost import Between, between, changed, fleet, prices, system_entry
from tokenworks.plan.demand import Demand
from tokenworks.plan.reading import loads
from tokenworks.plan.spares import at_least, spares
from tokenworks.plan.systems import Kind
from tokenworks.spec.factory import Factory, Run

TEXT = """demand: priced
site: {{region: {region}, cooling: liquid{more}}}
services: [{{name: chat, model: llama-3.1-8b}}]
workload: [{{service: chat, arrivals: {{kind: poisson}}, rate: 1/s}}]
may_use: {{systems: [{system}], pay: [own, rent]}}
"""
HORIZON_S = 3600.0


def demand_of(system: str, region: str, more: str = "") -> Demand:
    return loads(TEXT.format(system=system, region=region, more=more))


def books_of(demand: Demand, kind: Kind, count: int, board_w: float, activity: float, joins: Between | None = None):
    """The books of an hour at this load, of the factory file that the plan would write."""
    entry = system_entry(demand, kind, count, "a", joins)
    factory = Factory.model_construct(
        name="x", site=demand.planned_site, systems=(entry,), services=(), workload=(),
        run=Run.model_validate({"horizon": "1 h"}),
    )  # fmt: skip
    gpus = count * kind.gpus
    use = ServiceUse("chat", gpus, activity, 0.5, 1.0, 0.0, 1e6, 1.0, 1.0, 1.0, "a")
    run = PhysicalRun(HORIZON_S, 15.0, np.full((1, 240), board_w), np.full(240, activity), 0.0, (use,), gpus)
    return books(run, facts_of(factory))


def part(truth, cause: str) -> float:
    return sum(p.value for p in truth.money.parts if p.label == cause)


@settings(max_examples=60)
@given(
    system=st.sampled_from(["hgx-h100", "hgx-b200", "mi355x-8", "gb200-nvl72", "dgx-h200"]),
    region=st.sampled_from(["us-texas", "eu-central", "gulf"]),
    path=st.booleans(),
    pay=st.sampled_from(["own", "rent"]),
    have=st.integers(0, 4),
    count=st.integers(1, 60),
    load=st.floats(0.1, 1.0),
    activity=st.floats(0.0, 1.0),
    crossed=st.sampled_from([None, False, True]),
)
def test_a_fleet_costs_what_the_books_of_a_run_say(system, region, path, pay, have, count, load, activity, crossed):
    more = ", path: [{name: UPS, efficiency: 95%, redundancy: 2N}], temperature: 30 C" if path else ""
    demand = demand_of(system, region, more)
    kind = Kind(system, pay, have if pay == "own" else 0, None)
    board_w = load * count * kind.gpus * 600.0
    of, systems = prices(demand, kind), np.array([float(count)])
    joins = None if crossed is None else between(of, systems, np.array([crossed]))
    said = fleet(of, systems, np.array([board_w]), np.array([activity]), joins)
    truth = books_of(demand, kind, count, board_w, activity, joins)
    assert said.network_usd_s[0] * HORIZON_S == pytest.approx(part(truth, "network"), rel=1e-9, abs=1e-12)
    assert said.space_usd_s[0] * HORIZON_S == pytest.approx(part(truth, "space and cooling plant"), rel=1e-9)
    assert said.usd_s[0] * HORIZON_S == pytest.approx(truth.money.total_usd, rel=1e-9)
    assert said.facility_w[0] == pytest.approx(truth.mean_w["facility"], rel=1e-9)
    assert said.it_w[0] == pytest.approx(truth.mean_w["it"], rel=1e-9)
    assert said.carbon_g_s[0] * HORIZON_S / 1e3 == pytest.approx(truth.carbon_kg, rel=1e-9)


def test_what_is_there_is_not_paid_for_again():
    demand = demand_of("hgx-h100", "us-texas")
    of = prices(demand, Kind("hgx-h100", "own", 3, None))
    found = fleet(of, np.array([2.0, 5.0]), np.array([1e4, 1e4]), np.array([0.5, 0.5]))
    price = float(of.kind.entry["price_usd"])
    assert found.capex_usd.tolist() == [0.0, 2 * price]
    assert found.hardware_usd_s[0] == 0.0
    assert found.space_usd_s[0] > 0.0


def test_prices_move_their_own_part_alone():
    demand = demand_of("hgx-h100", "us-texas")
    of = prices(demand, Kind("hgx-h100", "own", 0, None))
    column = lambda p: fleet(p, np.array([4.0]), np.array([2e4]), np.array([0.7]))  # noqa: E731
    base, energy, hardware = column(of), column(changed(of, energy=1.5)), column(changed(of, hardware=2.0))
    assert energy.energy_usd_s[0] == pytest.approx(1.5 * base.energy_usd_s[0])
    assert energy.hardware_usd_s[0] == base.hardware_usd_s[0]
    assert hardware.hardware_usd_s[0] == pytest.approx(2 * base.hardware_usd_s[0])
    assert hardware.energy_usd_s[0] == base.energy_usd_s[0]


@settings(max_examples=60)
@given(needed=st.integers(1, 3000), more=st.integers(0, 40), up=st.floats(0.9, 0.9999))
def test_the_tail_is_the_binomial_one(needed, more, up):
    assert at_least(needed, needed + more, up) == pytest.approx(binom.sf(needed - 1, needed + more, up), abs=1e-9)


@pytest.mark.parametrize(("needed", "up", "share"), [(1, 0.99, 0.999), (20, 0.98, 0.999), (500, 0.985, 0.9999)])
def test_spares_are_the_fewest_that_do(needed, up, share):
    count = spares(needed, up, share)
    assert binom.sf(needed - 1, needed + count, up) >= share > binom.sf(needed - 1, needed + count - 1, up)
