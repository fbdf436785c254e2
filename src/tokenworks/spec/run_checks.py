"""Whether a run can be played: cells that have workers, no more workers and requests than a run holds."""

from __future__ import annotations

from collections.abc import Iterator

from tokenworks.spec.checks import fixed_gpus, gpus_of, known
from tokenworks.spec.demand import COUNTED, Workload
from tokenworks.spec.factory import Factory, Service
from tokenworks.spec.site_checks import Finding

MOST_WORKERS = 1_000_000
MOST_REQUESTS = 10**9  # a run of so many takes most of an hour
MOST_BEFORE = 10**7  # requests of conversations that are over when the run begins
LIVES_BEFORE = 8  # conversations begin so many mean lives before the run


def run_findings(factory: Factory) -> Iterator[Finding]:
    """Problems of the run as a whole, where every service has a system whose GPUs can be counted."""
    names = [s.id for s in factory.systems]
    placed = all(s.on in names or (s.on is None and len(names) == 1) for s in factory.services)
    if not placed or not all(known("systems", s.system) for s in factory.systems):
        return
    yield from _cells(factory)
    yield from _requests(factory)
    if sum(sum(pools_of(factory, s).values()) for s in factory.services) > MOST_WORKERS:
        yield ("services",), f"more than {MOST_WORKERS:,} workers: a run keeps each of them"


def pools_of(factory: Factory, service: Service) -> dict[str, int]:
    """Workers by pool; none where a service has no room, which is said elsewhere."""
    if service.prefill and service.decode:
        return {"prefill": service.prefill.workers, "decode": service.decode.workers}
    if service.workers:
        return {"workers": service.workers}
    system = factory.system_of(service)
    others = [s for s in factory.services if s is not service and s.on in (system.id, None)]
    free = gpus_of(factory, system) - sum(fixed_gpus(s) for s in others)
    return {"workers": max(0, free // service.gpus)}


def _cells(factory: Factory) -> Iterator[Finding]:
    cells = factory.run.cells
    if cells == 1:
        return
    if any(load.arrivals and load.arrivals.kind == "closed-loop" for load in factory.workload):
        yield ("run", "cells"), "a closed loop has one router domain: leave cells out"
    counts = [(n, s.name, pool) for s in factory.services for pool, n in pools_of(factory, s).items()]
    fewest, name, pool = min(counts)
    if 0 < fewest < cells:
        role = "" if pool == "workers" else f"{pool} "
        said = f"{cells} cells need a {role}worker each, and {name} has {fewest}: write at most {fewest}"
        yield ("run", "cells"), said


def _requests(factory: Factory) -> Iterator[Finding]:
    for i, load in enumerate(factory.workload):
        before_s = 0.0
        if load.sessions:
            before_s = LIVES_BEFORE * (load.sessions.turns - 1) * load.sessions.gap_s
        if _rate_s(load) * before_s > MOST_BEFORE:
            yield (
                ("workload", i, "sessions"),
                f"conversations begin {LIVES_BEFORE} mean lives before the run, here {before_s / 86_400:,.3g} days with "
                f"{_rate_s(load) * before_s:,.3g} requests: at most {MOST_BEFORE:,}, by fewer turns, shorter gaps or a "
                "lower rate",
            )
        rate_s, duration_s = _rate_s(load), factory.run.horizon_s + before_s
        if rate_s * duration_s > MOST_REQUESTS:
            yield (
                ("workload", i),
                f"{rate_s:,.4g} requests a second for {duration_s:,.0f} s are more than {MOST_REQUESTS:,} requests: "
                f"at most {MOST_REQUESTS / duration_s:,.4g} a second, or a shorter horizon",
            )


def _rate_s(load: Workload) -> float:
    """Requests per second where the file says them; 0 where a trace or the services do."""
    if load.scale.kind == "rate":
        return float(load.scale.value)
    if load.arrivals and load.scale.kind == "factor" and load.arrivals.kind not in COUNTED:
        return float(load.scale.value) * (load.arrivals.rate_s or 0.0)
    return 0.0
