"""The tiers of a network as SVG: a few switches stand for all, the labels say how many."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import pairwise

from tokenworks.plan.topology.cluster import Topology

WIDTH, ROW, LEFT, RIGHT, TOP = 960, 92, 20, 500, 14
BOX_W, BOX_H, GAP = 34, 24, 10
SHOWN = 3  # switches of a pod, before the dots
Place = tuple[float, float]


def tiers_svg(found: Topology, style: str = "") -> str:
    """One row per tier, the highest on top, hosts at the bottom; lines are links from a switch to those above it."""
    levels = found.tree.levels
    height = TOP + ROW * len(levels) + BOX_H + 16
    rows = [_row(found, i, TOP + ROW * (len(levels) - 1 - i)) for i in range(len(levels))]
    hosts_y = TOP + ROW * len(levels)
    body = "".join(_wires(below, above) for below, above in pairwise(rows))
    body += _host_wires(rows[0], hosts_y) + "".join(_boxes(i, row) for i, row in enumerate(rows))
    body += _hosts(rows[0], hosts_y) + "".join(_label(found, i, rows[i][0][0][1]) for i in range(len(levels)))
    body += _host_label(found, hosts_y)
    title = f"Tiers of the network of {found.gpus:,} GPUs"
    return picture(title, height, body, style)


def picture(title: str, height: float, body: str, style: str, width: float = WIDTH) -> str:
    size = f' xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}"' if style else ""
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(title)}"{size}>'
        f"<title>{escape(title)}</title>{style}{body}</svg>"
    )


def _row(found: Topology, i: int, y: float) -> list[list[Place]]:
    """Places of the switches drawn, pod by pod: the first pod and the last, or the only one over the whole width."""
    level = found.tree.levels[i]
    pods = 2 if i == 0 and level.switches > 1 else min(2, level.pods)
    shown = min(2 * SHOWN if pods == 1 else SHOWN, level.switches if i == 0 else level.positions)
    width = (RIGHT - LEFT) / pods
    places = []
    for pod in range(pods):
        middle = LEFT + width * (pod + 0.5)
        start = middle - (shown * (BOX_W + GAP) - GAP) / 2
        places.append([(start + j * (BOX_W + GAP), y) for j in range(shown)])
    return places


def _wires(below: Sequence[Sequence[Place]], above: Sequence[Sequence[Place]]) -> str:
    lines = []
    for pod, boxes in enumerate(below):
        target = above[pod if len(above) == len(below) else 0]
        lines += [_wire(box, top) for box in boxes for top in target]
    return "".join(lines)


def _wire(below: Place, above: Place) -> str:
    x1, x2, y1, y2 = below[0] + BOX_W / 2, above[0] + BOX_W / 2, below[1], above[1] + BOX_H
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="grid"/>'


def _boxes(tier: int, row: Sequence[Sequence[Place]]) -> str:
    boxes = "".join(
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{BOX_W}" height="{BOX_H}" rx="4" class="bar c{(tier + 1) % 5}"/>'
        for pod in row
        for x, y in pod
    )
    dots = ""
    if len(row) > 1:
        middle, y = (LEFT + RIGHT) / 2, row[0][0][1] + BOX_H / 2 + 4
        dots = f'<text x="{middle:.1f}" y="{y:.1f}" text-anchor="middle">…</text>'
    return boxes + dots


def _host_wires(leaves: Sequence[Sequence[Place]], y: float) -> str:
    return "".join(
        f'<line x1="{x + BOX_W / 2 + d:.1f}" y1="{top + BOX_H:.1f}" x2="{x + BOX_W / 2 + d:.1f}" y2="{y:.1f}" class="grid"/>'
        for pod in leaves
        for x, top in pod
        for d in (-9, 0, 9)
    )


def _hosts(leaves: Sequence[Sequence[Place]], y: float) -> str:
    return "".join(
        f'<rect x="{pod[0][0] - 6:.1f}" y="{y:.1f}" width="{pod[-1][0] - pod[0][0] + BOX_W + 12:.1f}" height="{BOX_H}" '
        'rx="4" class="bar c0"/>'
        for pod in leaves
    )


def _label(found: Topology, i: int, y: float) -> str:
    level, planes = found.tree.levels[i], found.fabric.planes
    used = level.used[0]
    name = found.tiers[i]
    count = f"{level.switches * planes:,} {name}{'' if name == 'switch' else ' switches'}"
    pods = f" in {level.pods * planes:,} pods of {level.positions}" if i and level.pods > 1 else ""
    wire = "copper" if i == 0 and found.copper else "optics"
    up = f", {used.up} up" if used.up else ""
    return _said(y, f"{count}{pods}", f"{used.down} links down ({wire}){up}, {found.fabric.link_gb_s:g} GB/s each")


def _host_label(found: Topology, y: float) -> str:
    d = found.domain
    how = f"scale-up domains of {d.gpus} at {d.gb_s:,.0f} GB/s" if d.gpus > 1 else "no scale-up domain"
    return _said(
        y, f"{found.gpus:,} GPUs in {found.systems:,} systems", f"{how}; {found.nic_gb_s:g} GB/s into the network"
    )


def _said(y: float, first: str, second: str) -> str:
    return (
        f'<text x="{RIGHT + 20}" y="{y + 10:.1f}" class="name">{escape(first)}</text>'
        f'<text x="{RIGHT + 20}" y="{y + 28:.1f}" class="tick">{escape(second)}</text>'
    )
