"""Upstreams of services with prefill and decode pools: what does not fit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenworks.spec.factory import Factory, Service
    from tokenworks.spec.serving import Upstream

Finding = tuple[tuple[Any, ...], str]
HANDOVERS = ("vllm", "sglang")  # engines' ids and protocols have the same names
ROLES = ("prefill", "decode")
Way = tuple[str | None, str]  # role and protocol of an upstream


def handover_of(service: Service, upstream: Upstream) -> str:
    """The protocol of one upstream; an engine's id where the file says nothing else."""
    return upstream.handover or service.engine


def pool_findings(factory: Factory) -> Iterator[Finding]:
    """Roles that the service does not have, lacking roles, protocols that differ or do not exist."""
    services = {s.name: s for s in factory.services}
    ways: dict[str, list[Way]] = {}
    for i, upstream in enumerate(factory.serve.upstreams):
        service = services.get(upstream.service)
        if service is not None:
            ways.setdefault(service.name, []).append((upstream.role, handover_of(service, upstream)))
            yield from _of_one(("serve", "upstreams", i), service, upstream)
    for i, fleet in enumerate(factory.serve.fleets):
        service = services.get(fleet.service)
        if service is not None and fleet.role and fleet.processes:
            ways.setdefault(service.name, []).append((fleet.role, service.engine))
            if service.engine not in HANDOVERS:
                said = f"no handover of {service.engine!r} is known: pools of processes are of {' or '.join(HANDOVERS)}"
                yield ("serve", "fleets", i, "role"), said
    for name, found in ways.items():
        if services[name].prefill:
            yield from _of_all(name, found)


def _of_one(place: tuple[Any, ...], service: Service, upstream: Upstream) -> Iterator[Finding]:
    if not service.prefill:
        if upstream.role:
            yield (
                (*place, "role"),
                f"{service.name} has no pools: leave role out, or give the service prefill and decode",
            )
        return
    if upstream.role is None:
        yield place, f"{service.name} has prefill and decode pools: say role: prefill or role: decode"
    protocol = handover_of(service, upstream)
    if protocol not in HANDOVERS:
        yield (
            (*place, "handover"),
            f"no handover of {protocol!r} is known; say handover: {' or '.join(HANDOVERS)} where its engines speak that",
        )
    if upstream.speaks != {"chat"}:
        yield (
            (*place, "serves"),
            "pools are asked for chat completions and completions alone; leave serves and dialect out",
        )
    if upstream.role == "decode" and upstream.max_requests:
        yield (
            (*place, "max_requests"),
            "whose prompt has been read is not turned away: limit the prefill upstreams, or say 0",
        )


def _of_all(service: str, ways: list[Way]) -> Iterator[Finding]:
    roles = {role for role, _ in ways}
    if None not in roles:
        for role in ROLES:
            if role not in roles:
                yield ("serve", "upstreams"), f"{service} has no {role} upstream; list one with role: {role}"
    protocols = sorted({protocol for _, protocol in ways})
    if len(protocols) > 1:
        yield ("serve", "upstreams"), f"upstreams of {service} hand over in one way, not as {' and '.join(protocols)}"
