"""Where the workers of a plan stand: inside scale-up domains or across them, and the bandwidth that they get there."""

from __future__ import annotations

from tokenworks import catalog
from tokenworks.errors import TokenworksError
from tokenworks.physics.deployment import Deployment
from tokenworks.plan.build import Layout
from tokenworks.plan.topology import Topology, paired, placed, topology


def placement(system: str, systems: int, one: Layout) -> str:
    """In a line; "" where the catalogue does not know the network of such systems."""
    try:
        cluster = topology(system, systems * _gpus(system))
        said = [_stands(name, d, cluster) for name, d in _workers(one)]
        if one.prefill is not None:
            said.append(_handed_over(one.prefill, one, cluster))
    except TokenworksError:
        return ""
    return "; ".join(said)


def _gpus(system: str) -> int:
    return int(catalog.load("systems", system)["gpus"])


def _workers(one: Layout) -> list[tuple[str, Deployment]]:
    if one.prefill is None:
        return [("each worker", one.main)]
    return [("each prefill worker", one.prefill), ("each decode worker", one.main)]


def _stands(name: str, d: Deployment, cluster: Topology) -> str:
    domain = cluster.domain.gpus
    if d.gpus <= domain:
        return f"{name} inside one scale-up domain ({d.gpus} of {domain} GPUs)"
    there = placed(d, cluster)
    return f"{name} over {-(-d.gpus // domain)} scale-up domains of {domain} GPUs, {there.scale_out_gb_s:g} GB/s a GPU between them"


def _handed_over(prefill: Deployment, one: Layout, cluster: Topology) -> str:
    """KV: where all workers fit one domain they stand in it; else the network's bandwidth is counted on, wherever a pair stands."""
    *_, reach = paired(prefill, one.prefill_workers, one.main, one.workers, cluster)
    if reach.name == "domain":
        return f"KV from prefill to decode inside the domain at {reach.gb_s:g} GB/s a GPU"
    return f"KV from prefill to decode over the network at {cluster.nic_gb_s:g} GB/s a GPU"
