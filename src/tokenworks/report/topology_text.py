"""A topology as text of at most 80 columns, and as JSON types."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

from tokenworks import catalog
from tokenworks.catalog import Entry
from tokenworks.plan.topology.bill import Part
from tokenworks.plan.topology.cluster import Topology
from tokenworks.plan.topology.placement import reaches
from tokenworks.plan.topology.racks import network_racks, zones
from tokenworks.report.files import plain

WIDTH = 80


def topology_text(found: Topology) -> str:
    """The answer first, then tiers, parts, racks and what the figures rest on."""
    return "\n".join([*_head(found), "", *_tiers(found), "", *_parts(found), "", *_notes(found)])


def headline(found: Topology) -> str:
    system = found.system.name.removeprefix("NVIDIA ")
    return f"{found.gpus:,} GPUs: {found.systems:,} x {system}"


def wiring(found: Topology) -> str:
    """One sentence on the network."""
    fabric, count = found.fabric, len(found.tree.levels)
    ratio = ":".join(f"{float(o):g}" for o in found.oversubscription if o != 1)
    planes = f"{fabric.planes} planes of " if fabric.planes > 1 else ""
    over = f", oversubscribed {ratio}" if ratio else ""
    return (
        f"{fabric.entry.name}: {found.layout} layout, {planes}{count} tier{'s' if count > 1 else ''} of switches with "
        f"{fabric.radix} links of {fabric.link_gb_s:g} GB/s{over}. Any half of the GPUs sends "
        f"{found.bisection_gb_s / 1e3:,.1f} TB/s to the other, {2 * found.bisection_gb_s / found.gpus:.3g} GB/s each."
    )


def _head(found: Topology) -> list[str]:
    return [*textwrap.wrap(headline(found), WIDTH), *textwrap.wrap(wiring(found), WIDTH)]


def tier_rows(found: Topology) -> Iterator[tuple[str, str, str, str, str]]:
    """Tier, switches, links down and up of one, all links down, its place in pods."""
    for name, level in zip(found.tiers, found.tree.levels, strict=True):
        used = level.used[0]
        pods = f"{level.pods * found.fabric.planes:,} pods" if level.positions > 1 and level.pods > 1 else ""
        yield (
            name,
            f"{level.switches * found.fabric.planes:,}",
            f"{used.down} + {used.up}",
            f"{level.down_links * found.fabric.planes:,}",
            pods,
        )


def reach_rows(found: Topology) -> Iterator[tuple[str, str, str, str]]:
    """What GPUs reach within a level: how many, over how many switches, at what bandwidth each."""
    for reach in reaches(found):
        yield reach.name, f"{reach.gpus:,}", f"{reach.hops}", f"{reach.gb_s:.4g}"


def _tiers(found: Topology) -> list[str]:
    lines = [f"{'tier':12}{'switches':>10}{'down + up':>12}{'links down':>14}"]
    lines += [f"{a:12}{b:>10}{c:>12}{d:>14}  {e}".rstrip() for a, b, c, d, e in tier_rows(found)]
    lines += ["", f"{'together in':12}{'GPUs':>10}{'hops':>12}{'GB/s each':>14}"]
    return [*lines, *(f"{a:12}{b:>10}{c:>12}{d:>14}" for a, b, c, d in reach_rows(found))]


def part_rows(found: Topology) -> Iterator[tuple[str, int, float, float, float]]:
    """Name, count, W, USD and failures a day of each line, then of all."""
    for part in found.bill.parts:
        yield part.name, part.count, part.count * part.watts, part.count * part.usd, _per_day(part)
    extra = found.domain
    if extra.between_systems:
        yield (
            f"domains of {extra.gpus}",
            found.domains,
            found.domains * extra.extra_w,
            found.domains * extra.extra_usd,
            found.domains * extra.extra_failures_per_day,
        )
    yield "all", 0, found.network_w, found.usd, found.failures_per_day


def _per_day(part: Part) -> float:
    return part.count * part.failures_per_year / 365.25


def _parts(found: Topology) -> list[str]:
    lines = [f"{'part':22}{'count':>12}{'kW':>12}{'1000 USD':>14}{'failures/day':>15}"]
    for name, count, watts, usd, failures in part_rows(found):
        said = f"{count:,}" if count else ""
        lines.append(f"{name:22}{said:>12}{watts / 1e3:>12,.1f}{usd / 1e3:>14,.0f}{failures:>15.3f}")
    return lines


def remarks(found: Topology) -> list[str]:
    """Sentences under the tables."""
    watts = f"{found.network_w / found.gpus:,.0f} W and {found.usd / found.gpus:,.0f} USD a GPU"
    said = [
        f"{found.compute_racks:,} racks of systems, {network_racks(found):,} of switches; the network takes {watts}. "
        f"{found.bill.cut_off_per_day:.3g} failures a day cut a host's link or a leaf off, the others are routed around.",
        _domain(found),
    ]
    if found.copper:
        said.append("Links of hosts are copper: the hosts of a leaf stand in one rack with it.")
    if found.fabric.idle_share > 0.01:
        said.append(f"Links are slower than ports: {found.fabric.idle_share:.0%} of the switches' bandwidth lies idle.")
    return [*said, rests_on(found)]


def _domain(found: Topology) -> str:
    d = found.domain
    if d.fabric == "none":
        return "GPUs of a server meet over PCIe: there is no scale-up domain."
    extra = f" (optical between systems: {d.between_systems:,})" if d.between_systems else ""
    joined = f"{d.chips:,} switch chips and {d.links:,} links{extra}" if d.chips else "switches"
    if not d.hops:
        joined = f"{d.links:,} wires from GPU to GPU"
    return f"{found.domains:,} domains ({d.fabric}) of {d.gpus} GPUs, each joined by {joined}."


def used_facts(found: Topology) -> Iterator[tuple[Entry, str]]:
    """Entries and keys of the facts behind watts, dollars and failures."""
    entries = dict.fromkeys(part.entry for part in found.bill.parts)
    for name in entries:
        kind, _, entry_id = name.partition("/")
        entry = catalog.load(kind, entry_id)
        yield from ((entry, key) for key in entry.facts if key.endswith(("_w", "_usd", "failures_per_year")))


def rests_on(found: Topology) -> str:
    """How sure the figures are, and where they stand."""
    facts = list(used_facts(found))
    of = {s: [k for e, k in facts if e.fact(k).status == s] for s in ("measured", "published", "claim", "assumed")}
    counted = ", ".join(f"{len(keys)} {status}" for status, keys in of.items() if keys)
    entries = ", ".join(dict.fromkeys(f"{e.kind}/{e.id}" for e, _ in facts))
    return f"Watts, dollars and failure rates: {counted} (`tokenworks catalog show` {entries})."


def _notes(found: Topology) -> list[str]:
    return [line for text in remarks(found) for line in textwrap.wrap(text, WIDTH, break_on_hyphens=False)]


def topology_json(found: Topology) -> dict[str, Any]:
    """Counts, parts, reaches and zones as JSON types; watts, dollars and rates per piece and in all."""
    return {
        "format": "tokenworks-topology-1",
        "system": found.system.id,
        "systems": found.systems,
        "gpus": found.gpus,
        "fabric": found.fabric.entry.id,
        "optics": "cpo" if found.fabric.co_packaged else "pluggable",
        "layout": found.layout,
        "oversubscription": [float(o) for o in found.oversubscription],
        "planes": found.fabric.planes,
        "radix": found.fabric.radix,
        "link_gb_s": found.fabric.link_gb_s,
        "copper_to_hosts": found.copper,
        "tiers": [
            {
                "name": name,
                "switches": level.switches * found.fabric.planes,
                "pods": level.pods,
                "switches_per_pod": level.positions,
                "down_links": level.down_links * found.fabric.planes,
                "up_links": level.up_links * found.fabric.planes,
            }
            for name, level in zip(found.tiers, found.tree.levels, strict=True)
        ],
        "parts": plain(list(found.bill.parts)),
        "domain": plain(found.domain),
        "domains": found.domains,
        "reaches": plain(list(reaches(found))),
        "zones": plain(list(zones(found))),
        "bisection_gb_s": found.bisection_gb_s,
        "compute_racks": found.compute_racks,
        "network_racks": network_racks(found),
        "network_w": found.network_w,
        "usd": found.usd,
        "failures_per_day": found.failures_per_day,
        "cut_off_per_day": found.bill.cut_off_per_day,
    }
