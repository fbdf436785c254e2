"""From a roadmap and the wide pass to the numbers of the programme: what a unit of every way to serve carries, takes and
draws, what a system costs with the network that joins it to others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tokenworks import catalog
from tokenworks.economics.capital import YEAR_S
from tokenworks.plan.cost import Between, Prices, fleet
from tokenworks.plan.fleet.file import MONTHS_A_YEAR, Roadmap
from tokenworks.plan.fleet.joining import NOTHING, Joint, joined_ways
from tokenworks.plan.fleet.problem import Array, Kind, Offer, Problem
from tokenworks.plan.fleet.ways import Way, configuration, ways_of
from tokenworks.plan.limits import lowest_budget_w
from tokenworks.plan.market import Market
from tokenworks.plan.table import table


def units_of(market: Market) -> Market:
    """The market with tables of single units in place of fleets at the demand's rate."""
    tables = tuple(table(s, None, market.demand.headroom, k) for s, k in zip(market.spaces, market.slower, strict=True))
    return replace(market, tables=tables)


def problem_of(
    roadmap: Roadmap, market: Market, derate: dict[tuple[int, int], float]
) -> tuple[Problem, tuple[Way, ...]]:
    """The programme of a roadmap; ``market`` holds tables of units. ``derate``: by (service, row), the share of a unit's rate
    that its rehearsal confirmed (1 where it was not rehearsed)."""
    demands = [demand_s(roadmap, s.asked.service.name, s.asked.rate_s) for s in market.spaces]
    found = tuple(way for s in range(len(market.spaces)) for way in ways_of(market, s))
    ways, joints = joined_ways(market, found, [float(d.max()) for d in demands])
    kinds = tuple(_kind(roadmap, of, joints.get(k, NOTHING)) for k, of in enumerate(market.prices))
    offers = tuple(_offer(market, way, derate.get((way.service, way.row), 1.0)) for way in ways)
    first = market.prices[0]
    periods = roadmap.periods
    made = Problem(
        kinds,
        offers,
        tuple(s.asked.service.name for s in market.spaces),
        np.array(demands),
        YEAR_S * roadmap.months / MONTHS_A_YEAR,
        np.full(periods, first.usd_per_j + first.usd_per_w_s),
        (1 + roadmap.discount) ** -np.array([roadmap.years(t) for t in range(periods + 1)]),
        _series(roadmap.power_w, lowest_budget_w(market.demand), periods),
        _series(roadmap.budget_usd, 0.0, periods),
        roadmap.move_usd,
    )
    return made, ways


def demand_s(roadmap: Roadmap, service: str, rate_s: float) -> Array:
    """(T,) requests per second, at the middle of every period where a rate of growth is given."""
    given = roadmap.growth.get(service, 0.0)
    if isinstance(given, tuple):
        return rate_s * np.array(given)
    middles = np.array([roadmap.years(t + 0.5) for t in range(roadmap.periods)])
    return np.asarray(rate_s * (1 + given) ** middles)


def _series(given: float | tuple[float, ...] | None, otherwise: float, periods: int) -> Array:
    """(T,) of a value for all time or one a period; 0 is no limit."""
    value = otherwise if given is None else given
    found = np.array(value) if isinstance(value, tuple) else np.full(periods, float(value))
    return np.where(found > 0, found, np.inf)


def _kind(roadmap: Roadmap, of: Prices, joint: Joint) -> Kind:
    terms = roadmap.systems.get(of.kind.system)
    years = np.array([roadmap.years(t) for t in range(roadmap.periods)])
    change = (1 + (terms.price_change if terms else 0.0)) ** years
    period_s = YEAR_S * roadmap.months / MONTHS_A_YEAR
    begun = _first(roadmap, of)
    name, gpus = of.kind.said, of.kind.gpus
    causes = of.facts.costs_usd(period_s)
    if not of.facts.owned:
        return Kind(
            name,
            False,
            gpus,
            np.zeros(len(years)),
            causes["rent"] * change,
            0.0,
            begun,
            roadmap.rent_term,
            np.zeros(roadmap.rent_term + 1),
        )
    price = of.facts.price_usd if terms is None or terms.price_usd is None else terms.price_usd
    joined = of.facts.kept_usd(joint.usd, period_s)
    yearly = of.facts.maintenance_share_year * price / YEAR_S * period_s
    space = causes["space and cooling plant"] * (1 + joint.watts / of.facts.nameplate_w)
    care = causes["staff"] + space + joined["staff"] + joined["maintenance"]
    life = max(1, round(roadmap.life_s / period_s))
    ages = np.minimum(1.0, np.arange(life + 1) * period_s / of.facts.life_s)
    value = roadmap.resale * (1 - (1 - of.facts.residual_share) * ages)
    value[0] = 1.0  # not yet delivered
    have = ((0, of.kind.have),) if of.kind.have else ()
    keep = yearly * change + care
    bought = price * change + joint.usd
    return Kind(name, True, gpus, bought, keep, _watts(of, 0.0, joint), begun, life, value, have)


def _first(roadmap: Roadmap, of: Prices) -> int:
    """The first period at whose start it can be delivered."""
    terms = roadmap.systems.get(of.kind.system)
    since = terms.since if terms else None
    if since is None:
        year = catalog.load("accelerators", of.kind.entry["accelerator"]).get("available")
        since = None if year is None else int(year) * MONTHS_A_YEAR
    wait = roadmap.lead if of.facts.owned else 0
    late = 0 if since is None else max(0, -(-(since - roadmap.first_month) // roadmap.months))
    return min(roadmap.periods, max(late, wait))


def _watts(of: Prices, extra_board_w: float, joint: Joint = NOTHING) -> float:
    """At the meter, of one system with idle boards and ``extra_board_w`` more on them and its part of a network; rented: none
    of the site's."""
    if not of.facts.owned:
        return 0.0
    idle = of.idle_w * of.kind.gpus
    busy = np.array([min(1.0, extra_board_w > 0)])
    joins = Between(np.array([joint.usd]), np.array([joint.watts]))
    return float(fleet(of, np.array([1.0]), np.array([idle + extra_board_w]), busy, joins).facility_w[0])


def _offer(market: Market, way: Way, derate: float) -> Offer:
    """Watts of a unit are what a system full of it draws above an idle one, divided by its units."""
    t, of = market.tables[way.service], market.prices[way.kind]
    units = 1.0 / float(t.share[way.row])
    above = max(0.0, float(t.board_w[way.row] - of.idle_w * t.gpus[way.row])) * units
    extra = (_watts(of, above) - _watts(of, 0.0)) / units
    name = configuration(market, way)
    return Offer(way.kind, way.service, name, float(t.rate_s[way.row]) * derate, float(t.share[way.row]), extra)
