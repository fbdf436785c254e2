"""Charts as inline SVG; colours are CSS variables so that one drawing is right in light and dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
WIDTH, HEIGHT = 720, 210
LEFT, RIGHT, TOP, BOTTOM = 58, 12, 18, 34


@dataclass(frozen=True)
class Series:
    """One line: its name, points, and the index of its colour."""

    name: str
    x: Floats
    y: Floats
    colour: int


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round values that span a range."""
    if high <= low:
        high = low + 1
    raw = (high - low) / count
    base = 10.0 ** math.floor(math.log10(raw))
    step = base * min((1, 2, 2.5, 5, 10), key=lambda m: abs(m * base - raw))
    first = math.ceil(low / step - 1e-9)
    return [step * k for k in range(first, math.floor(high / step + 1e-9) + 1)]


def label(value: float) -> str:
    """A short axis label."""
    for factor, mark in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor:
            return f"{value / factor:.4g}{mark}"
    return f"{value:.4g}"


class Axes:
    """Maps data to pixels of one chart."""

    def __init__(self, x: tuple[float, float], y: tuple[float, float], log_x: bool = False, height: int = HEIGHT):
        self.log_x, self.height = log_x, height
        self.x0, self.x1 = (math.log10(x[0]), math.log10(x[1])) if log_x else x
        self.y0, self.y1 = y
        self.x1, self.y1 = max(self.x1, self.x0 + 1e-9), max(self.y1, self.y0 + 1e-9)

    def px(self, x: Floats | float) -> Floats:
        value = np.log10(np.maximum(x, 1e-12)) if self.log_x else np.asarray(x, float)
        return np.asarray(LEFT + (value - self.x0) / (self.x1 - self.x0) * (WIDTH - LEFT - RIGHT))

    def py(self, y: Floats | float) -> Floats:
        return np.asarray(
            self.height - BOTTOM - (np.asarray(y, float) - self.y0) / (self.y1 - self.y0) * (self.height - TOP - BOTTOM)
        )

    def frame(self, x_title: str, y_title: str) -> str:
        parts = []
        for v in nice_ticks(self.y0, self.y1, 4):
            y = float(self.py(v))
            parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
            parts.append(f'<text class="tick" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{label(v)}</text>')
        for v in self._x_ticks():
            x = float(self.px(v))
            parts.append(
                f'<text class="tick" x="{x:.1f}" y="{self.height - 17}" text-anchor="middle">{label(v)}</text>'
            )
        parts.append(
            f'<text class="tick" x="{WIDTH - RIGHT}" y="{self.height - 3}" text-anchor="end">{escape(x_title)}</text>'
        )
        parts.append(f'<text class="tick" x="4" y="9">{escape(y_title)}</text>')
        return "".join(parts)

    def _x_ticks(self) -> list[float]:
        if not self.log_x:
            return nice_ticks(self.x0, self.x1, 7)
        decades = range(math.ceil(self.x0 - 1e-9), math.floor(self.x1 + 1e-9) + 1)
        if self.x1 - self.x0 > 3:
            return [10.0**d for d in decades]
        fine = [m * 10.0**d for d in range(math.floor(self.x0), math.ceil(self.x1) + 1) for m in (1, 2, 5)]
        return [v for v in fine if self.x0 - 1e-9 <= math.log10(v) <= self.x1 + 1e-9]


def path(axes: Axes, x: Floats, y: Floats, step: bool = False) -> str:
    """SVG path data of a polyline (or steps)."""
    px, py = axes.px(x), axes.py(y)
    points = [f"{a:.1f},{b:.1f}" for a, b in zip(px, py, strict=True)]
    if not step:
        return "M" + "L".join(points)
    out = [points[0]]
    for i in range(1, len(points)):
        out += [f"{px[i]:.1f},{py[i - 1]:.1f}", points[i]]
    return "M" + "L".join(out)


def wrap(body: str, title: str, height: int = HEIGHT, extra: str = "") -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}" {extra}>'
        f"<title>{escape(title)}</title>{body}</svg>"
    )


def timeline(
    title: str, unit: str, series: Sequence[Series], limit: float = 0.0, limit_name: str = "", named: bool = False
) -> str:
    """Lines over time; a cursor (drawn by the page's script) is shared by all timelines."""
    top = max([float(s.y.max()) for s in series] + [limit]) * 1.06 or 1.0
    x = series[0].x
    axes = Axes((float(x[0]), float(x[-1])), (0.0, top))
    body = axes.frame("s", unit)
    for s in series:
        body += f'<path class="line c{s.colour}" d="{path(axes, s.x, s.y)}"/>'
        if named:
            y = float(axes.py(s.y[-1])) - 5
            body += f'<text class="tick" x="{WIDTH - RIGHT - 4}" y="{y:.1f}" text-anchor="end">{escape(s.name)}</text>'
    if limit:
        y = float(axes.py(limit))
        body += f'<line class="limit" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        body += f'<text class="tick" x="{WIDTH - RIGHT}" y="{y - 4:.1f}" text-anchor="end">{escape(limit_name)}</text>'
    body += f'<line class="cursor" x1="0" x2="0" y1="{TOP}" y2="{HEIGHT - BOTTOM}" visibility="hidden"/>'
    values = ";".join(",".join(f"{v:.4g}" for v in s.y) for s in series)
    names = ";".join(s.name for s in series)
    data = (
        f'class="timeline" tabindex="0" data-values="{values}" data-names="{escape(names)}" data-unit="{escape(unit)}"'
    )
    return wrap(body, title, extra=data)


def cdf(title: str, curves: Sequence[tuple[str, Floats, Floats, int]], limits: Sequence[tuple[float, int]]) -> str:
    """Cumulative shares over a logarithmic latency axis; vertical lines are objectives."""
    used = [c for c in curves if len(c[2])]
    if not used:
        return wrap('<text class="tick" x="80" y="60">no samples</text>', title)
    low = min(float(c[1][1]) for c in used)
    high = max(float(c[1][-1]) for c in used)
    axes = Axes((max(low * 0.8, 1e-5), max([high] + [v for v, _ in limits]) * 1.2), (0.0, 1.0), log_x=True)
    body = axes.frame("s", "share of requests")
    for _, edges, counts, colour in used:
        share = np.concatenate([[0.0], np.cumsum(counts) / counts.sum()])
        body += f'<path class="line c{colour}" d="{path(axes, np.maximum(edges, 1e-5), share)}"/>'
    for value, colour in limits:
        x = float(axes.px(value))
        body += f'<line class="limit c{colour}" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
    return wrap(body, title)


def waterfall(title: str, parts: Sequence[tuple[str, float, str]]) -> str:
    """Bars that add up, left to right, then the total. Parts: (label, value, text)."""
    height = 34 + 24 * (len(parts) + 1)
    total = sum(v for _, v, _ in parts) or 1.0
    span, start, body = WIDTH - 320.0, 0.0, ""
    rows = [*parts, ("total", total, "")]
    for i, (name, value, text) in enumerate(rows):
        y = 16 + 24 * i
        x = 190 + (0 if name == "total" else start / total * span)
        width = max(1.0, value / total * span)
        body += f'<text class="name" x="182" y="{y + 14}" text-anchor="end">{escape(name)}</text>'
        body += f'<rect class="bar {"ct" if name == "total" else "c0"}" x="{x:.1f}" y="{y}" width="{width:.1f}" height="18"/>'
        shown = text or f"{value:.4g}"
        body += f'<text class="tick" x="{x + width + 6:.1f}" y="{y + 14}">{escape(shown)}</text>'
        start += value
    return wrap(body, title, height)


def sankey(title: str, columns: Sequence[Sequence[tuple[str, float, str, int]]]) -> str:
    """Energy from left to right. Each column: (label, value, parent label, colour); values of children sum to
    their parent's. Ribbons keep their order, so none cross."""
    height, total = 330, sum(v for _, v, _, _ in columns[0]) or 1.0
    gap, bar = 26, 14
    scale = (height - 90) / total
    step = (WIDTH - 230) / max(1, len(columns) - 1)
    place: dict[str, tuple[float, float]] = {}
    taken: dict[str, float] = {}
    body = ""
    for depth, column in enumerate(columns):
        x, y = 8 + depth * step, 16.0
        for name, value, parent, colour in column:
            h = max(1.0, value * scale)
            body += f'<rect class="bar c{colour}" x="{x:.1f}" y="{y:.1f}" width="{bar}" height="{h:.1f}"/>'
            body += f'<text class="name" x="{x + bar + 5:.1f}" y="{y + min(h, 22) / 2 + 4:.1f}">{escape(name)} {value / total:.0%}</text>'
            if parent:
                px, py = place[parent]
                start = py + taken.get(parent, 0.0)
                taken[parent] = taken.get(parent, 0.0) + h
                middle = (px + bar + x) / 2
                body = (
                    f'<path class="ribbon c{colour}" d="M{px + bar:.1f},{start:.1f} C{middle:.1f},{start:.1f} {middle:.1f},{y:.1f} {x:.1f},{y:.1f}'
                    f' L{x:.1f},{y + h:.1f} C{middle:.1f},{y + h:.1f} {middle:.1f},{start + h:.1f} {px + bar:.1f},{start + h:.1f} Z"/>'
                ) + body
            place[name] = (x, y)
            y += h + gap
    return wrap(body, title, height)
