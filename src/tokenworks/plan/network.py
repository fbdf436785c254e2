"""What joins the systems of a plan, in dollars and watts: a network for callers, and one between GPUs where something crosses.

*Frontend*: every host has its way to callers and storage, whatever it serves; so much a host (assumptions of the catalogue's
site). *Scale-out*: the tree of `plan.topology` over all systems of a kind, not oversubscribed, where a worker is
larger than what one host or scale-up domain joins, or where prefill and decode pools need more than one such place. All
systems of the kind are then on it, spares too: which of them serve what is not fixed. Kinds of systems pass nothing to
each other. Storage has no network of its own here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from tokenworks import catalog
from tokenworks.errors import UnsupportedError
from tokenworks.plan.ask import Array
from tokenworks.plan.topology import topology
from tokenworks.plan.topology.cluster import MOST_GPUS
from tokenworks.plan.topology.scale_up import domain

LOOKED_UP = 1 << 20  # systems: beyond them a table by number would be larger than the fleets

EXACT_BITS = 9  # 512 systems are counted one by one: a search for goodput asks for every number there is


@dataclass(frozen=True)
class Joined:
    """Networks of numbers of systems: purchase in dollars and watts at their inlets, both (n,)."""

    usd: Array
    watts: Array


@lru_cache
def joined_gpus(system: str) -> int:
    """GPUs that reach each other without the network: those of a host or of a scale-up domain, whichever is more."""
    entry = catalog.load("systems", system)
    return max(domain(entry).gpus, _host_gpus(entry))


def crosses(system: str, systems: Array, worker_gpus: Array, apart: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether fleets of so many systems need a scale-out network; ``apart``: prefill and decode in pools of their own."""
    alone = joined_gpus(system)
    gpus = systems * int(catalog.load("systems", system)["gpus"])
    return np.asarray((worker_gpus > alone) | (apart & (gpus > alone)))


def joined(system: str, systems: Array, crossed: NDArray[np.bool_]) -> Joined:
    """Networks of fleets of one kind of system; ``crossed``: with a scale-out network."""
    site, entry = catalog.load("sites", "default"), catalog.load("systems", system)
    hosts = int(entry["gpus"]) / _host_gpus(entry)
    frontends = systems * hosts * min(1.0, float(entry["nic_gb_s"]) / float(site["frontend_gb_s"]))
    trees_usd, trees_w = _trees(system, np.where(crossed, systems, 0.0).astype(np.int64))
    usd, watts = frontends * float(site["frontend_usd"]), frontends * float(site["frontend_w"])
    return Joined(usd + trees_usd, watts + trees_w)


def _trees(system: str, counts: NDArray[np.int64]) -> tuple[Array, Array]:
    """Dollars and watts of scale-out networks. Every number of systems is counted once; millions of fleets look it up."""
    most = int(counts.max(initial=0))
    if most > LOOKED_UP:
        distinct, places = np.unique(counts, return_inverse=True)
        usd, watts = np.array([scale_out(system, int(n)) for n in distinct]).T
        return usd[places.ravel()], watts[places.ravel()]
    usd, watts = np.zeros(most + 1), np.zeros(most + 1)
    for n in np.flatnonzero(np.bincount(counts)):
        usd[n], watts[n] = scale_out(system, int(n))
    return usd[counts], watts[counts]


def scale_out(system: str, systems: int) -> tuple[float, float]:
    """(dollars, watts) of the network between so many systems. Nothing for none of them, and for systems whose network the
    catalogue does not know (`unknown` says which). Many systems are rounded up, by less than 0.4%."""
    step = 1 << max(0, systems.bit_length() - EXACT_BITS)
    return _tree(system, -(-systems // step) * step) if systems else (0.0, 0.0)


@lru_cache(maxsize=1 << 14)
def _tree(system: str, systems: int) -> tuple[float, float]:
    """Beyond what `topology` counts a cluster is several of the largest ones."""
    gpus = int(catalog.load("systems", system)["gpus"])
    most = MOST_GPUS // gpus
    try:
        found = topology(system, min(systems, most) * gpus)
    except UnsupportedError:
        return 0.0, 0.0
    times = max(1.0, systems / most)
    return found.usd * times, found.network_w * times


def unknown(system: str) -> str:
    """Why the network between systems of a kind is not known; "" where it is."""
    try:
        topology(system, int(catalog.load("systems", system)["gpus"]))
    except UnsupportedError as error:
        return str(error)
    return ""


def _host_gpus(entry: catalog.Entry) -> int:
    return int(entry.get("node_gpus") or entry["gpus"])
