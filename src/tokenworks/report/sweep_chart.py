"""Charts of a sweep: a figure over the first axis, a line for each value of the second, or dots of a sample."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from tokenworks.report.axes import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, label, nice_ticks, text
from tokenworks.report.svg import names_at_ends, tone, wrap

MOST_LINES = 8
ROOM = 14  # pixels between the frame and the outermost points
_NUMBER = re.compile(r"\$?(\d+\.?\d*(?:e[+-]?\d+)?|\.\d+)(.*)")


@dataclass(frozen=True)
class Dot:
    """One point of a chart: where it stands on both axes (as written), its figure, how it is told."""

    x: str
    line: str
    y: float
    said: str
    best: bool = False
    good: bool = True


def places(values: Sequence[str]) -> tuple[dict[str, float], bool]:
    """Where values stand, and whether that is a scale: numbers of one unit in proportion, else words in their order.

    >>> places(["1", "2", "8"]), places(["fp8", "nvfp4"])
    (({'1': 1.0, '2': 2.0, '8': 8.0}, True), ({'fp8': 0.0, 'nvfp4': 1.0}, False))
    """
    distinct = list(dict.fromkeys(values))
    found = [_NUMBER.fullmatch(v.strip()) for v in distinct]
    if all(found) and len({m.group(2).strip() for m in found if m}) == 1 and len(distinct) > 1:
        return {v: float(m.group(1)) for v, m in zip(distinct, found, strict=True) if m}, True
    return {v: float(i) for i, v in enumerate(distinct)}, False


def chart(title: str, dots: Sequence[Dot], joined: bool) -> str:
    """``joined``: dots of a line are connected from left to right."""
    x, scale = places([d.x for d in dots])
    low, high = min(x.values()), max(x.values())
    top = max([d.y for d in dots], default=1.0) * 1.08 or 1.0
    wide, tall = WIDTH - LEFT - RIGHT - 2 * ROOM, HEIGHT - TOP - BOTTOM
    px = lambda value: LEFT + ROOM + ((value - low) / (high - low) if high > low else 0.5) * wide  # noqa: E731
    py = lambda value: HEIGHT - BOTTOM - value / top * tall  # noqa: E731
    body = "".join(_level(v, py(v)) for v in nice_ticks(0.0, top, 4))
    marks = nice_ticks(low, high, 6) if scale and len(x) > 8 else []
    for i, (place, said) in enumerate([(v, label(v)) for v in marks] or [(p, v) for v, p in x.items()]):
        body += text(px(place), HEIGHT - 6, said[:14], "tick alt" if i % 2 else "tick", "middle")
    ends = []
    for number, name in enumerate(dict.fromkeys(d.line for d in dots)):
        mine = sorted((d for d in dots if d.line == name), key=lambda d: x[d.x])
        if joined and len(mine) > 1:
            path = "L".join(f"{px(x[d.x]):.1f},{py(d.y):.1f}" for d in mine)
            body += f'<path class="line {tone(number)}" d="M{path}"/>'
        body += "".join(_dot(px(x[d.x]), py(d.y), d, number) for d in mine)
        ends.append((name, py(mine[-1].y), f"t{number % 5}"))
    return wrap(body + (names_at_ends(ends) if len(ends) > 1 else ""), title)


def _level(value: float, y: float) -> str:
    line = f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
    return line + text(LEFT - 6, y + 4, label(value), anchor="end")


def _dot(x: float, y: float, dot: Dot, number: int) -> str:
    """Filled: does what is asked; hollow: does not; a ring around the best."""
    fill = f"var(--c{number % 5})" if dot.good else "var(--card)"
    ring = (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="9" fill="none" stroke="var(--good)" stroke-width="2.5"/>'
        if dot.best
        else ""
    )
    return (
        f'<g><title>{escape(dot.said)}</title>{ring}<circle class="c{number % 5}" cx="{x:.1f}" cy="{y:.1f}" r="4.5" '
        f'style="fill:{fill}" stroke-width="1.8"/></g>'
    )
