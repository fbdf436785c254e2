"""A factory with its systems exchanged for newer ones: same services, demand as asked, what the site must change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tokenworks import catalog
from tokenworks.catalog import UnknownEntryError
from tokenworks.spec.checks import fixed_gpus, gpus_of
from tokenworks.spec.demand import COUNTED, Scale, Workload, scale_text
from tokenworks.spec.factory import Factory, Network, Own, Rent, Service, System
from tokenworks.spec.loading import as_dict
from tokenworks.spec.site_checks import cools, rack_limit_w, rack_w

OWNED = "no rental price in the catalogue: owned"
LAYOUTS = (1, 2, 4, 8)  # by what tensor-parallel degrees are divided


def exchanged(
    factory: Factory, new: str, counts: Sequence[int], layout: Sequence[int], scales: Sequence[Scale | None]
) -> tuple[Factory, tuple[str, ...]]:
    """The factory on newer systems, and notes on what else had to change. ``layout``: what the tensor-parallel degrees of
    each service are divided by; ``scales``: of each workload, None leaves it. A service keeps its share of the GPUs of its
    system. Power budgets and curtailments are left out: they were made for what stands there today.

    Raises InputError where it cannot be built.
    """
    systems = tuple(paid(s, new, count) for s, count in zip(factory.systems, counts, strict=True))
    site, notes = _site(factory, new)
    data = as_dict(factory)
    grown = {s.id: gpus_of(factory, n) / gpus_of(factory, s) for s, n in zip(factory.systems, systems, strict=True)}
    services = [_service(s, by, grown[factory.system_of(s).id]) for s, by in zip(factory.services, layout, strict=True)]
    loads = [_load(given, scale) for given, scale in zip(data["workload"], scales, strict=True)]
    dumped = [s.model_dump(mode="json", by_alias=True, exclude_defaults=True) for s in systems]
    made = factory.replace_all({"site": site, "systems": dumped, "services": services, "workload": loads})
    if any(s.rent and n.own for s, n in zip(factory.systems, systems, strict=True)):
        notes = (*notes, OWNED)
    return made, notes


def paid(system: System, new: str, count: int) -> System:
    """So many of a newer system, paid for as today: bought at the catalogue's price with the same life, residual and
    maintenance, or rented at the catalogue's price; bought where it has no rental price. A stated network stays as large
    per GPU."""
    common = {"system": new, "count": count, "network": _network(system, new)}
    if system.rent and _rented(new):
        return system.model_copy(update={**common, "rent": Rent()})  # type: ignore[call-arg]
    own = system.own.model_copy(update={"price_usd": None}) if system.own else Own()  # type: ignore[call-arg]
    return system.model_copy(update={**common, "own": own, "rent": None})


def _network(system: System, new: str) -> Network | None:
    if system.network is None:
        return None
    grown = catalog.load("systems", new)["gpus"] / catalog.load("systems", system.system)["gpus"]
    of = system.network
    return of.model_copy(update={"price_usd": of.price_usd * grown, "watts": of.watts * grown})


def _rented(new: str) -> bool:
    try:
        catalog.load("prices", str(catalog.load("systems", new)["accelerator"]))
    except UnknownEntryError:
        return False
    return True


def _site(factory: Factory, new: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The site without budgets, with the cooling and racks that the new systems need."""
    site: dict[str, Any] = as_dict(factory).get("site", {})
    site = {key: value for key, value in site.items() if key != "curtailment"}
    if "power" in site:
        site["power"] = {key: value for key, value in site["power"].items() if key != "budget"}
    entry, notes = catalog.load("systems", new), dict[str, None]()
    used = {s.hall for s in factory.systems}
    halls = [dict(hall) for hall in site.get("halls", ())]
    places = [hall for hall in halls if hall["id"] in used or len(halls) == 1] if halls else [site]
    for place in places:
        hall = factory.site.hall_of(place.get("id"))
        assert hall is not None
        if not cools(hall, entry):
            place["cooling"] = "liquid"
            notes["needs liquid cooling"] = None
        limit = rack_limit_w(hall)
        if limit and rack_w(entry) > limit:
            place.pop("rack_limit", None)
            place["cooling"] = "liquid"  # air has a limit of its own
            notes[f"needs racks of {rack_w(entry) / 1e3:,.3g} kW"] = None
    return ({**site, "halls": halls} if halls else site), tuple(notes)


def _service(service: Service, layout: int, grown: float) -> dict[str, Any]:
    data: dict[str, Any] = service.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    if service.prefill and service.decode:
        for name, pool in (("prefill", service.prefill), ("decode", service.decode)):
            data[name] = {**data[name], **_narrow(pool, layout)}
            size = pool.gpus * _tp(pool, layout) / pool.tp
            data[name]["workers"] = max(1, int(pool.workers * pool.gpus * grown / size + 1e-9))
        return data
    data |= _narrow(service, layout)
    if service.workers:
        size = service.gpus * _tp(service, layout) / service.tp
        data["workers"] = max(1, int(fixed_gpus(service) * grown / size + 1e-9))
    return data


def _tp(part: Any, layout: int) -> int:
    return part.tp // layout if part.tp % layout == 0 else int(part.tp)


def _narrow(part: Any, layout: int) -> Mapping[str, int]:
    """The tensor-parallel degree divided, where it can be; expert parallelism over all GPUs stays over all."""
    tp = _tp(part, layout)
    whole = part.ep > 1 and part.ep == part.tp * part.dp
    ep = tp * part.dp if whole else min(part.ep, tp * part.dp)
    return {"tp": tp, "ep": ep}


def layouts(service: Service) -> list[int]:
    """Divisors that change something, the present degrees first."""
    parts = (service.prefill, service.decode) if service.prefill else (service,)
    found, seen = list[int](), set[tuple[int, ...]]()
    for layout in LAYOUTS:
        degrees = tuple(_tp(part, layout) for part in parts)
        if degrees not in seen:
            seen.add(degrees)
            found.append(layout)
    return found


def scalable(load: Workload) -> bool:
    """Whether its rate can be set. Agents' runs and counted requests stay as they are."""
    return load.agents is None and not (load.arrivals and load.arrivals.kind in COUNTED)


def _load(given: dict[str, Any], scale: Scale | None) -> dict[str, Any]:
    return given if scale is None else {**given, "scale": scale_text(scale)}
