"""Parts of a network with watts, dollars and failures: what the counts of the tree cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tokenworks.catalog import Entry
from tokenworks.plan.topology.fabric import Fabric
from tokenworks.plan.topology.levels import Tree

DAYS_PER_YEAR = 365.25
TIERS = ("leaf", "spine", "core", "super-core")


@dataclass(frozen=True)
class Part:
    """Equal parts. Per piece: watts, dollars of purchase, failures a year; ``alone``: share of them behind which a host
    has no second way (its own link, its leaf)."""

    name: str
    entry: str  # of the catalogue
    count: int
    watts: float
    usd: float
    failures_per_year: float
    alone: float = 0.0


@dataclass(frozen=True)
class Bill:
    """All parts of the scale-out network, all planes."""

    parts: tuple[Part, ...]

    @property
    def network_w(self) -> float:
        return sum(p.count * p.watts for p in self.parts)

    @property
    def usd(self) -> float:
        return sum(p.count * p.usd for p in self.parts)

    @property
    def failures_per_day(self) -> float:
        """Of parts, whether somebody notices or not: what has to be repaired."""
        return sum(p.count * p.failures_per_year for p in self.parts) / DAYS_PER_YEAR

    @property
    def cut_off_per_day(self) -> float:
        """Failures that take a host's link or its whole leaf away; all others are routed around."""
        return sum(p.count * p.failures_per_year * p.alone for p in self.parts) / DAYS_PER_YEAR


def tier_name(level: int, levels: int) -> str:
    """Name of a level, counted from 0.

    >>> [tier_name(i, 3) for i in range(3)], tier_name(0, 1)
    (['leaf', 'spine', 'core'], 'switch')
    """
    return "switch" if levels == 1 else TIERS[level] if level < len(TIERS) else f"tier {level + 1}"


def bill(tree: Tree, fabric: Fabric, copper: bool) -> Bill:
    """Parts of ``fabric.planes`` equal trees. ``copper``: links of hosts are copper, all others optical."""
    return Bill(tuple(part for part in _parts(tree, fabric, copper) if part.count))


def _parts(tree: Tree, fabric: Fabric, copper: bool) -> Iterator[Part]:
    switch, planes = fabric.switch, fabric.planes
    for i, level in enumerate(tree.levels):
        name = tier_name(i, len(tree.levels))
        label = "switches" if len(tree.levels) == 1 else f"{name} switches"
        yield Part(
            label, f"switches/{switch.id}", level.switches * planes, float(switch["bare_w"]), float(switch["price_usd"]),
            float(switch["failures_per_year"]), 1.0 if i == 0 else 0.0,
        )  # fmt: skip
    hosts = tree.endpoints * planes
    between = (tree.links - tree.endpoints) * planes
    if copper and fabric.copper is not None:
        yield _cable("copper cables", fabric.copper, hosts, 1.0)
    else:
        yield _end("modules at hosts", fabric.optics, "host_end", hosts, 1.0)
    yield from _switch_ends(tree, fabric, copper)
    fibres = between if copper else hosts + between
    yield _cable("fibre cables", fabric.optics, fibres, 0.0 if copper or not fibres else hosts / fibres)


def _switch_ends(tree: Tree, fabric: Fabric, copper: bool) -> Iterator[Part]:
    """Modules (or co-packaged engines) at switches, counted switch by switch: one holds ports of one switch only."""
    ports = int(fabric.optics["switch_end_ports"])
    count, facing_hosts = 0, 0.0
    for i, level in enumerate(tree.levels):
        for used in level.used:
            down = 0 if copper and i == 0 else used.down
            modules = used.switches * -(-(down + used.up) // ports)
            count += modules
            facing_hosts += modules * down / (down + used.up) if i == 0 and down else 0.0
    name = "co-packaged engines" if fabric.co_packaged else "modules at switches"
    yield _end(name, fabric.optics, "switch_end", count * fabric.planes, facing_hosts / count if count else 0.0)


def _end(name: str, link: Entry, end: str, count: int, alone: float) -> Part:
    usd, failures = float(link[f"{end}_usd"]), float(link[f"{end}_failures_per_year"])
    return Part(name, f"links/{link.id}", count, float(link[f"{end}_w"]), usd, failures, alone)


def _cable(name: str, link: Entry, count: int, alone: float) -> Part:
    watts = float(link["switch_end_w"]) + float(link["host_end_w"]) if link["medium"] == "copper" else 0.0
    failures = float(link["cable_failures_per_year"])
    return Part(name, f"links/{link.id}", count, watts, float(link["cable_usd"]), failures, alone)
