"""What the site allows: racks by cooling and limit, power budgets that are lower where they curtail."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tokenworks import catalog
from tokenworks.catalog import Entry
from tokenworks.spec.factory import Factory, System
from tokenworks.spec.site import Hall, Site

Finding = tuple[tuple[Any, ...], str]


def rack(site: Site, system: System, number: int) -> Iterator[Finding]:
    """Problems of a system in its hall."""
    hall, names = site.hall_of(system.hall), ", ".join(h.id for h in site.halls)
    if hall is None:
        said = f"no hall {system.hall!r}" if system.hall else f"there are {len(site.halls)} halls: say which"
        yield ("systems", number, "hall"), f"{said}; known are {names}" if names else f"{said}; the site names no halls"
        return
    entry = catalog.load("systems", system.system)
    place, where = ("systems", number, "system"), f"hall {hall.id!r}" if hall.id else "this site"
    drawn, limit = rack_w(entry), rack_limit_w(hall)
    if not cools(hall, entry):
        kind = "liquid" if hall.cooling == "air" else "air"
        head = (
            f"{system.system} draws {_kw(drawn)} a rack and needs {kind} cooling; {where} is cooled by {hall.cooling}"
        )
        yield place, f"{head}{_at_most(limit)}{_fitting(hall)}"
    elif limit and drawn > limit:
        yield place, f"{system.system} draws {_kw(drawn)}; a rack of {where} may draw {_kw(limit)}{_fitting(hall)}"


def rack_w(entry: Entry) -> float:
    """Watts of one full rack of a system; of one server where several share a rack and fewer would do."""
    return float(entry["system_max_w"]) / max(1.0, float(entry["racks"]))


def rack_limit_w(hall: Hall) -> float:
    """Most watts of a rack; 0: no limit but what is built."""
    stated: float = hall.rack_limit_w
    if stated or hall.cooling == "liquid":
        return stated
    return float(catalog.load("sites", "default")["air_rack_limit_w"])


def cools(hall: Hall, entry: Entry) -> bool:
    """Air reaches every hall; liquid must be there."""
    return hall.cooling == "liquid" or str(entry["cooling"]) != "liquid"


def _fitting(hall: Hall) -> str:
    """The three most powerful systems that this hall takes."""
    limit = rack_limit_w(hall)
    entries = [catalog.load("systems", name) for name in catalog.ids("systems")]
    fit = [e for e in entries if cools(hall, e) and (not limit or rack_w(e) <= limit)]
    best = sorted(fit, key=lambda e: (-rack_w(e), e.id))[:3]
    return f". What would fit: {', '.join(f'{e.id} ({_kw(rack_w(e))})' for e in best)}" if best else ". Nothing fits"


def _at_most(limit: float) -> str:
    return f", at most {_kw(limit)} a rack" if limit else ""


def _kw(watts: float) -> str:
    return f"{watts / 1e3:.3g} kW"


def power(factory: Factory) -> Iterator[Finding]:
    """Curtailments must lower the budget."""
    site = factory.site
    for i, window in enumerate(site.curtailment):
        if site.power.budget_w and window.budget_w >= site.power.budget_w:
            yield (
                ("site", "curtailment", i, "budget"),
                f"{_kw(window.budget_w)} is not below the budget of {_kw(site.power.budget_w)} that it curtails",
            )
