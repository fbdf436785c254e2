"""Changes of a factory that may help, chosen by what limits it: hardware, degrees, limits, caches, precision, load."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tokenworks import catalog
from tokenworks.errors import InputError
from tokenworks.events.results import RunResult, ServiceResult
from tokenworks.rehearsal.plant import Plant, free_gpus
from tokenworks.spec.factory import Factory, Service

FULL = 0.85  # share of the sustainable rate that leaves a margin for bursts
CLOSE = 0.9  # of an objective: no room for more load
LESS = 0.7  # of the load, where an objective is missed
LOWER = ("fp8", "nvfp4", "mxfp4")  # precisions to try, in falling order of bits


Fields = tuple[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Change:
    """A factory to try, and by how much each service's load is changed."""

    label: str
    factory: Factory
    load: tuple[float, ...] = ()  # factors by service; none: as it is


def use(s: ServiceResult, horizon_s: float) -> float:
    """Share of the sustainable rate that is offered; 0 where the rate is not known."""
    return s.arrived / horizon_s / s.sustainable_requests_s if s.sustainable_requests_s else 0.0


def strain(s: ServiceResult, horizon_s: float) -> float:
    """How near a service is to its limits: 1 is a limit reached, of its rate or an objective."""
    pairs = ((s.ttft.p95_s, s.slo_ttft_s), (s.tpot.p95_s, s.slo_tpot_s))
    return max(
        [use(s, horizon_s), *(measured / objective for measured, objective in pairs if objective and measured > 0)]
    )


def changes(made: Plant, result: RunResult) -> Iterator[Change]:
    """For the most strained service, the likeliest first; those that the file cannot express are left out."""
    strains = [strain(s, result.horizon_s) for s in result.services]
    worst = strains.index(max(strains))
    if strains[worst] > 1:
        less = min(LESS, FULL / max(FULL, use(result.services[worst], result.horizon_s)))
        fields = list(_fields(made, result, worst))
        factors = tuple(less if i == worst else 1.0 for i in range(len(strains)))
        last = Change(f"{result.services[worst].name}: {1 - less:.0%} less load", made.factory, factors)
    else:
        fields = [*_fewer(made, result), *_fields(made, result, worst)]
        factors = tuple(_room(s, result.horizon_s) for s in result.services)
        more = " and ".join(s.name for s, factor in zip(result.services, factors, strict=True) if factor > 1)
        last = Change(f"load of {more} raised to {FULL:.0%} of sustainable", made.factory, factors)
    if any(factor != 1 for factor in last.load):
        yield last
    for label, change in fields:
        try:
            yield Change(label, made.factory.replace_all(change))
        except InputError:  # one GPU too many, a precision the chip does not have
            continue


def _room(s: ServiceResult, horizon_s: float) -> float:
    """By how much the load may be raised; not at all near an objective."""
    offered = s.arrived / horizon_s
    if not offered or strain(replace(s, sustainable_requests_s=0.0), horizon_s) > CLOSE:
        return 1.0
    return max(1.0, FULL * s.sustainable_requests_s / offered)


def _fewer(made: Plant, result: RunResult) -> Iterator[Fields]:
    """As few systems as keep the margin, where a service has systems of its own."""
    for i, (replicas, s) in enumerate(zip(made.replicas, result.services, strict=True)):
        system, service = replicas.system, replicas.service
        if service.prefill or system.count < 2 or [r.system.id for r in made.replicas].count(system.id) > 1:
            continue
        kept = math.ceil(system.count * use(s, result.horizon_s) / FULL)
        workers = kept * int(catalog.load("systems", system.system)["gpus"]) // service.gpus
        if 0 < kept < system.count and 0 < workers < made.replicas[i].count:
            at = {f"systems.{made.factory.systems.index(system)}.count": kept}
            yield (
                f"{kept} {system.system} instead of {system.count}",
                {**at, f"services.{service.name}.workers": workers},
            )


def _fields(made: Plant, result: RunResult, worst: int) -> Iterator[Fields]:
    service, found = made.factory.services[worst], result.services[worst]
    at = f"services.{service.name}"
    yield from _hardware(made, result, worst)
    if service.prefix_cache is not True and _shares_prefixes(made.factory, service):
        yield f"{service.name}: prefix cache on", {f"{at}.prefix_cache": True}
    if service.routing not in ("least-loaded", "session"):
        yield f"{service.name}: routing least-loaded", {f"{at}.routing": "least-loaded"}
    yield from _limits(made, found, worst)
    if service.kv_precision != "fp8":
        yield f"{service.name}: KV cache in fp8", {f"{at}.kv_precision": "fp8"}
    yield from _degrees(made.factory, service)
    for precision in _lower(service):
        yield f"{service.name}: weights in {precision} (check the answers)", {f"{at}.precision": precision}


def _shares_prefixes(factory: Factory, service: Service) -> bool:
    """Traces that carry hashes of their prompts' blocks."""
    return any(w.service == service.name and (w.trace or "").startswith("mooncake") for w in factory.workload)


def _lower(service: Service) -> list[str]:
    """Precisions of fewer bits."""
    bits = float(catalog.load("precisions", service.precision)["weight_bits"])
    return [p for p in LOWER if float(catalog.load("precisions", p)["weight_bits"]) < bits * 0.95]


def _hardware(made: Plant, result: RunResult, worst: int) -> Iterator[Fields]:
    """One more worker on free GPUs, from another service or another pool, or on one more system."""
    service, system = made.factory.services[worst], made.factory.system_of(made.factory.services[worst])
    at, free = f"services.{service.name}", free_gpus(made.replicas, system)
    if service.prefill and service.decode:
        yield from _pools(service, free)
        return
    count, each = made.replicas[worst].count, service.gpus
    if free >= each:
        yield f"{service.name}: +1 worker", {f"{at}.workers": count + 1}
        return
    yield from _from_others(made, result, worst)
    gpus = int(catalog.load("systems", system.system)["gpus"])
    needed = math.ceil(count * use(result.services[worst], result.horizon_s) / FULL) - count
    systems = max(1, math.ceil((needed * each - free) / gpus))
    more = (free + systems * gpus) // each
    wider = {f"systems.{made.factory.systems.index(system)}.count": system.count + systems}
    yield (
        f"+{systems} {system.system} ({more} more {service.name} worker{'s' * (more != 1)})",
        {**wider, f"{at}.workers": count + more},
    )


def _pools(service: Service, free: int) -> Iterator[Fields]:
    assert service.prefill
    assert service.decode
    pools = {"prefill": service.prefill, "decode": service.decode}
    for role, pool in pools.items():
        path = f"services.{service.name}.{role}.workers"
        if free >= pool.gpus:
            yield f"{service.name}: +1 {role} worker", {path: pool.workers + 1}
        other = "decode" if role == "prefill" else "prefill"
        gone = -(-max(0, pool.gpus - free) // pools[other].gpus)
        if 0 < gone < pools[other].workers:
            fewer = {f"services.{service.name}.{other}.workers": pools[other].workers - gone, path: pool.workers + 1}
            yield f"{service.name}: +1 {role} worker, −{gone} {other}", fewer


def _from_others(made: Plant, result: RunResult, worst: int) -> Iterator[Fields]:
    """One worker on the GPUs of a service of the same system that keeps a margin."""
    system = made.replicas[worst].system.id
    service, count = made.factory.services[worst], made.replicas[worst].count
    for other, replicas in enumerate(made.replicas):
        given, s = made.factory.services[other], result.services[other]
        if other == worst or replicas.system.id != system or given.prefill:
            continue
        gone = -(-service.gpus // given.gpus)
        left = s.sustainable_requests_s * (1 - gone / replicas.count)
        if gone < replicas.count and s.arrived / result.horizon_s < FULL * left:
            fields = {
                f"services.{given.name}.workers": replicas.count - gone,
                f"services.{service.name}.workers": count + 1,
            }
            yield f"{service.name}: +1 worker, {given.name}: −{gone}", fields


def _limits(made: Plant, found: ServiceResult, worst: int) -> Iterator[Fields]:
    """Twice or half the sequences and prompt tokens of a step, as the missed objective or the bottleneck wants."""
    service, model = made.factory.services[worst], made.model_of(worst)
    at = f"services.{service.name}" + (".decode" if service.decode else "")
    slow = 0 < found.slo_tpot_s < found.tpot.p95_s
    if slow:
        yield f"{service.name}: half the sequences a step", {f"{at}.max_seqs": max(1, model.max_seqs // 2)}
    elif found.mean_waiting > found.workers or found.saturated:
        yield f"{service.name}: twice the sequences a step", {f"{at}.max_seqs": model.max_seqs * 2}
    if service.decode is None:
        factor, said = (0.5, "half") if slow else (2.0, "twice")
        budget = max(256, int(model.token_budget * factor))
        yield f"{service.name}: {said} the token budget ({budget:,})", {f"{at}.token_budget": budget}


def _degrees(factory: Factory, service: Service) -> Iterator[Fields]:
    """Replicas of twice and half the tensor parallelism on the same GPUs."""
    if service.prefill or service.workers is None or service.dp > 1 or service.pp > 1:
        return
    at = f"services.{service.name}"
    for tp, workers in ((service.tp * 2, service.workers // 2), (service.tp // 2, service.workers * 2)):
        if tp >= 1 and workers >= 1 and tp * workers == service.tp * service.workers:
            ep = {f"{at}.ep": tp} if service.ep == service.tp > 1 else {}
            yield f"{service.name}: tp {tp}, {workers} workers", {f"{at}.tp": tp, f"{at}.workers": workers, **ep}
