"""Where racks stand: pods with their systems, leaves and spines, and the racks of what joins the pods."""

from __future__ import annotations

from dataclasses import dataclass

from tokenworks.plan.topology.cluster import Topology


@dataclass(frozen=True)
class Zone:
    """Equal areas of the floor. ``systems`` is a mean over them (systems need not end where a pod ends); switches' racks
    are whole ones, per tier."""

    name: str
    count: int
    systems: float  # racks of one area
    switches: tuple[tuple[str, int], ...]  # (tier, racks of one area)

    @property
    def network_racks(self) -> int:
        return self.count * sum(racks for _, racks in self.switches)


def zones(topology: Topology) -> tuple[Zone, ...]:
    """One zone per size of pods of the second tier, then one for all tiers above; one zone alone where two tiers do."""
    levels, per_rack = topology.tree.levels, int(topology.fabric.switch["per_rack"]) / topology.fabric.planes
    racks = topology.systems * float(topology.system["racks"])
    if len(levels) < 3:
        tiers = [(name, level.switches) for name, level in zip(topology.tiers, levels, strict=True)]
        return (Zone("all", 1, racks, _racks(tiers[1:] if topology.copper else tiers, per_rack)),)
    found, spines = [], levels[1]
    for used in spines.used:
        leaves = used.down // spines.parallel
        tiers = [] if topology.copper else [(topology.tiers[0], leaves)]
        tiers.append((topology.tiers[1], spines.positions))
        pods = used.switches // spines.positions
        found.append(Zone("pod", pods, racks * leaves / levels[0].switches, _racks(tiers, per_rack)))
    above = [(name, level.switches) for name, level in zip(topology.tiers[2:], levels[2:], strict=True)]
    return (*found, Zone("centre", 1, 0.0, _racks(above, per_rack)))


def network_racks(topology: Topology) -> int:
    """Racks of switches alone; none for leaves that stand in the racks of their hosts."""
    return sum(zone.network_racks for zone in zones(topology))


def _racks(tiers: list[tuple[str, int]], per_rack: float) -> tuple[tuple[str, int], ...]:
    return tuple((name, int(-(-count // per_rack))) for name, count in tiers if count)
