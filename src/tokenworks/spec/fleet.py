"""Who starts and stops the replicas of a service, or of one of its pools, that is scaled while it serves."""

from __future__ import annotations

from collections.abc import Iterator
from string import Formatter
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator, model_validator

from tokenworks.spec.part import Name, Part, Port
from tokenworks.spec.quantities import Patience

if TYPE_CHECKING:
    from tokenworks.spec.factory import Factory, Service
    from tokenworks.spec.service import Pool

FILLED_IN = {"port", "replica", "bootstrap_port"}


class Processes(Part):
    """Replicas as processes of the gateway's machine."""

    command: tuple[str, ...] = Field(
        min_length=1, description="words; {port}, {replica} and {bootstrap_port} are filled in, {{ is a brace"
    )
    port: Port = Field(description="of replica 0; replica k listens k further on")
    bootstrap_port: Port = Field(
        8998,
        description="of replica 0 of a prefill pool of sglang, where decode engines meet it; replica k's is k further on",
    )
    health: str = Field("/health", pattern=r"^/[!-~]*$", description="path that answers 200 once it takes requests")
    patience_s: Patience = Field(600.0, alias="patience", description="for a start")
    stop_s: Patience = Field(30.0, alias="stop", description="between SIGTERM and SIGKILL")
    model: Name | None = Field(None, description="what they call the model; none: what the caller wrote")

    @field_validator("command")
    @classmethod
    def _known_fields(cls, words: tuple[str, ...]) -> tuple[str, ...]:
        for word in words:
            asked = {name for _, name, _, _ in Formatter().parse(word) if name is not None}
            if asked - FILLED_IN:
                said = "only {port}, {replica} and {bootstrap_port} are filled in; write {{ for a brace"
                raise ValueError(f"{word!r}: {said}")
        return words


class Kubernetes(Part):
    """Replicas that Kubernetes runs: a workload with a scale subresource, or a field of a custom resource."""

    namespace: Name = Field("default", description="of the resource")
    group: Name = Field("apps", description="API group")
    version: Name = Field("v1", description="of the group")
    plural: Name = Field("deployments", description="kind, as in its path")
    name: Name = Field(description="of the resource")
    field: str = Field(
        "", description="dotted path of a count, e.g. spec.services.decode.replicas; empty: the scale subresource"
    )
    ready_field: str = Field("", description="… and of the ready ones in its status; empty: all are believed ready")
    context: Name | None = Field(
        None, description="of the kubeconfig; none: the pod's own account, else the current one"
    )


class FleetOf(Part):
    """The fleet of one service, or of one of its pools."""

    service: str = Field(description="whose replicas")
    role: Literal["prefill", "decode"] | None = Field(None, description="the pool, where the service has two")
    processes: Processes | None = Field(None, description="of this machine")
    kubernetes: Kubernetes | None = Field(None, description="of a cluster")

    @property
    def pool(self) -> str:
        return pool_name(self.service, self.role)

    @model_validator(mode="after")
    def _one(self) -> FleetOf:
        if bool(self.processes) == bool(self.kubernetes):
            raise ValueError("say either processes or kubernetes")
        return self


def fleet_findings(factory: Factory) -> Iterator[tuple[tuple[Any, ...], str]]:
    """Fleets of what is not scaled, or whose upstreams come from elsewhere."""
    services, seen = {s.name: s for s in factory.services}, set[tuple[str, str | None]]()
    for i, fleet in enumerate(factory.serve.fleets):
        place, service = ("serve", "fleets", i), services.get(fleet.service)
        if service is None:
            yield (*place, "service"), f"no service {fleet.service!r}; known are {', '.join(services)}"
            continue
        pool, whose = service.pool(fleet.role), fleet.pool
        if pool is None:
            said = "has prefill and decode pools: say role: prefill or role: decode"
            yield (*place, "role"), f"{service.name} {said if service.prefill else 'has no pools: leave role out'}"
            continue
        if (fleet.service, fleet.role) in seen:
            yield (*place, "service"), f"{whose!r} has a fleet already"
        seen.add((fleet.service, fleet.role))
        if pool.scaling is None:
            field = f"services[].{fleet.role + '.' if fleet.role else ''}scaling"
            yield (*place, "service"), f"{whose} is not scaled: give it {field}"
        listed = any((u.service, u.role) == (fleet.service, fleet.role) for u in factory.serve.upstreams)
        if fleet.processes and listed:
            yield (*place, "processes"), f"{whose} has upstreams already: processes are upstreams of their own"
        if fleet.kubernetes and not listed:
            yield (*place, "kubernetes"), f"list the address of {whose} under serve.upstreams"
        if fleet.processes and not replicas_of(pool):
            yield (
                (*place, "processes"),
                f"say how many there may be: services[].workers or scaling.max of {whose}",
            )


def pool_name(service: str, role: str | None) -> str:
    """What is scaled: a service, or one pool of it."""
    return f"{service}/{role}" if role else service


def replicas_of(pool: Service | Pool) -> int:
    """The most processes of a pool; 0: unknown."""
    stated = [count for count in (pool.workers, pool.scaling and pool.scaling.most) if isinstance(count, int)]
    return min(stated, default=0)
