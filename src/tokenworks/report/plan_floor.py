"""Racks of a plan from the front: its systems, on them the GPUs in the colour of the pool that works there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from itertools import groupby

from tokenworks import catalog
from tokenworks.plan.floor import Seat, Stand, pools
from tokenworks.plan.result import Option, Setup
from tokenworks.report.svg import tone
from tokenworks.report.topology_tiers import picture

WIDTH, LEFT = 960, 20
SIDE, STEP, PAD, GAP = 11, 13, 5, 14
MOST_ROWS = 3  # of racks of one kind; the others stand the same way


def floor_svg(option: Option, stands: Sequence[Stand], style: str = "") -> str:
    """Every kind of system in a row of racks of its own, or in several."""
    tones = {(i, role): n for n, (i, role, _) in enumerate(_pools(option))}
    body, y = _legend(option, tones), 34.0
    for _, of_kind in groupby(stands, key=lambda s: (s.system, s.pay)):
        drawn, y = _kind(option, list(of_kind), tones, y)
        body += drawn
    return picture("Racks of the plan from the front", y, body, style)


def _pools(option: Option) -> list[tuple[int, str, int]]:
    return [(i, role, gpus) for i, setup in enumerate(option.setups) for role, _, gpus in pools(setup)]


def _legend(option: Option, tones: dict[tuple[int, str], int]) -> str:
    x, parts = float(LEFT), []
    for (i, role, gpus), n in zip(_pools(option), tones.values(), strict=True):
        kind = "workers" if role == "worker" else f"{role} workers"
        said = f"{option.setups[i].service}: {kind} of {gpus} GPU{'s' if gpus > 1 else ''}"
        parts.append(_square(x, 8, n) + f'<text x="{x + 14:.0f}" y="17" class="name">{escape(said)}</text>')
        x += 34 + 6.9 * len(said)
    parts.append(_empty(x, 8) + f'<text x="{x + 14:.0f}" y="17" class="name">idle or spare</text>')
    return "".join(parts)


def _kind(option: Option, stands: list[Stand], tones: dict[tuple[int, str], int], y: float) -> tuple[str, float]:
    across = _across(stands[0].gpus)
    tall = math.ceil(stands[0].gpus / across) * STEP + 2 * PAD
    wide = across * STEP + 2 * PAD
    each = max(1, math.floor(1 / float(catalog.load("systems", stands[0].system)["racks"])))
    racks = [stands[i : i + each] for i in range(0, len(stands), each)]
    per_row = (WIDTH - 2 * LEFT) // (wide + GAP)
    shown = racks[: MOST_ROWS * per_row]
    body, high = "", each * (tall + PAD) + PAD
    for n, rack in enumerate(shown):
        x, top = LEFT + n % per_row * (wide + GAP), y + 20 + n // per_row * (high + GAP)
        body += _rack(option, rack, tones, x, top, wide, high, tall)
    left = len(racks) - len(shown)
    more = f"; {left:,} more racks are filled the same way" if left else ""
    paid = ", rented" if stands[0].pay == "rent" else ""
    head = f"{len(stands):,} × {stands[0].system}{paid} in {len(racks):,} rack{'s' if len(racks) > 1 else ''}{more}"
    title = f'<text x="{LEFT}" y="{y + 12:.1f}" class="name">{escape(head)}</text>'
    return title + body, y + 20 + math.ceil(len(shown) / per_row) * (high + GAP) + 8


def _across(gpus: int) -> int:
    """GPUs side by side: a tray of a rack has four, a server's eight stand in a line."""
    return min(gpus, 4 if 8 < gpus <= 72 else 8)


def _rack(
    option: Option, rack: list[Stand], tones: dict[tuple[int, str], int], x: float, y: float, wide: int, high: int,
    tall: int,
) -> str:  # fmt: skip
    body = f'<rect x="{x - 4:.1f}" y="{y:.1f}" width="{wide + 8}" height="{high}" rx="4" class="grid" fill="none"/>'
    for place, stand in enumerate(rack):
        top = y + PAD + place * (tall + PAD)
        dashed = ' stroke-dasharray="3 3"' if stand.spare else ""
        body += (
            f'<rect x="{x:.1f}" y="{top:.1f}" width="{wide}" height="{tall}" rx="3" class="grid" fill="none"{dashed}/>'
        )
        body += _gpus(option, stand, tones, x + PAD, top + PAD)
    return body


def _gpus(option: Option, stand: Stand, tones: dict[tuple[int, str], int], x: float, y: float) -> str:
    across, taken, drawn = _across(stand.gpus), 0, ""
    for seat in stand.seats:
        squares = "".join(
            _square(x + i % across * STEP, y + i // across * STEP, tones[seat.setup, seat.role], seat.number % 2 == 0)
            for i in range(taken, taken + seat.gpus)
        )
        drawn += f"<g><title>{escape(_said(option.setups[seat.setup], seat))}</title>{squares}</g>"
        taken += seat.gpus
    return drawn + "".join(_empty(x + i % across * STEP, y + i // across * STEP) for i in range(taken, stand.gpus))


def _said(setup: Setup, seat: Seat) -> str:
    return f"{setup.service}, {seat.role} {seat.number}: {seat.gpus} GPU{'s' if seat.gpus > 1 else ''} here"


def _square(x: float, y: float, colour: int, pale: bool = False) -> str:
    """Neighbours among the workers of a pool are told apart by their strength."""
    weak = ' opacity=".55"' if pale else ""
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{SIDE}" height="{SIDE}" rx="2" class="bar {tone(colour)}"{weak}/>'


def _empty(x: float, y: float) -> str:
    return f'<rect x="{x + 0.5:.1f}" y="{y + 0.5:.1f}" width="{SIDE - 1}" height="{SIDE - 1}" rx="2" class="grid" fill="none"/>'
