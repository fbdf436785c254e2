"""Axes of a chart: data to pixels, round ticks, the frame as SVG."""

from __future__ import annotations

import math
from html import escape

import numpy as np
from numpy.typing import NDArray

from tokenworks.report.figures import seconds

Floats = NDArray[np.float64]
WIDTH, HEIGHT = 720, 228
LEFT, RIGHT, TOP, BOTTOM = 56, 98, 12, 34


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round values that span a range."""
    if high <= low:
        high = low + 1
    raw = (high - low) / count
    base = 10.0 ** math.floor(math.log10(raw))
    step = base * min((1, 2, 2.5, 5, 10), key=lambda m: abs(m * base - raw))
    first = math.ceil(low / step - 1e-9)
    return [step * k for k in range(first, math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2, 5 of every decade, or the decades alone where there are many."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if math.log10(high / low) <= 3 else (1,)
    fine = [m * 10.0**d for d in decades for m in steps]
    return [v for v in fine if low * (1 - 1e-9) <= v <= high * (1 + 1e-9)]


def label(value: float) -> str:
    """A short axis label."""
    for factor, mark in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor:
            return f"{value / factor:.4g}{mark}"
    return f"{value:.4g}"


def text(x: float, y: float, said: str, kind: str = "tick", anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(said)}</text>'


class Axes:
    """Maps data to pixels of one chart. The x axis is in seconds, on request logarithmic."""

    def __init__(self, x: tuple[float, float], y: tuple[float, float], log_x: bool = False):
        self.log_x = log_x
        self.x0, self.x1 = (math.log10(x[0]), math.log10(x[1])) if log_x else x
        self.y0, self.y1 = y
        self.x1, self.y1 = max(self.x1, self.x0 + 1e-9), max(self.y1, self.y0 + 1e-9)

    def px(self, x: Floats | float) -> Floats:
        value = np.log10(np.maximum(x, 1e-12)) if self.log_x else np.asarray(x, float)
        return np.asarray(LEFT + (value - self.x0) / (self.x1 - self.x0) * (WIDTH - LEFT - RIGHT))

    def py(self, y: Floats | float) -> Floats:
        share = (np.asarray(y, float) - self.y0) / (self.y1 - self.y0)
        return np.asarray(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM))

    def frame(self) -> str:
        """Grid lines and tick labels; the caption of the figure names the unit."""
        parts = []
        for v in nice_ticks(self.y0, self.y1, 4):
            y = float(self.py(v))
            parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
            parts.append(text(LEFT - 6, y + 4, label(v), anchor="end"))
        for i, (v, said) in enumerate(self._x_ticks()):
            kind = "tick alt" if i % 2 else "tick"
            parts.append(text(float(self.px(v)), HEIGHT - 6, said, kind, "middle"))
        return "".join(parts)

    def _x_ticks(self) -> list[tuple[float, str]]:
        if self.log_x:
            return [(v, seconds(v)) for v in log_ticks(10**self.x0, 10**self.x1)]
        unit_s, _ = clock_unit(self.x1)
        ticks = nice_ticks(self.x0 / unit_s, self.x1 / unit_s, 7)
        return [(v * unit_s, clock(v * unit_s, self.x1)) for v in ticks]

    def line(self, x: Floats, y: Floats) -> str:
        """SVG path data of a polyline."""
        points = (f"{a:.1f},{b:.1f}" for a, b in zip(self.px(x), self.py(y), strict=True))
        return "M" + "L".join(points)


def clock_unit(span_s: float) -> tuple[float, str]:
    """The unit for moments of a run of this length: seconds and name."""
    known = ((86_400.0, "d"), (3600.0, "h"), (60.0, "min"))
    return next(((unit_s, mark) for unit_s, mark in known if span_s >= 3 * unit_s), (1.0, "s"))


def clock(value_s: float, span_s: float) -> str:
    """A moment of a run.

    >>> clock(450.0, 3600.0), clock(90.0, 120.0), clock(5400.0, 86_400.0)
    ('7.5 min', '90 s', '1.5 h')
    """
    unit_s, mark = clock_unit(span_s)
    return f"{value_s / unit_s:.4g} {mark}"
