"""Where the GPUs of a deployment stand, and the bandwidth that their collectives get there."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tokenworks.errors import CapacityError, InputError
from tokenworks.physics.deployment import Deployment
from tokenworks.plan.topology.cluster import Topology


@dataclass(frozen=True)
class Reach:
    """GPUs that can be had together at one level of the network."""

    name: str  # domain, leaf, spine …
    gpus: int  # at most
    hops: int  # switches between the two that are farthest apart
    gb_s: float  # one way, per GPU, when all of them send at once


def reaches(topology: Topology) -> tuple[Reach, ...]:
    """From the domain outwards. In a rail-optimised network the reach of a leaf is that of its group: GPUs on other rails
    are met through the domain first. Levels that reach no further than the one before are left out."""
    found = [Reach("domain", topology.domain.gpus, topology.domain.hops, topology.domain.gb_s)]
    per_nic = int(topology.system["gpus"]) / int(topology.system["nics"])
    block = topology.tree.rails if topology.layout == "rail" and len(topology.tree.levels) > 1 else 1
    for i, level in enumerate(topology.tree.levels):
        gpus = min(topology.gpus, int(level.endpoints * (block if i == 0 else 1) * per_nic))
        if i + 1 == len(topology.tree.levels):
            gpus = topology.gpus
        if gpus > found[-1].gpus:
            share = topology.tree.share_above(i)
            found.append(Reach(topology.tiers[i], gpus, 2 * i + 1, topology.nic_gb_s * share))
    return tuple(found)


def reach_of(topology: Topology, gpus: int) -> Reach:
    """The nearest level that holds so many GPUs. Raises CapacityError."""
    for reach in reaches(topology):
        if gpus <= reach.gpus:
            return reach
    raise CapacityError(f"{gpus:,} GPUs do not fit a cluster of {topology.gpus:,} {topology.system['accelerator']}")


def width(deployment: Deployment, domain_gpus: int) -> int:
    """GPUs of the replica's collectives in one domain: an even share of them, and whole tensor-parallel groups where they
    fit. The whole domain where the replica does not fill it.

    A group that is spread unevenly waits for its largest part: 12 GPUs over domains of 8 are placed as 6 and 6.
    """
    stage = deployment.tp * deployment.dp
    if stage <= domain_gpus:
        return domain_gpus
    step = deployment.tp if deployment.tp <= domain_gpus else 1
    whole = deployment.tp if step == 1 else stage
    return max(n for n in range(step, domain_gpus + 1, step) if whole % n == 0)


def placed(deployment: Deployment, topology: Topology, *, per_domain: int | None = None, beside: int = 0) -> Deployment:
    """The deployment with the bandwidth of its place: as near together as the topology allows.

    ``per_domain``: at most so many of its GPUs share a domain (because others are taken; none: the whole domain).
    ``beside``: GPUs of the workers that it passes KV to or gets it from. Raises InputError for an accelerator that the
    topology does not have, CapacityError where it does not fit.
    """
    if deployment.accelerator != topology.system["accelerator"]:
        raise InputError(f"{topology.system.id} has {topology.system['accelerator']}, not {deployment.accelerator}")
    most = topology.domain.gpus if per_domain is None else per_domain
    if not 1 <= most <= topology.domain.gpus:
        raise InputError(f"1 to {topology.domain.gpus} GPUs share a domain of {topology.system.id}, not {most}")
    domains = -(-deployment.gpus // most)
    far = reach_of(topology, domains * topology.domain.gpus if domains > 1 else deployment.gpus)
    pair = reach_of(topology, max(deployment.gpus + beside, domains * topology.domain.gpus if domains > 1 else 0))
    return replace(
        deployment,
        gpus_per_node=width(deployment, most),
        scale_out_gb_s=topology.nic_gb_s if far.name == "domain" else far.gb_s,
        transfer_gb_s=pair.gb_s,
    )


def paired(
    prefill: Deployment, prefill_workers: int, decode: Deployment, decode_workers: int, topology: Topology
) -> tuple[Deployment, Deployment, Reach]:
    """Workers that serve together, prefill and decode, put as near each other as they fit, and the level at which they do.

    KV goes over the domain's links where the whole cell stands in one domain, else over the network at the share that
    its level leaves. Raises as `placed`.
    """
    if prefill_workers < 1 or decode_workers < 1:
        raise InputError(f"a pair has workers on both sides, not {prefill_workers} and {decode_workers}")
    cell = prefill.gpus * prefill_workers + decode.gpus * decode_workers
    sides = tuple(placed(side, topology, beside=cell - side.gpus) for side in (prefill, decode))
    return sides[0], sides[1], reach_of(topology, cell)


@dataclass(frozen=True)
class Filling:
    """Equal replicas over domains: how many share one, how many domains they take, GPUs that are left over in these."""

    per_domain: int  # replicas; 0: one takes several domains
    domains: int
    idle_gpus: int


def filling(topology: Topology, gpus: int, count: int) -> Filling:
    """``count`` replicas of ``gpus`` GPUs, none cut by a border of domains that it could stand inside of.

    Raises CapacityError where the cluster has fewer domains."""
    size = topology.domain.gpus
    if gpus <= size:
        each = size // gpus
        found = Filling(each, -(-count // each), 0)
    else:
        found = Filling(0, count * -(-gpus // size), 0)
    if found.domains > topology.domains:
        fits = topology.domains * found.per_domain if found.per_domain else topology.domains // -(-gpus // size)
        raise CapacityError(f"{count:,} replicas of {gpus} GPUs need {found.domains:,} domains; here are {topology.domains:,}, "
                            f"for {fits:,}")  # fmt: skip
    return replace(found, idle_gpus=found.domains * size - count * gpus)
