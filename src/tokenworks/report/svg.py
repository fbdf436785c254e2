"""Charts as inline SVG; colours are CSS classes, so one drawing is right in light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

from tokenworks.report.axes import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Axes, clock, text

Floats = NDArray[np.float64]
COLOURS = 5  # classes c0 … c4 of the page's style; lines beyond them are dashed


@dataclass(frozen=True)
class Series:
    """One line: its name, points, and the index of its colour."""

    name: str
    x: Floats
    y: Floats
    colour: int


def tone(index: int) -> str:
    """CSS classes of a service's colour."""
    return f"c{index % COLOURS}" + (" again" if index >= COLOURS else "")


def wrap(body: str, title: str, height: int = HEIGHT, extra: str = "") -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}" {extra}>'
        f"<title>{escape(title)}</title>{body}</svg>"
    )


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Heights for labels: near where they are wanted, at least ``gap`` apart, inside the chart.

    >>> spread([10.0, 12.0, 50.0], 10.0, 0.0, 60.0)
    [10.0, 20.0, 50.0]
    """
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    placed = list(wanted)
    floor = low
    for i in order:
        placed[i] = floor = max(placed[i], floor)
        floor += gap
    ceiling = high
    for i in reversed(order):
        placed[i] = ceiling = min(placed[i], ceiling)
        ceiling -= gap
    return placed


def timeline(title: str, series: Sequence[Series], limit: float = 0.0, limit_name: str = "") -> str:
    """Lines over time, each named at its end; the page's script moves one cursor through all timelines."""
    top = max([float(s.y.max()) for s in series] + [limit]) * 1.06 or 1.0
    x = series[0].x
    axes = Axes((float(x[0]), float(x[-1])), (0.0, top))
    body = axes.frame()
    if limit:
        body += level(axes, limit)
    body += "".join(f'<path class="line {tone(s.colour)}" d="{axes.line(s.x, s.y)}"/>' for s in series)
    ends = [(s.name, float(axes.py(s.y[-max(1, len(s.y) // 20) :].mean())), f"t{s.colour % COLOURS}") for s in series]
    body += names_at_ends([*ends, (limit_name, float(axes.py(limit)), "tlimit")] if limit else ends)
    return wrap(body + _cursor(), title, extra=_hover(series))


Stretch = tuple[float, float, float]  # from, to, value


def layers(title: str, series: Sequence[Series], limits: Sequence[Stretch] = (), limit_name: str = "") -> str:
    """Areas on top of each other, the first at the bottom; the cursor reads each layer and their sum. ``limits`` hold for
    stretches of x."""
    tops = np.cumsum([s.y for s in series], axis=0)
    x = series[0].x
    highest = max([float(tops.max()), *(value for _, _, value in limits)])
    axes = Axes((float(x[0]), float(x[-1])), (0.0, highest * 1.06 or 1.0))
    body = axes.frame()
    below, ends = np.zeros_like(x), []
    for s, top in zip(series, tops, strict=True):
        back = axes.line(x[::-1], below[::-1]).replace("M", "L", 1)
        body += f'<path class="area c{s.colour}" d="{axes.line(x, top)}{back}Z"/>'
        ends.append((s.name, float(axes.py((top + below)[-max(1, len(x) // 20) :].mean() / 2)), f"t{s.colour}"))
        below = top
    for first, last, value in limits:
        body += level(axes, value, float(axes.px(first)), float(axes.px(last)))
    if limits:
        ends.append((limit_name, float(axes.py(limits[-1][2])), "tlimit"))
    body += names_at_ends(ends) + _cursor()
    return wrap(body, title, extra=_hover([*series, Series("all", x, tops[-1], 0)]))


def _cursor() -> str:
    return f'<line class="cursor" x1="{LEFT}" x2="{LEFT}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" visibility="hidden"/>'


def level(axes: Axes, value: float, x1: float = LEFT, x2: float = WIDTH - RIGHT) -> str:
    y = float(axes.py(value))
    return f'<line class="limit" x1="{x1:g}" x2="{x2:g}" y1="{y:.1f}" y2="{y:.1f}"/>'


def names_at_ends(ends: Sequence[tuple[str, float, str]]) -> str:
    """Names right of the lines' ends, so that colour is not the only key: name, height, CSS class."""
    heights = spread([y for _, y, _ in ends], 14.0, TOP, HEIGHT - BOTTOM)
    said = []
    for (name, _, kind), y in zip(ends, heights, strict=True):
        said.append(text(WIDTH - RIGHT + 5, y + 4, name if len(name) <= 15 else name[:14] + "…", f"end {kind}"))
    return "".join(said)


def _hover(series: Sequence[Series]) -> str:
    """What the page's script needs: values, names, times, and where the plot lies."""
    values = ";".join(",".join(f"{v:.4g}" for v in s.y) for s in series)
    names = ";".join(s.name.replace(";", ",") for s in series)
    times = ",".join(clock(float(v), float(series[0].x[-1])) for v in series[0].x)
    return (
        f'class="timeline" tabindex="0" data-values="{values}" data-names="{escape(names)}" '
        f'data-times="{times}" data-left="{LEFT}" data-right="{RIGHT}" data-width="{WIDTH}"'
    )


def cdf(title: str, curves: Sequence[Series], limits: Sequence[tuple[float, int]]) -> str:
    """Cumulative shares over a logarithmic latency axis. A curve's x are the k + 1 edges of bins, its y their k
    counts; dashed vertical lines are objectives for the 95th percentile, which is the dashed horizontal line."""
    used = [c for c in curves if c.y.sum() > 0]
    if not used:
        return wrap(text(80, 60, "no request"), title)
    bounds = [filled(c) for c in used]
    low = min(float(x[0]) for x, _ in bounds)
    high = max([float(x[-1]) for x, _ in bounds] + [v for v, _ in limits])
    axes = Axes((max(low * 0.9, 1e-5), high * 1.15), (0.0, 1.0), log_x=True)
    body = axes.frame() + level(axes, 0.95)
    for curve, (x, share) in zip(used, bounds, strict=True):
        body += f'<path class="line {tone(curve.colour)}" d="{axes.line(np.maximum(x, 1e-5), share)}"/>'
    for value, colour in limits:
        x0 = float(axes.px(value))
        body += f'<line class="limit {tone(colour)}" x1="{x0:.1f}" x2="{x0:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
    return wrap(body + text(WIDTH - RIGHT + 5, float(axes.py(0.95)) + 4, "p95", "end tlimit"), title)


def filled(curve: Series) -> tuple[Floats, Floats]:
    """Edges and cumulative shares of a histogram without its empty ends."""
    used = np.flatnonzero(curve.y)
    first, last = int(used[0]), int(used[-1]) + 1
    counts = curve.y[first:last].astype(float)
    share = np.concatenate([[0.0], np.cumsum(counts) / counts.sum()])
    return curve.x[first : last + 1], share
