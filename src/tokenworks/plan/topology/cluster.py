"""A cluster: so many GPUs of a system, their domains and the network that joins them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from tokenworks import catalog
from tokenworks.catalog import Entry
from tokenworks.errors import InputError, UnsupportedError
from tokenworks.plan.topology.bill import Bill, bill, tier_name
from tokenworks.plan.topology.fabric import Fabric, default_fabric, fabric, with_optics
from tokenworks.plan.topology.levels import Tree
from tokenworks.plan.topology.scale_up import Domain, domain
from tokenworks.plan.topology.tree import tree

RAIL, FAT_TREE = "rail", "fat-tree"
LAYOUTS = (RAIL, FAT_TREE)
MOST_GPUS = 1_000_000_000


@dataclass(frozen=True)
class Topology:
    """Everything that counts follow from. ``tree`` is one plane; ``bill`` has all planes."""

    system: Entry
    systems: int
    layout: str
    oversubscription: tuple[Fraction, ...]
    fabric: Fabric
    tree: Tree
    copper: bool  # links of hosts
    bill: Bill
    domain: Domain

    @property
    def gpus(self) -> int:
        return self.systems * int(self.system["gpus"])

    @property
    def domains(self) -> int:
        return -(-self.gpus // self.domain.gpus)

    @property
    def nic_gb_s(self) -> float:
        """Of the network, per GPU, one way."""
        return float(self.system["nic_gb_s"]) * int(self.system["nics"]) / int(self.system["gpus"])

    @property
    def compute_racks(self) -> int:
        return math.ceil(self.systems * float(self.system["racks"]))

    @property
    def network_w(self) -> float:
        """Of the network, and of what a domain needs beyond its systems."""
        return self.bill.network_w + self.domains * self.domain.extra_w

    @property
    def usd(self) -> float:
        """Purchase of the same."""
        return self.bill.usd + self.domains * self.domain.extra_usd

    @property
    def failures_per_day(self) -> float:
        return self.bill.failures_per_day + self.domains * self.domain.extra_failures_per_day

    @property
    def bisection_gb_s(self) -> float:
        """Between two halves of the GPUs, one way, all planes, at least."""
        return self.tree.bisection_links * self.fabric.link_gb_s * self.fabric.planes

    @property
    def tiers(self) -> tuple[str, ...]:
        return tuple(tier_name(i, len(self.tree.levels)) for i in range(len(self.tree.levels)))


def topology(
    system_id: str,
    gpus: int,
    fabric_id: str | None = None,
    *,
    optics: str | None = None,
    layout: str = RAIL,
    oversubscription: Sequence[Fraction | int] = (),
    planes: int | None = None,
    domain_gpus: int | None = None,
) -> Topology:
    """The network of at least ``gpus`` GPUs in whole systems (whole domains where one spans several).

    ``oversubscription`` per tier from the leaves; ``planes``: equal networks that share an adapter; links of hosts are
    copper where the hosts of a leaf stand within its reach and the switch has electrical ports, optical elsewhere.
    Raises InputError and UnsupportedError for what cannot be built.
    """
    if not 1 <= gpus <= MOST_GPUS:
        raise InputError(f"a cluster has 1 to {MOST_GPUS:,} GPUs, not {gpus:,}")
    if layout not in LAYOUTS:
        raise InputError(f"a layout is {' or '.join(LAYOUTS)}, not {layout!r}")
    system = catalog.load("systems", system_id)
    if not system.get("nics"):
        raise UnsupportedError(f"{system.id} has no network adapters: it is not made for clusters")
    scale_up = domain(system, domain_gpus)
    unit = max(int(system["gpus"]), scale_up.gpus)
    systems = -(-gpus // unit) * unit // int(system["gpus"])
    chosen = fabric(with_optics(fabric_id or default_fabric(system), optics), float(system["nic_gb_s"]), planes)
    rails = int(system.get("rails") or system["nics"])
    hosts = systems * int(system["nics"]) // rails
    ratios = tuple(Fraction(o) for o in oversubscription)
    plane = tree(hosts, rails, chosen.radix, ratios, rail=layout == RAIL)
    _refuse_idle(ratios, plane)
    copper = chosen.copper is not None and _racks_of_a_leaf(system, plane, layout) <= chosen.copper["racks_reached"]
    parts = bill(plane, chosen, copper)
    return Topology(system, systems, layout, ratios, chosen, plane, copper, parts, scale_up)


def _refuse_idle(ratios: Sequence[Fraction], plane: Tree) -> None:
    """A ratio of a tier without uplinks would change nothing and read as if it did."""
    tiers = len(plane.levels)
    if any(ratio != 1 for ratio in ratios[tiers - 1 :]):
        with_uplinks = f"{tiers - 1} with uplinks" if tiers > 1 else "none with uplinks"
        raise InputError(f"oversubscription of {len(ratios)} tiers, but the network has {tiers}, {with_uplinks}")


def _racks_of_a_leaf(system: Entry, plane: Tree, layout: str) -> float:
    """Over how many racks the hosts of one leaf are spread."""
    leaf = plane.levels[0].members
    hosts = leaf if layout == RAIL and len(plane.levels) > 1 else leaf / plane.rails
    return max(1.0, hosts * plane.rails / int(system["nics"]) * float(system["racks"]))
