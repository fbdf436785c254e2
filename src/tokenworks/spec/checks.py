"""What a factory file must satisfy beyond its types: names in the catalogue, GPUs, parallelism, racks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tokenworks import catalog
from tokenworks.catalog import UnknownEntryError
from tokenworks.spec.agents import RECORDED
from tokenworks.spec.factory import Factory, Pool, Service, System
from tokenworks.spec.fleet import fleet_findings
from tokenworks.spec.scaling import scaling_findings
from tokenworks.spec.serving import serving_findings
from tokenworks.spec.site_checks import Finding, power, rack

COHERENT = ("Grace", "Vera")  # CPUs whose memory GPUs reach over a link of their own


def check(factory: Factory) -> list[Finding]:
    """Every problem as (place, message)."""
    return [
        *_names(factory),
        *_systems(factory),
        *_services(factory),
        *_gpu_count(factory),
        *_workloads(factory),
        *serving_findings(factory),
        *scaling_findings(factory),
        *fleet_findings(factory),
    ]


def _names(factory: Factory) -> Iterator[Finding]:
    for kind, items, key in (("systems", factory.systems, "id"), ("services", factory.services, "name")):
        seen: set[str] = set()
        for i, item in enumerate(items):
            name = getattr(item, key)
            if name in seen:
                yield (kind, i, key), f"{name!r} stands twice"
            seen.add(name)


def _lookup(kind: str, wanted: str, place: tuple[Any, ...]) -> Iterator[Finding]:
    try:
        catalog.load(kind, wanted)
    except UnknownEntryError as error:
        near = f" Did you mean {', '.join(error.nearest)}?" if error.nearest else ""
        yield place, f'no {kind.removesuffix("s")} "{wanted}".{near}'


def names_in(data: Mapping[str, Any]) -> Iterator[Finding]:
    """Unknown names of the catalogue in a file that is wrong elsewhere too, so that all is said at once."""
    site = data.get("site")
    region = site.get("region") if isinstance(site, dict) else None
    if isinstance(region, str):
        yield from _lookup("tariffs", region, ("site", "region"))
    wanted = {"systems": {"system": "systems"}, "services": {k: f"{k}s" for k in ("model", "engine", "precision")}}
    for part, kinds in wanted.items():
        items = data.get(part)
        for i, item in enumerate(items if isinstance(items, list) else []):
            for key, kind in kinds.items():
                name = item.get(key) if isinstance(item, dict) else None
                if isinstance(name, str):
                    yield from _lookup(kind, name, (part, i, key))


def known(kind: str, wanted: str) -> bool:
    return not list(_lookup(kind, wanted, ()))


def _systems(factory: Factory) -> Iterator[Finding]:
    yield from _lookup("tariffs", factory.site.region, ("site", "region"))
    yield from power(factory)
    for i, system in enumerate(factory.systems):
        place = ("systems", i, "system")
        missing = list(_lookup("systems", system.system, place))
        yield from missing
        if not missing:
            yield from rack(factory.site, system, i)


def _services(factory: Factory) -> Iterator[Finding]:
    names = [s.id for s in factory.systems]
    for i, service in enumerate(factory.services):
        place: tuple[Any, ...] = ("services", i)
        findings = [
            *_lookup("models", service.model, (*place, "model")),
            *_lookup("engines", service.engine, (*place, "engine")),
            *_lookup("precisions", service.precision, (*place, "precision")),
        ]
        if service.on is None and len(names) > 1:
            findings.append(((*place, "on"), f"there are {len(names)} systems: say which ({', '.join(names)})"))
        elif service.on is not None and service.on not in names:
            findings.append(((*place, "on"), f"no system {service.on!r}; known are {', '.join(names)}"))
        yield from findings
        if not findings and known("systems", factory.system_of(service).system):
            yield from _fits(factory, service, place)


def _fits(factory: Factory, service: Service, place: tuple[Any, ...]) -> Iterator[Finding]:
    entry = catalog.load("systems", factory.system_of(service).system)
    accelerator = catalog.load("accelerators", entry["accelerator"])
    paths = catalog.load("precisions", service.precision)["paths"]
    if not any(f"peak_{p}_tflops" in accelerator or f"peak_{p}_tops" in accelerator for p in paths):
        yield (
            (*place, "precision"),
            f"{accelerator.id} cannot compute in {service.precision} (needs {' or '.join(paths)})",
        )
    for i, tier in enumerate(service.kv_tiers):
        if tier.name == "grace" and entry["cpu_kind"] not in COHERENT:
            said = f"{entry.id} has no Grace CPUs but {entry['cpu_kind']} ones: call their memory host"
            yield (*place, "kv_tiers", i, "name"), said
    pools = {"prefill": service.prefill, "decode": service.decode} if service.prefill else {"": None}
    for name, pool in pools.items():
        yield from _degrees(service, pool, (*place, name) if name else place, int(entry["gpus"]))


def _degrees(service: Service, pool: Pool | None, place: tuple[Any, ...], gpus: int) -> Iterator[Finding]:
    model = catalog.load("models", service.model)
    part: Any = pool or service
    size = part.tp * part.pp * part.dp
    heads, experts = int(model["heads"]), int(model["experts"])
    if heads % part.tp:
        yield (
            (*place, "tp"),
            f"{service.model} has {heads} attention heads, which tp = {part.tp} does not divide",
        )
    if part.ep > 1 and not experts:
        yield (*place, "ep"), f"{service.model} has no experts to distribute"
    elif part.ep > part.tp * part.dp:
        yield (
            (*place, "ep"),
            (
                f"{part.ep} expert-parallel ranks need {part.ep} GPUs; one worker has {part.tp * part.dp} (tp × dp_attention)"
            ),
        )
    else:
        yield from _experts(service.model, experts, part, place)
    if (part.micro_batches or 1) > part.pp:
        yield (*place, "micro_batches"), f"at most one a stage is worth having; pp is {part.pp}"
    if service.overlap != "none" and size == 1:
        yield (*place, "tp"), f"{service.overlap} overlap hides communication between GPUs; one worker has one"
    if part.pp > int(model["layers"]):
        yield (*place, "pp"), f"{service.model} has {model['layers']} layers, fewer than pp = {part.pp}"
    if size > gpus:
        yield (*place, "tp"), f"one worker needs {size} GPUs (tp × pp × dp_attention); the system has {gpus}"


def _experts(model: str, experts: int, part: Any, place: tuple[Any, ...]) -> Iterator[Finding]:
    copies, most = part.redundant_experts, experts * (part.ep - 1)
    if copies and part.ep == 1:
        yield (*place, "redundant_experts"), "copies of experts need expert parallelism; ep is 1"
    elif copies > most:
        message = (
            f"with {most} copies each of {part.ep} ranks holds all {experts} experts of {model}; {copies} are more"
        )
        yield (*place, "redundant_experts"), message
    elif copies and (experts + copies) % part.ep:
        nearest = max(copies + part.ep // 2 - (experts + copies + part.ep // 2) % part.ep, -experts % part.ep)
        message = f"{experts} experts and {copies} copies cannot be cut into ep = {part.ep}; {nearest} copies can"
        yield (*place, "redundant_experts"), message
    elif part.ep > 1 and (experts + copies) % part.ep:
        yield (*place, "ep"), f"{model} has {experts} experts, which ep = {part.ep} does not divide"


def gpus_of(factory: Factory, system: System) -> int:
    return system.count * int(catalog.load("systems", system.system)["gpus"])


def fixed_gpus(service: Service) -> int:
    """GPUs that a service names itself; 0 for one that takes what is left."""
    if service.prefill and service.decode:
        return service.prefill.workers * service.prefill.gpus + service.decode.workers * service.decode.gpus
    return (service.workers or 0) * service.gpus


def _gpu_count(factory: Factory) -> Iterator[Finding]:
    for system in factory.systems:
        if not known("systems", system.system):
            continue
        here = [(i, s) for i, s in enumerate(factory.services) if s.on in (system.id, None)]
        have, taken = gpus_of(factory, system), sum(fixed_gpus(s) for _, s in here)
        open_ended = [(i, s) for i, s in here if not fixed_gpus(s)]
        if taken > have:
            names = ", ".join(f"{s.name} {fixed_gpus(s)}" for _, s in here)
            yield (
                ("services", here[-1][0]),
                f"services need {taken} GPUs of {system.id} ({names}); it has {have}",
            )
        elif len(open_ended) > 1:
            yield (
                ("services", open_ended[1][0], "workers"),
                "only one service of a system may leave its workers open",
            )
        elif open_ended and have - taken < open_ended[0][1].gpus:
            yield ("services", open_ended[0][0], "workers"), f"no GPUs of {system.id} are left for it"


def _workloads(factory: Factory) -> Iterator[Finding]:
    names = [s.name for s in factory.services]
    for i, load in enumerate(factory.workload):
        if load.service not in names:
            yield ("workload", i, "service"), f"no service {load.service!r}; known are {', '.join(names)}"
        if load.sub_agents is not None and load.sub_agents not in names:
            yield ("workload", i, "sub_agents"), f"no service {load.sub_agents!r}; known are {', '.join(names)}"
        if load.agents not in (None, RECORDED):
            yield from _lookup("agents", str(load.agents), ("workload", i, "agents"))
    loaded = {name for load in factory.workload for name in (load.service, load.sub_agents)}
    for i, name in enumerate(names):
        if name not in loaded:
            yield ("services", i, "name"), f"{name!r} has no workload"
