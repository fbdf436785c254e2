"""From the factory file to deployments: which replicas each service runs, every setting resolved."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tokenworks import catalog
from tokenworks.catalog.engines import engine_rules
from tokenworks.physics.deployment import Deployment, SiteTerms, TierSettings
from tokenworks.physics.pools import in_pool, side_by_side
from tokenworks.physics.site import read_site
from tokenworks.spec.checks import fixed_gpus, gpus_of
from tokenworks.spec.factory import Factory, Pool, Service, System

TIER_BANDWIDTH = {"host": "host_link_gb_s", "grace": "host_link_gb_s"}


@dataclass(frozen=True)
class Group:
    """Equal replicas of one role: "serve" (aggregated), "prefill" or "decode"."""

    role: str
    deployment: Deployment
    count: int


@dataclass(frozen=True)
class Replicas:
    """One service and the replicas that run it."""

    service: Service
    system: System
    groups: tuple[Group, ...]

    @property
    def gpus(self) -> int:
        return sum(g.count * g.deployment.gpus for g in self.groups)

    @property
    def count(self) -> int:
        return sum(g.count for g in self.groups)

    @property
    def deployment(self) -> Deployment:
        """The deployment that decodes."""
        return self.groups[-1].deployment


def fleet(factory: Factory) -> tuple[Replicas, ...]:
    """Replicas of every service, in file order, with what the factory's site calibration knows of them. Raises
    InputError where that cannot be used."""
    bare = tuple(_replicas(factory, service) for service in factory.services)
    if factory.calibration is None:
        return bare
    site = read_site(Path(factory.calibration))
    known = lambda g: replace(g, deployment=replace(g.deployment, site=site.of(g.deployment)))  # noqa: E731
    return tuple(replace(r, groups=tuple(known(g) for g in r.groups)) for r in bare)


def site_note(factory: Factory, replicas: tuple[Replicas, ...]) -> str:
    """Which services the factory's site calibration speaks of; "" where there is none."""
    if factory.calibration is None:
        return ""
    site = read_site(Path(factory.calibration))
    parts = []
    for r in replicas:
        for group in r.groups:
            name = r.service.name if len(r.groups) == 1 else f"{r.service.name} {group.role}"
            known = site.of(group.deployment)
            parts.append(f"{name} {_from(known) if known else f'as shipped ({site.nearest(group.deployment)})'}")
    return f"Site calibration {site.file}: {', '.join(parts)}."


def _from(known: SiteTerms) -> str:
    return f"from {known.points} measurement{'s' if known.points > 1 else ''}"


def _replicas(factory: Factory, service: Service) -> Replicas:
    system = factory.system_of(service)
    if service.prefill is None or service.decode is None:
        count = service.workers or _open_count(factory, service, system)
        return Replicas(service, system, (Group("serve", deployment(service, system), count),))
    pools = (("prefill", service.prefill), ("decode", service.decode))
    made = [(role, in_pool(deployment(pooled(service, pool), system), role), pool.workers) for role, pool in pools]
    cell, size = sum(d.gpus * count for _, d, count in made), int(catalog.load("systems", system.system)["gpus"])
    groups = tuple(Group(role, side_by_side(d, cell, size), count) for role, d, count in made)
    return Replicas(service, system, groups)


def pooled(service: Service, pool: Pool) -> Service:
    """The service as one of its pools runs it."""
    limits = {"max_seqs": pool.max_seqs or service.max_seqs, "token_budget": pool.token_budget or service.token_budget}
    degrees: dict[str, int | None] = {"tp": pool.tp, "pp": pool.pp, "dp": pool.dp, "ep": pool.ep}
    degrees |= {"redundant_experts": pool.redundant_experts, "micro_batches": pool.micro_batches}
    clock = service.clock if pool.clock is None else pool.clock
    return service.model_copy(update={**limits, **degrees, "clock": clock, "prefill": None, "decode": None})


def _open_count(factory: Factory, service: Service, system: System) -> int:
    others = sum(fixed_gpus(s) for s in factory.services if s.on in (system.id, None))
    return (gpus_of(factory, system) - others) // service.gpus


def newest_version(engine: str) -> str:
    """The newest version of the engine's family that was measured, "" where none was: what a factory is assumed to run."""
    family = catalog.load("engines", catalog.load("engines", engine)["base"])
    return str(family.get("newest_version") or "")


def deployment(service: Service, system: System) -> Deployment:
    """One replica of a service. What the file leaves open comes from the engine's rules in the catalogue."""
    hardware = catalog.load("systems", system.system)
    accelerator = catalog.load("accelerators", hardware["accelerator"])
    version = service.engine_version or newest_version(service.engine)
    rules = engine_rules(service.engine, version)
    given = {
        "max_seqs": service.max_seqs,
        "token_budget": service.token_budget,
        "memory_fraction": service.memory_fraction,
        "chunked_prefill": service.chunked_prefill,
        "prefix_cache": service.prefix_cache,
    }
    ruled = {"max_seqs": rules["default_max_seqs"], "token_budget": rules["default_token_budget"]}
    ruled |= {key: rules[key] for key in ("memory_fraction", "chunked_prefill")} | {"prefix_cache": False}
    settings: dict[str, Any] = {key: ruled[key] if value is None else value for key, value in given.items()}
    draft, lora = service.speculative, service.lora
    return Deployment(
        accelerator=accelerator.id,
        model=service.model,
        engine=service.engine,
        engine_version=version,
        date="",
        weights=service.precision,
        kv=service.kv_precision,
        tp=service.tp,
        pp=service.pp,
        dp=service.dp,
        ep=service.ep,
        **settings,
        kv_fraction_of_free=rules["kv_fraction_of_free"],
        memory_reserve_gb=rules["memory_reserve_gb"],
        block_tokens=rules["block_tokens"],
        reserve_output=rules["reserve_output"],
        prefill_alone=rules["prefill_alone"],
        receive_interval=rules["receive_interval"],
        plans_ahead=rules["plans_ahead"],
        cuda_graph_max_seqs=rules["cuda_graph_max_seqs"],
        async_scheduling=rules["async_scheduling"],
        eager_prefill=rules["eager_prefill"],
        draft_tokens=draft.draft_tokens if draft else 0,
        tokens_per_step=draft.tokens_per_step if draft else 1.0,
        gpus_per_node=int(accelerator["scale_up_domain"]),
        tiers=tuple(
            _tier(tier.name, tier.capacity_bytes, tier.bandwidth_b_s, accelerator, hardware)
            for tier in service.kv_tiers
        ),
        encoder=service.encoder,
        redundant_experts=service.redundant_experts,
        micro_batches=service.micro_batches or 0,
        fused_all_reduce=service.fused_all_reduce,
        two_batch_overlap=service.overlap == "two-batch",
        lora_adapters=lora.adapters if lora else 0,
        lora_rank=lora.rank if lora else 0,
        scale_out_gb_s=_adapters_gb_s(hardware, accelerator),
        clock=1.0 if service.clock is None else service.clock,
    )


def _adapters_gb_s(hardware: catalog.Entry, accelerator: catalog.Entry) -> float:
    """Network of the system per GPU, one way, where it is not what the accelerator is usually built with; 0: it is, or the
    system has no adapters in the catalogue."""
    if not hardware.get("nics"):
        return 0.0
    own = float(hardware["nic_gb_s"]) * int(hardware["nics"]) / int(hardware["gpus"])
    usual = accelerator.get("scale_out_gb_s")
    return 0.0 if usual is not None and own == float(usual) else own


def _tier(
    name: str, capacity: float, bandwidth: float | None, accelerator: catalog.Entry, hardware: catalog.Entry
) -> TierSettings:
    if bandwidth is not None:
        return TierSettings(name, capacity / 1e9, bandwidth / 1e9)
    if name in TIER_BANDWIDTH:
        return TierSettings(name, capacity / 1e9, float(accelerator[TIER_BANDWIDTH[name]]))
    key = "nvme_gb_s" if name == "nvme" else "nic_gb_s"
    return TierSettings(name, capacity / 1e9, float(hardware[key]) / (hardware["gpus"] if name == "nvme" else 1))
