"""Which servers and racks a demand may use, and on what terms."""

from __future__ import annotations

from dataclasses import dataclass

from tokenworks import catalog
from tokenworks.catalog import Entry
from tokenworks.physics.pools import domain_gpus
from tokenworks.plan.allowed import ENGINES, Allowed
from tokenworks.plan.demand import AskedService, Demand
from tokenworks.spec.site import Hall
from tokenworks.spec.site_checks import cools, rack_limit_w, rack_w

SURE = ("measured", "published", "claim")  # what is not yet announced must be asked for by name
MOST_GPUS = 72  # of one scale-up domain that is sold today; larger systems are many servers: asked for by name


@dataclass(frozen=True)
class Kind:
    """A system on terms of payment."""

    system: str
    pay: str  # "own" or "rent"
    have: int  # of them there already (own)
    hall: str | None  # where it stands

    @property
    def entry(self) -> Entry:
        return catalog.load("systems", self.system)

    @property
    def gpus(self) -> int:
        return int(self.entry["gpus"])

    @property
    def domain_gpus(self) -> int:
        """GPUs of one scale-up domain."""
        return domain_gpus(str(self.entry["accelerator"]), self.gpus)

    @property
    def said(self) -> str:
        return f"{self.system}, rented" if self.pay == "rent" else self.system


def chosen_systems(demand: Demand) -> tuple[str, ...]:
    """Catalogue ids in the order of the file; those that are there already first."""
    use = demand.may_use
    asked = use.systems or _offered(demand)
    found = dict.fromkeys([e.system for e in demand.existing])
    for name in asked:
        chip = catalog.load("accelerators", catalog.load("systems", name)["accelerator"])
        if use.accelerators and chip.id not in {catalog.load("accelerators", a).id for a in use.accelerators}:
            continue
        if use.vendors and str(chip["vendor"]) not in use.vendors:
            continue
        found[catalog.load("systems", name).id] = None
    return tuple(found)


def _offered(demand: Demand) -> tuple[str, ...]:
    """Systems of the catalogue that one can buy; of several with the same chip and size the cheapest."""
    best: dict[tuple[str, int], tuple[float, str]] = {}
    for name in catalog.ids("systems"):
        entry = catalog.load("systems", name)
        chip = catalog.load("accelerators", entry["accelerator"])
        if any(f.status not in SURE for f in (entry.fact("accelerator"), chip.fact("memory_gb"))):
            continue
        if entry.get("price_usd") is None or int(entry["gpus"]) > MOST_GPUS:
            continue
        key = (chip.id, int(entry["gpus"]))
        best[key] = min(best.get(key, (float("inf"), "")), (float(entry["price_usd"]), name))
    return tuple(sorted(name for _, name in best.values()))


def kinds(demand: Demand) -> tuple[tuple[Kind, ...], dict[str, str]]:
    """Systems on every allowed term, and why others are left out."""
    found, out = list[Kind](), dict[str, str]()
    for name in chosen_systems(demand):
        hall = hall_for(demand, name)
        if hall is None:
            out[name] = "no hall of the site can cool or feed its rack"
            continue
        have = demand.have(name)
        for pay in dict.fromkeys((*demand.may_use.pay, *(("own",) if have else ()))):
            entry = catalog.load("systems", name)
            if pay == "rent" and demand.may_use.rent.usd_gpu_h is None and not _rented(str(entry["accelerator"])):
                out[f"{name}, rented"] = f"the catalogue has no rent for {entry['accelerator']}"
            elif pay == "own" and entry.get("price_usd") is None and demand.may_use.own.price_usd is None:
                out[name] = "the catalogue has no price for it"
            else:
                found.append(Kind(name, pay, have if pay == "own" else 0, hall.id or None))
    return tuple(found), out


def _rented(accelerator: str) -> bool:
    return accelerator in catalog.ids("prices") and catalog.load("prices", accelerator).get("usd_gpu_h") is not None


def hall_for(demand: Demand, system: str) -> Hall | None:
    """The first hall that takes a system's rack."""
    site, entry = demand.planned_site, catalog.load("systems", system)
    halls = site.halls or (site.hall_of(None),)
    for hall in halls:
        if hall is None:
            continue
        limit = rack_limit_w(hall)
        if cools(hall, entry) and (not limit or rack_w(entry) <= limit):
            return hall
    return None


def allowed(demand: Demand, service: AskedService, systems: tuple[str, ...]) -> Allowed:
    """The search space of one service."""
    most, serving = demand.may_use.most, demand.may_use.serving
    roles = {"aggregated": ("serve",), "disaggregated": ("prefill", "decode")}.get(
        serving, ("serve", "prefill", "decode")
    )
    return Allowed(
        systems,
        service.engines or ENGINES,
        service.precisions,
        service.kv_precisions or ("bf16", "fp8"),
        roles,
        tp=_powers(most.tp),
        pp=_powers(most.pp),
        dp=_powers(most.dp),
        ep=_powers(most.ep),
        most_gpus=most.gpus or 0,
        clocks=tuple(dict.fromkeys(demand.may_use.clocks)) or (1.0,),
    )


def _powers(most: int | None) -> tuple[int, ...]:
    """Powers of two up to a degree; none where it is open."""
    return tuple(1 << k for k in range(most.bit_length())) if most else ()
