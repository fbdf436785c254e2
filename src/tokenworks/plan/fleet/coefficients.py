"""From a roadmap and the wide pass to the numbers of the programme: what a unit of every way to serve carries, takes and draws.

A *unit* is one worker, or the prefill and decode workers that go together. Of the configurations of a service on a kind of
system that keep its objectives, those enter that no other beats in both systems and watts per request: where power is
short another one is best than where systems are dear.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tokenworks import catalog
from tokenworks.economics.capital import YEAR_S
from tokenworks.physics.deployment import Deployment
from tokenworks.plan.candidates import NONE, Ints, Table
from tokenworks.plan.cost import Prices, fleet
from tokenworks.plan.fleet.file import MONTHS_A_YEAR, Roadmap
from tokenworks.plan.fleet.problem import Array, Kind, Offer, Problem
from tokenworks.plan.fronts import pareto
from tokenworks.plan.limits import all_kept, lowest_budget_w, service_needs
from tokenworks.plan.market import Market
from tokenworks.plan.table import table

WAYS = 4  # of one service on one kind of system, the cheapest in systems first


@dataclass(frozen=True)
class Way:
    """What an offer stands for: a row of the service's table of units."""

    service: int
    kind: int
    row: int
    tokens_s: float  # output, of one unit at its planned rate


def units_of(market: Market) -> Market:
    """The market with tables of single units in place of fleets at the demand's rate."""
    tables = tuple(table(s, None, market.demand.headroom, k) for s, k in zip(market.spaces, market.slower, strict=True))
    return replace(market, tables=tables)


def problem_of(
    roadmap: Roadmap, market: Market, derate: dict[tuple[int, int], float]
) -> tuple[Problem, tuple[Way, ...]]:
    """The programme of a roadmap; ``market`` holds tables of units. ``derate``: by (service, row), the share of a unit's rate
    that its rehearsal confirmed (1 where it was not rehearsed)."""
    kinds = tuple(_kind(roadmap, of) for of in market.prices)
    ways = tuple(way for s in range(len(market.spaces)) for way in _ways(market, s))
    offers = tuple(_offer(market, way, derate.get((way.service, way.row), 1.0)) for way in ways)
    first = market.prices[0]
    periods = roadmap.periods
    made = Problem(
        kinds,
        offers,
        tuple(s.asked.service.name for s in market.spaces),
        np.array([demand_s(roadmap, s.asked.service.name, s.asked.rate_s) for s in market.spaces]),
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


def _kind(roadmap: Roadmap, of: Prices) -> Kind:
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
    yearly = of.facts.maintenance_share_year * price / YEAR_S * period_s
    care = causes["staff"] + causes["space and cooling plant"]
    life = max(1, round(roadmap.life_s / period_s))
    ages = np.minimum(1.0, np.arange(life + 1) * period_s / of.facts.life_s)
    value = roadmap.resale * (1 - (1 - of.facts.residual_share) * ages)
    value[0] = 1.0  # not yet delivered
    have = ((0, of.kind.have),) if of.kind.have else ()
    keep = yearly * change + care
    return Kind(name, True, gpus, price * change, keep, _watts(of, 0.0), begun, life, value, have)


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


def _watts(of: Prices, extra_board_w: float) -> float:
    """At the meter, of one system with idle boards and ``extra_board_w`` more on them; rented: none of the site's."""
    if not of.facts.owned:
        return 0.0
    idle = of.idle_w * of.kind.gpus
    busy = np.array([min(1.0, extra_board_w > 0)])
    return float(fleet(of, np.array([1.0]), np.array([idle + extra_board_w]), busy).facility_w[0])


def _ways(market: Market, service: int) -> list[Way]:
    """Rows that keep the objectives and that no other beats, by kind."""
    t, asked = market.tables[service], market.spaces[service].asked
    kept = all_kept(service_needs(asked, t, market.tails[service]), len(t)) & (t.rate_s > 0)
    found: list[Way] = []
    for number in range(len(market.prices)):
        rows = np.flatnonzero(kept & (t.kind == number))
        if len(rows):
            found += [Way(service, number, int(r), float(t.rate_s[r] * asked.output_tokens)) for r in _best(t, rows)]
    return found


def _best(t: Table, rows: Ints) -> Ints:
    share, watts = t.share[rows] / t.rate_s[rows], t.board_w[rows] / t.rate_s[rows]
    front = rows[pareto(np.stack([share, watts], axis=1))]
    if len(front) <= WAYS:
        return front
    return np.asarray(front[np.unique(np.linspace(0, len(front) - 1, WAYS).round().astype(int))])


def _offer(market: Market, way: Way, derate: float) -> Offer:
    """Watts of a unit are what a system full of it draws above an idle one, divided by its units."""
    t, of = market.tables[way.service], market.prices[way.kind]
    units = 1.0 / float(t.share[way.row])
    above = max(0.0, float(t.board_w[way.row] - of.idle_w * t.gpus[way.row])) * units
    extra = (_watts(of, above) - _watts(of, 0.0)) / units
    name = configuration(market, way)
    return Offer(way.kind, way.service, name, float(t.rate_s[way.row]) * derate, float(t.share[way.row]), extra)


def configuration(market: Market, way: Way) -> str:
    """Degrees, format and batch of a unit, for people."""
    t, space = market.tables[way.service], market.spaces[way.service]
    main, prefill = int(t.main[way.row]), int(t.prefill[way.row])
    said = _said(space.shapes[space.wide.shape[main]].deployment, int(space.wide.batch[main]))
    if prefill == NONE:
        return said
    before = _said(space.shapes[space.wide.shape[prefill]].deployment, int(space.wide.batch[prefill]))
    return f"{int(t.prefill_workers[way.row])} × prefill {before} + {int(t.workers[way.row])} × decode {said}"


def _said(d: Deployment, batch: int) -> str:
    degrees = " ".join(f"{n}{getattr(d, n)}" for n in ("tp", "pp", "dp", "ep") if getattr(d, n) > 1) or "tp1"
    clock = f" clock {d.clock:.0%}" if d.clock < 1 else ""
    return f"{d.engine} {d.weights} {degrees}{clock} batch {batch}"
