"""The wide pass of a whole demand: every service's configurations and what they are priced with."""

from __future__ import annotations

from collections.abc import Callable

from tokenworks import catalog
from tokenworks.errors import InputError
from tokenworks.plan.candidates import Space
from tokenworks.plan.cost import prices
from tokenworks.plan.demand import AskedService, Demand
from tokenworks.plan.limits import Tails
from tokenworks.plan.market import Market
from tokenworks.plan.robust import pessimistic
from tokenworks.plan.sample import asked_of
from tokenworks.plan.shapes import survey
from tokenworks.plan.systems import Kind, allowed, kinds
from tokenworks.plan.wide import wide

Say = Callable[[str], None]


def market_of(demand: Demand, robust: bool, say: Say = lambda _: None) -> tuple[Market, tuple[str, ...]]:
    """The market, and notes on what was left out. Raises InputError where nothing can serve a model."""
    found, out = kinds(demand)
    if not found:
        raise InputError(f"{demand.name}: no system can be used: {_said(out)}")
    spaces = []
    for number, service in enumerate(demand.services):
        say(f"wide pass, {number} of {len(demand.services)} services")
        space = space_of(demand, service, found)
        spaces.append(pessimistic(space) if robust else space)
    count = len(spaces)
    market = Market(
        demand,
        tuple(spaces),
        tuple(prices(demand, kind) for kind in found),
        (Tails(),) * count,
        (1.0,) * count,
        robust,
    )
    notes = tuple(f"{name} is left out: {reason}" for name, reason in out.items())
    return market.laid(), notes


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
    return Space(asked, seen.shapes, wide(seen.shapes, asked.ask), found, dict(seen.left_out), idle)


def _said(out: dict[str, str]) -> str:
    return "; ".join(f"{name}: {reason}" for name, reason in out.items()) or "none is left"
