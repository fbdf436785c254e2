"""What to say of a demand that nothing satisfies: contradictions as a minimal set, the nearest ways out with their prices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tokenworks.plan.choose import Search
from tokenworks.plan.describe import text_of
from tokenworks.plan.limits import all_kept, service_needs
from tokenworks.plan.market import Market, Picks, columns, needs_of
from tokenworks.plan.relax import Way, conflict, impossible, ways_out
from tokenworks.plan.result import Relaxation


def relaxations(market: Market, found: Search) -> tuple[tuple[Relaxation, ...], tuple[str, ...], bool]:
    """Ways out, the cheapest first, and the names of limits that nothing keeps, each by itself; else of a minimal set that
    exclude each other.

    A service that alone has no configuration is looked at alone, under the shared limits; else the fleets that keep every
    latency objective are, which the shared limits exclude.
    """
    said, clash, alone = list[Relaxation](), list[str](), False
    broken = [i for i in range(len(market.tables)) if not _able(market, i)]
    places = [(one, _everything(one)) for one in (_alone(market, i) for i in broken)] or [(market, found.picks)]
    for part, looked in places:
        needs = needs_of(part, looked)
        price = looked.columns["usd_h"]
        said += [_said(part, looked, way) for way in ways_out(needs, price)]
        by_themselves = impossible(needs)
        alone = alone or bool(by_themselves)
        clash += [need.name for need in by_themselves or conflict(needs, len(price))]
    return tuple(said), tuple(dict.fromkeys(clash)), alone


def _able(market: Market, service: int) -> bool:
    needs = service_needs(market.spaces[service].asked, market.tables[service], market.tails[service])
    return bool(all_kept(needs, len(market.tables[service])).any())


def _alone(market: Market, service: int) -> Market:
    one = slice(service, service + 1)
    return replace(
        market, spaces=market.spaces[one], tables=market.tables[one], tails=market.tails[one], slower=market.slower[one]
    )


def _everything(market: Market) -> Picks:
    """All configurations of a market with one service."""
    rows = np.arange(len(market.tables[0]))[:, None]
    return Picks(rows, columns(market, market.tables, rows))


def _said(market: Market, picks: Picks, way: Way) -> Relaxation:
    return Relaxation(
        tuple((need.name, need.unit, need.limit, value) for need, value in way.moved),
        float(picks.columns["usd_h"][way.row]),
        float(picks.columns["usd_per_mtok"][way.row]),
        text_of(market, picks, way.row),
    )
