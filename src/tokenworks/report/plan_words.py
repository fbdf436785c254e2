"""Figures of plans in words, for the terminal and the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tokenworks.plan.result import Measured, Option, Plan, Refinement, Relaxation, Sensitivity, Systems
from tokenworks.report.figures import percent, seconds, short, unit, usd

OBJECTIVES = {
    "usd_per_mtok": "$/Mtok output",
    "tokens_per_joule": "tokens/J",
    "goodput": "output tokens/s",
    "capex": "capex",
    "carbon": "g CO2/Mtok",
}
CAUSES = {
    "hardware_usd_h": "hardware",
    "network_usd_h": "network",
    "rent_usd_h": "rent",
    "space_usd_h": "space and cooling plant",
    "energy_usd_h": "energy",
    "demand_usd_h": "demand charge",
}


def amount(value: float, name: str) -> str:
    """A value in the unit of a limit.

    >>> amount(0.42, "s"), amount(1.2e6, "$"), amount(25_900, "W"), amount(16, "GPUs"), amount(0.84, "share")
    ('420 ms', '$1.2 M', '25.9 kW', '16 GPUs', '84%')
    """
    if name == "s":
        return seconds(value)
    if name == "$":
        return f"${short(value)}"
    if name == "$/h":
        return f"{usd(value)}/h"
    if name == "W":
        return unit(value, "W")
    if name == "share":
        return percent(value)
    return f"{short(value)} {name}"


def objective(name: str, value: float | None) -> str:
    """A value of an objective."""
    if value is None:
        return "nothing is left"
    if name == "usd_per_mtok":
        return f"{usd(value)}/Mtok"
    if name == "capex":
        return f"${short(value)}"
    return f"{short(value)} {OBJECTIVES[name]}"


def counted(systems: Sequence[Systems]) -> str:
    """2 × mi355x-8 and 1 × gb200-nvl72, rented."""
    return " and ".join(f"{s.count:,} × {s.system}{', rented' if s.pay == 'rent' else ''}" for s in systems)


def verdict(plan: Plan) -> str:
    """The answer in a sentence."""
    if plan.best is None:
        return f"{plan.demand}: nothing that may be used keeps all limits."
    best = plan.best
    rate = sum(s.rate_s for s in best.setups)
    gpus = sum(s.gpus for s in best.systems)
    return (
        f"{plan.demand}: {counted(best.systems)} ({gpus:,} GPUs) for {short(rate)} req/s at "
        f"{objective(plan.objectives[0], best.figures[plan.objectives[0]])}."
    )


def spare_text(systems: Sequence[Systems]) -> str:
    """Spares and what is there already."""
    said = [f"{s.spares} of {s.count} {s.system} are spares" for s in systems if s.spares]
    said += [f"{s.have} {s.system} are there already" for s in systems if s.have]
    return "; ".join(said)


def figures_text(o: Option) -> str:
    f = o.figures
    capex = f"capex ${short(f['capex_usd'])}, " if f["capex_usd"] else ""
    return (
        f"{usd(f['usd_h'])}/h, {capex}{unit(f['facility_w'], 'W')} at the meter ({network_text(f)}), "
        f"{short(f['tokens_s'])} output tokens/s, {short(f['tokens_per_joule'])} tokens/J, {short(f['carbon'])} g CO2/Mtok"
    )


def network_text(figures: Mapping[str, float]) -> str:
    """The network's part of capex and of IT watts.

    >>> network_text({"network_usd": 90_480.0, "network_w": 1707.0}), network_text({"network_usd": 0.0, "network_w": 40.0})
    ('of it network: $90.5 k, 1.71 kW', 'of it network: 40 W')
    """
    capex = f"${short(figures['network_usd'])}, " if figures["network_usd"] else ""
    return f"of it network: {capex}{unit(figures['network_w'], 'W')}"


def limit_text(m: Measured) -> str:
    """Measured against its limit."""
    bounds = f" (80%: {amount(m.low, m.unit)}–{amount(m.high, m.unit)})" if m.high > m.low else ""
    held = f" of {amount(m.limit, m.unit)} {'✓' if m.held else '✗'}" if m.limit else ", no objective"
    return f"{amount(m.value, m.unit)}{bounds}{held}"


def dearer(plan: Plan, other: Option) -> str:
    """What choosing another fleet costs."""
    assert plan.best is not None
    name = plan.objectives[0]
    ratio = other.figures[name] / plan.best.figures[name] - 1 if plan.best.figures[name] else 0.0
    more = "more" if ratio >= 0 else "less"
    return f"{objective(name, other.figures[name])}, {abs(ratio):.0%} {more}"


def swing_text(plan: Plan, s: Sensitivity) -> str:
    """One bar of the tornado."""
    name = plan.objectives[0]
    other = [said for said, same in ((s.low_said, s.low_same), (s.high_said, s.high_same)) if not same]
    moved = f"; another layout at {' and '.join(other)}" if other else "; the same layout"
    return f"{objective(name, s.low)} at {s.low_said}, {objective(name, s.high)} at {s.high_said}{moved}"


def way_text(way: Relaxation) -> str:
    """TTFT p95 300 ms is infeasible; 420 ms costs $900/h."""
    price = f"{usd(way.usd_h)}/h ({usd(way.usd_per_mtok)}/Mtok)"
    if len(way.limits) == 1:
        name, kind, limit, value = way.limits[0]
        return f"{name} {amount(limit, kind)} is infeasible; {amount(value, kind)} costs {price}"
    parts = [
        f"{name} {amount(value, kind)} in place of {amount(limit, kind)}" for name, kind, limit, value in way.limits
    ]
    return f"{', '.join(parts)}: together they cost {price}"


def refined_text(plan: Plan, r: Refinement) -> str:
    """One setting that was tried, and what it gave."""
    name = plan.objectives[0]
    before = objective(name, r.before)
    if r.after is None:
        return f"{r.of}, {r.text}: not rehearsed, {r.said}"
    change = f"{r.after / r.before - 1:+.1%}".replace("-", "−") if r.before else ""
    return f"{r.of}, {r.text}: {before} → {objective(name, r.after)} ({change}), {'kept' if r.kept else r.said}"


def how(plan: Plan) -> str:
    """How it was found."""
    bound = f"within {plan.gap:.0%} of a bound" if plan.gap >= 0 else "without a bound"
    exact = "all looked at" if plan.exact else f"searched in turn, {bound}"
    counts = f"{plan.configurations:,} configurations of {plan.shapes:,} kinds of replicas ({exact})"
    return f"Found among {counts}; {len(plan.tried)} fleets rehearsed in the twin."


def clash_text(plan: Plan) -> str:
    """Which limits are to blame."""
    names = "; ".join(plan.conflict)
    return (
        f"Nothing keeps, whatever the other limits are: {names}."
        if plan.alone
        else f"These exclude each other: {names}."
    )
