"""What is exported: one unit for every role of every service, with all settings resolved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from tokenworks import catalog
from tokenworks.errors import InputError, UnsupportedError
from tokenworks.physics.deployment import Deployment
from tokenworks.physics.fleet import fleet
from tokenworks.plan.export.asked import asked
from tokenworks.plan.export.names import unique
from tokenworks.spec.factory import Factory, Service, System

RESOURCES = {"NVIDIA": "nvidia.com/gpu", "AMD": "amd.com/gpu", "Intel": "habana.ai/gaudi"}  # of their device plugins


@dataclass(frozen=True)
class Options:
    """What the factory file does not say. ``weights``: service (or ``service:draft``) → path or repository of its
    checkpoint; ``images``: service → container image; ``node_gpus``: GPUs of one host, 0: the catalogue's."""

    weights: Mapping[str, str] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)
    node_gpus: int = 0


@dataclass(frozen=True, eq=False)
class Unit:
    """Equal engine replicas of one role. Compared by identity: an export makes each once."""

    name: str  # unique in the factory, fit for Kubernetes
    service: Service
    system: System
    role: str  # "serve", "prefill" or "decode"
    count: int
    deployment: Deployment
    node_gpus: int
    options: Options

    @cached_property
    def asked(self) -> dict[str, str]:
        """Every setting that was asked for, as text."""
        return asked(self.service, self.system, self.role, self.count, self.deployment)

    @property
    def disaggregated(self) -> bool:
        return self.role != "serve"

    @property
    def engine(self) -> str:
        """The engine's family: vllm, sglang, tensorrt-llm …"""
        return str(catalog.load("engines", self.service.engine)["base"])

    @property
    def vendor(self) -> str:
        return str(catalog.load("accelerators", self.deployment.accelerator)["vendor"])

    @property
    def resource(self) -> str:
        """Kubernetes' name of the accelerator. Raises UnsupportedError for one without a device plugin known here."""
        if self.vendor not in RESOURCES:
            raise UnsupportedError(
                f"{self.deployment.accelerator} of {self.vendor}: exports know {', '.join(RESOURCES)}"
            )
        return RESOURCES[self.vendor]

    @property
    def nodes(self) -> int:
        """Hosts of one replica: as few as hold its GPUs in equal parts."""
        gpus = self.deployment.gpus
        return next(n for n in range(-(-gpus // self.node_gpus), gpus + 1) if gpus % n == 0)

    @property
    def gpus_per_node(self) -> int:
        return self.deployment.gpus // self.nodes

    @property
    def weights(self) -> str:
        """Path or repository of the checkpoint."""
        return self.options.weights.get(self.service.name, f"/models/{self.service.model}-{self.service.precision}")

    @property
    def draft_weights(self) -> str:
        """Path or repository of the draft model of speculative decoding."""
        kind = self.service.speculative.kind if self.service.speculative else ""
        return self.options.weights.get(f"{self.service.name}:draft", f"/models/{self.service.model}-{kind}")

    def image(self, runner: str) -> str:
        """Container image. Raises InputError where the catalogue knows none: it must be named."""
        if self.service.name in self.options.images:
            return self.options.images[self.service.name]
        entry = catalog.load("images", runner) if runner in catalog.ids("images") else None
        if entry is None or entry["vendor"] != self.vendor:
            named = f"--image {self.service.name}=IMAGE"
            raise InputError(f"{self.service.name}: no image of {runner} for {self.vendor} is known; name one: {named}")
        return str(entry["image"])


def units(factory: Factory, service: str | None, options: Options) -> tuple[Unit, ...]:
    """Units of all services, or of one. Raises InputError for an unknown name."""
    known = [s.name for s in factory.services]
    for name in (
        *([service] if service is not None else []),
        *(k.removesuffix(":draft") for k in options.weights),
        *options.images,
    ):
        if name not in known:
            raise InputError(f"no service {name!r}; there are {', '.join(known)}")
    named = unique(known)
    found = []
    for replicas in fleet(factory):
        hosts = node_gpus(replicas.system, options)
        for group in replicas.groups:
            base = named[replicas.service.name]
            name = base if group.role == "serve" else f"{base}-{group.role}"
            parts = (replicas.service, replicas.system, group.role, group.count, group.deployment, hosts, options)
            found.append(Unit(name, *parts))
    return tuple(u for u in found if service in (None, u.service.name))


def node_gpus(system: System, options: Options) -> int:
    """GPUs of one host. Raises InputError where neither the catalogue nor the user says it."""
    entry = catalog.load("systems", system.system)
    if options.node_gpus:
        return options.node_gpus
    if "node_gpus" in entry:
        return int(entry["node_gpus"])
    if int(entry["cpus"]) <= 2:
        return int(entry["gpus"])  # a server
    raise InputError(f"{entry.id}: the catalogue does not say how many GPUs one of its hosts has; give --node-gpus N")
