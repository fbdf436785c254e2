"""What joins the systems of a roadmap (`plan.network`): dollars and watts of one system's part.

Networks grow with the number of systems in steps, the programme knows one price of a system. It is that of as many as carry
the largest demand of all services on this kind alone, divided by them.

Ways that hand something from system to system need a scale-out network, and then all systems of the kind are on it. A kind
is taken with that network or without it, whichever carries the demand at the lower price of systems; what needs it is left
out where there is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tokenworks.plan.cost import Prices, between
from tokenworks.plan.fleet.ways import Way
from tokenworks.plan.market import Market, crossing


@dataclass(frozen=True)
class Joint:
    """The part of a network that one system has."""

    usd: float
    watts: float


NOTHING = Joint(0.0, 0.0)


def joined_ways(
    market: Market, ways: Sequence[Way], peak_s: Sequence[float]
) -> tuple[tuple[Way, ...], dict[int, Joint]]:
    """The ways that are offered, and by kind the network of one system. ``peak_s``: by service, the most requests per second
    of any period."""
    kept: list[Way] = []
    joints: dict[int, Joint] = {}
    for kind in sorted({way.kind for way in ways}):
        mine = [way for way in ways if way.kind == kind]
        chosen, joints[kind] = _of_kind(market, market.prices[kind], mine, peak_s)
        kept += chosen
    return tuple(sorted(kept, key=ways.index)), joints


def _of_kind(market: Market, of: Prices, ways: list[Way], peak_s: Sequence[float]) -> tuple[list[Way], Joint]:
    within = [way for way in ways if not _crosses(market, of, way, _systems(market, [way], peak_s))]
    with_it = _joint(of, _systems(market, ways, peak_s), len(within) < len(ways))
    if len(within) == len(ways) or _services(within) < _services(ways):
        return ways, with_it
    without = _joint(of, _systems(market, within, peak_s), False)
    cheaper = _usd(market, of, within, peak_s, without) <= _usd(market, of, ways, peak_s, with_it)
    return (within, without) if cheaper else (ways, with_it)


def _services(ways: Sequence[Way]) -> set[int]:
    return {way.service for way in ways}


def _systems(market: Market, ways: Sequence[Way], peak_s: Sequence[float]) -> float:
    """As many as carry the largest demand of these services, each by the way that takes the fewest."""
    least: dict[int, float] = {}
    for way in ways:
        t = market.tables[way.service]
        share = float(t.share[way.row] / t.rate_s[way.row]) * peak_s[way.service]
        least[way.service] = min(share, least.get(way.service, np.inf))
    return float(np.ceil(sum(least.values()) - 1e-9))


def _crosses(market: Market, of: Prices, way: Way, systems: float) -> bool:
    return bool(crossing(of, market.tables[way.service].take(np.array([way.row])), np.array([systems]))[0])


def _joint(of: Prices, systems: float, crossed: bool) -> Joint:
    """Of one system. Systems that are there have theirs: what is bought is spread over the new ones."""
    whole = between(of, np.array([systems]), np.array([crossed]))
    new = max(1.0, systems - of.kind.have)
    return Joint(float(whole.bought_usd[0]) / new, float(whole.watts[0]) / max(1.0, systems))


def _usd(market: Market, of: Prices, ways: Sequence[Way], peak_s: Sequence[float], joint: Joint) -> float:
    """Of the systems that these ways need, by what is paid for them at the start."""
    return _systems(market, ways, peak_s) * (of.facts.price_usd * of.facts.owned + joint.usd)
