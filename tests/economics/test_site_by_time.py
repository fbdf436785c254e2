"""Tables of PUE, hours of the tariff, halls, budgets by time and provisioned power, in the books."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_up import SITE, TARIFF, facts, physical

from tokenworks.economics.account import books
from tokenworks.economics.budget import tightest
from tokenworks.economics.facts import facts_of
from tokenworks.economics.pue import PueSurface
from tokenworks.economics.tariff import JOULES_PER_KWH
from tokenworks.spec import load

EXAMPLES = Path(__file__).parents[2] / "examples"
TABLE = PueSurface((0.5, 1.0), (10.0, 30.0), ((1.3, 1.1), (1.5, 1.3)))


def test_a_table_of_pue_holds_at_its_points_between_and_beyond_them():
    it = np.array([1000.0, 5000.0, 7500.0, 10_000.0])
    for degrees, expected in ((0.0, (1.3, 1.3, 1.2, 1.1)), (20.0, (1.4, 1.4, 1.3, 1.2)), (40.0, (1.5, 1.5, 1.4, 1.3))):
        site = replace(SITE, stated_pue=TABLE, temperature_c=degrees)
        assert site.pue(it) == pytest.approx(expected)


def test_a_stated_start_is_charged_its_own_hours():
    """Morning at 5 cents, afternoon at 15; without a start, the mean."""
    watts, kwh = np.full(36, 2000.0), 2000.0 * 3600 / JOULES_PER_KWH
    charged = [replace(TARIFF, start_s=at).energy_usd(watts, 100.0) for at in (None, 0.0, 11.5 * 3600, 23 * 3600.0)]
    assert charged == pytest.approx([kwh * 0.1, kwh * 0.05, kwh * 0.1, kwh * 0.15])
    assert replace(TARIFF, start_s=5.5 * 3600).carbon_kg(watts, 100.0) == pytest.approx(kwh * 0.4)


def test_the_file_states_prices_carbon_and_pue_by_hour_and_load():
    hours = [str(h / 100) for h in range(24)]
    factory = load(EXAMPLES / "laptop.yaml").replace_all(
        {
            "site.energy_price": hours,
            "site.carbon": 100,
            "site.pue": {"load": ["50%", "100%"], "temperature": [10, 30], "values": [[1.3, 1.1], [1.5, 1.3]]},
            "run.start": "13:00",
        }
    )
    found = facts_of(factory)
    assert found.tariff.energy_usd_kwh == tuple(h / 100 for h in range(24))
    assert (found.tariff.carbon_g_kwh, found.tariff.start_s) == ((100.0,) * 24, 13 * 3600.0)
    assert found.site.stated_pue == TABLE


def test_halls_cooled_in_different_ways_count_by_their_power():
    mixed = load(EXAMPLES / "mixed-fleet.yaml")
    by_kind = {kind: facts_of(mixed.replace("site.cooling", kind)).site for kind in ("air", "liquid")}
    halls = [{"id": "a", "cooling": "air"}, {"id": "l", "cooling": "liquid"}]
    found = facts_of(mixed.replace_all({"site.halls": halls, "systems.0.hall": "a", "systems.1.hall": "l"}))
    share = found.systems[0].nameplate_w / found.site.design_w
    for key in ("overhead_full", "water_l_kwh"):
        air, liquid = (getattr(by_kind[kind], key) for kind in ("air", "liquid"))
        assert getattr(found.site, key) == pytest.approx(share * air + (1 - share) * liquid)


def test_the_budget_in_force_reaches_the_books():
    rack = load(EXAMPLES / "nvl72.yaml")
    curtailed = rack.replace_all(
        {"site.curtailment": [{"from": "17:00", "to": "21:00", "budget": "150 kW"}], "run.start": "18:00"}
    )
    assert (facts_of(rack).budget_w, facts_of(curtailed).budget_w) == (200e3, 150e3)


@pytest.mark.parametrize("scope", ["board", "it", "facility"])
def test_provisioned_against_drawn_power(scope):
    made = books(
        physical(),
        replace(facts(), budget_scope=scope, budgets=((0.0, 15e3),), typical_percentile=90.0, boards_w=8000.0),
    )
    found = made.provision
    series = {"it": made.it_w, "facility": made.facility_w}.get(scope)
    if series is not None:
        assert found.drawn_w == pytest.approx(np.percentile(series, 90))
    nameplates = {"board": 8000.0, "it": 10_000.0, "facility": float(replace(SITE).facility_w(np.array([10_000.0]))[0])}
    assert found.nameplate_w == pytest.approx(nameplates[scope])
    assert found.oversubscription == pytest.approx(found.nameplate_w / found.drawn_w)
    assert found.fit_by_percentile / found.fit_by_nameplate == pytest.approx(found.oversubscription)
    assert made.stranded_w == pytest.approx(15_000.0 - found.drawn_w)


def test_without_a_budget_nothing_is_said_about_what_fits():
    found = books(physical(), replace(facts(), budgets=((0.0, 0.0),))).provision
    assert (found.budget_w, found.fit_by_nameplate, found.fit_by_percentile) == (0.0, 0.0, 0.0)


def test_the_budget_that_binds_most():
    """Power of the time in which a budget holds is held against it; means do not reach over the change."""
    watts = np.array([90.0, 90.0, 90.0, 60.0, 48.0, 48.0, 90.0])
    found = tightest(watts, 10.0, 20.0, 100.0, ((0.0, 100.0), (25.0, 50.0), (60.0, 0.0)))
    assert (found.budget_w, found.peak_w, found.typical_w) == (50.0, 54.0, 54.0)
    free = tightest(watts, 10.0, 20.0, 100.0, ((0.0, 0.0),))
    assert (free.budget_w, free.peak_w, free.use) == (0.0, 90.0, 0.0)
    assert tightest(watts, 10.0, 10.0, 100.0, ((0.0, 95.0), (41.0, 1e3))).budget_w == 95.0
