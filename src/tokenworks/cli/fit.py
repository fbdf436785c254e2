"""What `check` knows beyond the file: models that do not fit their GPUs, and traces that cannot be read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tokenworks.errors import CapacityError, TraceError, UnsupportedError

if TYPE_CHECKING:
    from tokenworks.physics.deployment import Deployment
    from tokenworks.spec.factory import Factory, Service
    from tokenworks.spec.site_checks import Finding

Place = tuple[str | int, ...]


def fit_findings(factory: Factory) -> Iterator[Finding]:
    """(place, message) of every model that is too large, where the file says enough to know."""
    from tokenworks.spec.checks import check

    wrong = {place[:2] for place, _ in check(factory) if place[2:] not in ((), ("workers",))}  # not: too few GPUs
    for i, service in enumerate(factory.services):
        system = next((k for k, s in enumerate(factory.systems) if service.on in (s.id, None)), None)
        if ("services", i) in wrong or system is None or ("systems", system) in wrong:
            continue
        for place, deployed in deployments(factory, service, ("services", i)):
            try:
                kv_tokens(deployed)
            except (CapacityError, UnsupportedError) as error:
                yield place, str(error)


def deployments(factory: Factory, service: Service, place: Place) -> Iterator[tuple[Place, Deployment]]:
    """The kinds of workers that a service has."""
    from tokenworks.physics.fleet import deployment, pooled

    system = factory.system_of(service)
    if service.prefill is None or service.decode is None:
        yield (*place, "model"), deployment(service, system)
        return
    for role, pool in (("prefill", service.prefill), ("decode", service.decode)):
        yield (*place, role), deployment(pooled(service, pool), system)


def kv_tokens(deployed: Deployment) -> int:
    """Tokens of KV cache of one worker. Raises CapacityError."""
    from tokenworks.physics.memory import kv_blocks
    from tokenworks.physics.step import Machine

    return kv_blocks(Machine.of(deployed, {})) * deployed.block_tokens * deployed.dp


def trace_text_findings(factory: Factory) -> Iterator[Finding]:
    """(place, message) of every file of requests that cannot be read."""
    from pathlib import Path

    from tokenworks.workload.trace_formats import load_mix, load_trace
    from tokenworks.workload.trace_names import sources

    for place, kind, name in sources(factory):
        if Path(name).exists():
            try:
                (load_mix if kind == "mix" else load_trace)(name)
            except TraceError as error:
                yield place, str(error)
