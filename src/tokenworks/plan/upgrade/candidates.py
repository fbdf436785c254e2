"""Systems of newer generations in the catalogue."""

from __future__ import annotations

from tokenworks import catalog
from tokenworks.catalog import Entry
from tokenworks.errors import InputError
from tokenworks.spec.factory import Factory


def accelerator_of(system: str) -> Entry:
    return catalog.load("accelerators", str(catalog.load("systems", system)["accelerator"]))


def newer(factory: Factory) -> list[str]:
    """One system for each accelerator of every later generation: made by a vendor of the factory's accelerators, of a
    generation that began later than that vendor's there, and with no less memory bandwidth per GPU (a newer workstation board
    is no upgrade). Of several systems with one accelerator the smallest, then the cheapest. The oldest first, projections last.

    Raises InputError where the catalogue has none.
    """
    present = [accelerator_of(s.system) for s in factory.systems]
    begun, latest = _begun(), dict[str, str]()
    for a in present:
        vendor = str(a["vendor"])
        latest[vendor] = max(latest.get(vendor, ""), begun[_generation(a)])
    widest = max(float(a["memory_bandwidth_gb_s"]) for a in present)
    best: dict[str, tuple[float, float, str]] = {}
    for name in catalog.ids("systems"):
        entry, chip = catalog.load("systems", name), accelerator_of(name)
        fits = str(chip["vendor"]) in latest and begun[_generation(chip)] > latest[str(chip["vendor"])]
        if fits and float(chip["memory_bandwidth_gb_s"]) >= widest and "price_usd" in entry:
            key = float(entry["gpus"]), float(entry["price_usd"]), name
            best[chip.id] = min(best.get(chip.id, key), key)
    if not best:
        raise InputError(
            f"the catalogue has no newer generation of {' or '.join(sorted(latest))} than "
            f"{', '.join(sorted(a.id for a in present))}; name systems with --to"
        )
    return sorted((name for _, _, name in best.values()), key=lambda n: (projected(n), _date(accelerator_of(n)), n))


def projected(system: str) -> bool:
    """Whether facts of it or of its accelerator are projections: it is announced, not sold."""
    entries = catalog.load("systems", system), accelerator_of(system)
    return any(fact.status == "projection" for entry in entries for fact in entry.facts.values())


def _generation(chip: Entry) -> tuple[str, str]:
    return str(chip["vendor"]), str(chip["generation"])


def _begun() -> dict[tuple[str, str], str]:
    """The date of the first accelerator of each generation."""
    found: dict[tuple[str, str], str] = {}
    for name in catalog.ids("accelerators"):
        chip = catalog.load("accelerators", name)
        found[_generation(chip)] = min(found.get(_generation(chip), _date(chip)), _date(chip))
    return found


def _date(chip: Entry) -> str:
    """When its data sheet came out."""
    return chip.fact("vendor").date
