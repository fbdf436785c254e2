"""The floor as SVG: one area of each kind, a square per rack (or per so many)."""

from __future__ import annotations

import math
from html import escape

from tokenworks.plan.topology.cluster import Topology
from tokenworks.plan.topology.racks import Zone, zones
from tokenworks.report.topology_tiers import picture

WIDTH, SIDE, STEP, LEFT = 960, 14, 17, 20
PER_ROW = (WIDTH - 2 * LEFT) // STEP
MOST = 8 * PER_ROW  # squares of one area; beyond them a square stands for several racks


def racks_svg(found: Topology, style: str = "") -> str:
    """Areas from top to bottom; systems first, then the racks of switches tier by tier."""
    body, y = "", 8.0
    for zone in zones(found):
        drawn, y = _zone(found, zone, y)
        body += drawn
    return picture(f"Racks of {found.gpus:,} GPUs", y, body, style)


def _zone(found: Topology, zone: Zone, y: float) -> tuple[str, float]:
    parts = [("systems", zone.systems, 0)] if zone.systems else []
    parts += [(_named(tier), racks, 1 + found.tiers.index(tier)) for tier, racks in zone.switches]
    each = max(1, math.ceil(sum(racks for _, racks, _ in parts) / MOST))
    squares = [tone for _, racks, tone in parts for _ in range(math.ceil(racks / each))]
    said = ", ".join(f"{_number(racks)} of {name}" for name, racks, _ in parts)
    scale = f"; one square is {each} racks" if each > 1 else ""
    pod = f"One of {zone.count:,} pods" if zone.count > 1 else "One pod"
    title = {"all": "All", "centre": "Centre"}.get(zone.name, pod)
    head = f'<text x="{LEFT}" y="{y + 12:.1f}" class="name">{escape(f"{title}, racks: {said}{scale}")}</text>'
    top = y + 22
    boxes = "".join(
        f'<rect x="{LEFT + i % PER_ROW * STEP}" y="{top + i // PER_ROW * STEP:.1f}" width="{SIDE}" height="{SIDE}" '
        f'rx="2" class="bar c{tone % 5}"/>'
        for i, tone in enumerate(squares)
    )
    return head + boxes, top + math.ceil(len(squares) / PER_ROW) * STEP + 14


def _named(tier: str) -> str:
    """Leaf switches; of a network of one tier switches."""
    return "switches" if tier == "switch" else f"{tier} switches"


def _number(racks: float) -> str:
    return f"{racks:,.0f}" if abs(racks - round(racks)) < 0.05 else f"{racks:,.1f}"
