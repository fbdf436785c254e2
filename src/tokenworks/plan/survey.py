"""The wide pass of a whole demand: every service's configurations and what they are priced with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tokenworks import catalog
from tokenworks.errors import InputError
from tokenworks.physics.site import read_site
from tokenworks.plan.candidates import Space
from tokenworks.plan.choose import search
from tokenworks.plan.cost import prices
from tokenworks.plan.demand import AskedService, Demand
from tokenworks.plan.limits import Tails
from tokenworks.plan.market import Market, worth
from tokenworks.plan.robust import WAYS, pessimistic
from tokenworks.plan.sample import asked_of
from tokenworks.plan.shapes import Shape, survey
from tokenworks.plan.systems import Kind, allowed, kinds
from tokenworks.plan.wide import wide

Say = Callable[[str], None]


def market_of(demand: Demand, robust: bool, say: Say = lambda _: None) -> tuple[Market, tuple[str, ...]]:
    """The market, and notes on what was left out. Raises InputError where nothing can serve a model."""
    market, notes = bare_market(demand, say)
    return _cautious(replace(market, robust=True), say) if robust else market.laid(), notes


def bare_market(demand: Demand, say: Say = lambda _: None) -> tuple[Market, tuple[str, ...]]:
    """The market without tables and margins, and notes on what was left out. Raises InputError where nothing can serve a
    model."""
    found, out = kinds(demand)
    if not found:
        raise InputError(f"{demand.name}: no system can be used: {_said(out)}")
    spaces = []
    for number, service in enumerate(demand.services):
        say(f"wide pass, {number} of {len(demand.services)} services")
        spaces.append(space_of(demand, service, found))
    count = len(spaces)
    market = Market(
        demand,
        tuple(spaces),
        tuple(prices(demand, kind) for kind in found),
        (Tails(),) * count,
        (1.0,) * count,
    )
    return market, tuple(f"{name} is left out: {reason}" for name, reason in out.items())


def _cautious(market: Market, say: Say) -> Market:
    """The market under the way of sharing the margins that makes the best plan; under the first where none makes one."""
    best: tuple[float, Market] | None = None
    for way in range(len(WAYS)):
        say(f"robust, {way} of {len(WAYS)} ways of sharing the margins")
        laid = slowed(market, way)
        found = search(laid)
        value = float(worth(market.demand, found.picks.columns)[0, 0]) if found.feasible else float("inf")
        if best is None or value < best[0]:
            best = value, laid
    assert best is not None
    return best[1]


def slowed(market: Market, way: int) -> Market:
    """A market without margins, laid out with those of one way of sharing them."""
    spaces = tuple(pessimistic(space, way, market.demand.headroom) for space in market.spaces)
    return replace(market, spaces=spaces, way=way).laid()


def space_of(demand: Demand, service: AskedService, found: tuple[Kind, ...]) -> Space:
    """The wide pass of one service. Raises InputError where no replica of any kind can serve its requests."""
    asked = asked_of(demand, service)
    systems = tuple(dict.fromkeys(kind.system for kind in found))
    seen = survey(service.model, asked.ask, allowed(demand, service, systems))
    if not seen.shapes:
        reasons = "; ".join(f"{why} ({n:,})" for why, n in sorted(seen.left_out.items(), key=lambda p: -p[1])[:4])
        raise InputError(
            f"{service.name}: nothing that may be used can serve {service.model}: "
            f"{reasons or 'no engine, format or degree is left'}"
        )
    idle = {kind.system: float(catalog.load("accelerators", kind.entry["accelerator"])["idle_w"]) for kind in found}
    shapes = measured_here(demand, seen.shapes)
    return Space(asked, shapes, wide(shapes, asked.ask), found, dict(seen.left_out), idle)


def measured_here(demand: Demand, shapes: tuple[Shape, ...]) -> tuple[Shape, ...]:
    """Shapes with what the demand's site calibration knows of each, as `physics.fleet` gives it to a run. Raises InputError
    where that cannot be used."""
    if demand.calibration is None:
        return shapes
    site = read_site(Path(demand.calibration))
    return tuple(replace(s, deployment=replace(s.deployment, site=site.of(s.deployment))) for s in shapes)


def _said(out: dict[str, str]) -> str:
    return "; ".join(f"{name}: {reason}" for name, reason in out.items()) or "none is left"
