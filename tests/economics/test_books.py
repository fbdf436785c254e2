"""Books of a factory file with facts of the catalogue: conservation, hand calculation."""

from dataclasses import replace

import numpy as np
import pytest

from tokenworks import spec
from tokenworks.economics.account import PhysicalRun, ServiceUse, account
from tokenworks.economics.capital import YEAR_S
from tokenworks.economics.facts import host_facts, site_facts, system_facts, tariff_facts
from tokenworks.spec.factory import Own, Rent, Site, System

FILE = """factory: f
site: {region: us-central}
systems: [{id: a, system: hgx-h100, count: 2}]
services: [{name: s, model: llama-3.1-8b, workers: 8, tp: 2}]
workload: [{service: s, arrivals: {kind: poisson, rate: 1}}]
"""


def run(board_w: float = 4000.0) -> PhysicalRun:
    use = ServiceUse("s", 16, 0.5, 0.25, 1e6, 0.0, 2e6, 100.0, 300.0, 1000.0)
    return PhysicalRun(3600.0, 36.0, np.full((1, 100), board_w), np.full(100, 0.5), 0.0, (use,), 16)


def test_energy_parts_add_up():
    books = account(run(), spec.loads(FILE))
    parts = {p.label: p.value for p in books.energy.parts}
    for parent, total in (
        ("facility", books.energy.facility_j),
        ("IT", books.energy.it_j),
        ("GPU boards", books.energy.board_j),
    ):
        children = sum(p.value for p in books.energy.parts if p.parent == parent)
        assert children == pytest.approx(total, rel=1e-12)
    assert books.energy.board_j == pytest.approx(4000 * 3600)
    assert parts["prefill"] == 100.0


def test_it_power_by_hand():
    """Two servers: 1,000 W idle + half of 1,200 W, 560 W NICs, 1,800 W switches; fans 15%, supplies 95%."""
    facts = host_facts([("hgx-h100", 2)])
    watts = facts.it_w(np.array([4000.0]), np.array([0.5]))[0]
    assert watts == pytest.approx((4000 + 1000 + 600 + 560 + 1800) * 1.15 / 0.95)


def test_money_adds_up_and_is_shared():
    books = account(run(), spec.loads(FILE))
    assert sum(p.value for p in books.money.parts) == pytest.approx(books.money.total_usd, rel=1e-12)
    assert sum(books.money.by_service_usd) == pytest.approx(books.money.total_usd, rel=1e-12)
    assert books.money.usd_per_mtok_output == pytest.approx(books.money.total_usd / 2)
    assert books.money.tokens_per_usd * books.money.total_usd == pytest.approx(2e6)


def test_owning_by_hand():
    """$260,000 a server, 10% residual over four years, two servers."""
    facts = system_facts(System(id="a", system="hgx-h100", count=2, own=Own()), tariff_facts(Site()))
    assert facts.costs_usd(YEAR_S)["depreciation"] == pytest.approx(2 * 260_000 * 0.9 / 4)
    assert facts.gpus == 16


def test_renting_by_hand():
    rented = System(id="a", system="hgx-h100", count=2, rent=Rent(price="$2.50/GPU-h"))
    assert system_facts(rented, tariff_facts(Site())).costs_usd(3600.0) == {"rent": pytest.approx(2.5 * 16)}


def test_pue_rises_with_heat_and_idleness_and_never_falls_below_losses():
    """Typical liquid cooling: 1.15 at full load and 15 °C, 0.004 a degree, 0.12 more towards no load."""
    for celsius, share, pue in ((15, 1.0, 1.15), (15, 1e-9, 1.27), (35, 1.0, 1.23), (-60, 1.0, 1 / 0.955)):
        facts = replace(site_facts(Site(), 1e6), temperature_c=celsius)
        assert facts.pue(np.array([share * 1e6]))[0] == pytest.approx(pue)
    assert site_facts(Site(pue=1.4), 1e6).pue(np.array([1e5]))[0] == pytest.approx(1.4)
