"""Parity charts as SVG files: predicted over measured on equal logarithmic axes, small panels side by side.

Each file carries its own style and background, so that it is right in light and dark wherever it is shown.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

from tokenworks.report.axes import label, log_ticks, text
from tokenworks.report.page_style import DARK, LIGHT

Floats = NDArray[np.float64]
COLUMNS = 4
KINDS = 6  # colours
PLOT = 190  # pixels of a panel's square
LEFT, HEAD, FOOT = 46, 40, 26  # around the square
TOP = 76  # title, how to read it, legend
BANDS = ((1.25, "wide"), (1.10, "narrow"))
TICKS = 5
HOW = "across: measured, up: predicted; line: equal, bands ±10% and ±25%"
_TONES = "".join(f".k{i}{{stroke:var(--c{i})}}" for i in range(KINDS))
_STYLE = (
    f":root{{{LIGHT}}}@media(prefers-color-scheme:dark){{:root{{{DARK}}}}}{_TONES}"
    "text{fill:var(--fg);font:12px system-ui,sans-serif}.title{font-size:15px;font-weight:600}.head{font-weight:600}"
    ".tick{fill:var(--dim);font-size:11px}.ground{fill:var(--bg)}.plot{fill:var(--card);stroke:var(--line)}"
    ".grid{stroke:var(--line);stroke-width:.6}.equal{stroke:var(--fg);stroke-width:.9}"
    ".wide{fill:var(--dim);opacity:.13}.narrow{fill:var(--dim);opacity:.17}"
    ".dots{fill:none;stroke-width:3;stroke-linecap:round;opacity:.5}.square{stroke-linecap:square;stroke-width:2.4}.sign{opacity:1;stroke-width:7}"
)


@dataclass(frozen=True)
class Panel:
    """One square: what was measured and predicted (positive, same unit), and the kind of each point (index)."""

    title: str
    note: str
    measured: Floats
    predicted: Floats
    kind: NDArray[np.int64]


def parity(title: str, panels: Sequence[Panel], kinds: Sequence[str]) -> str:
    """The file: panels in rows, bands of 10 and 25% around equality, a legend of the kinds that occur."""
    columns = min(COLUMNS, len(panels))
    cell_w, cell_h = LEFT + PLOT + 14, HEAD + PLOT + FOOT
    width = max(500, columns * cell_w + 8)
    height = TOP + math.ceil(len(panels) / columns) * cell_h + 8
    used = sorted({int(k) for panel in panels for k in panel.kind})
    body = text(12, 22, title, "title") + text(12, 39, HOW, "tick") + _legend([(k, kinds[k]) for k in used])
    for number, panel in enumerate(panels):
        row, column = divmod(number, columns)
        body += f'<g transform="translate({column * cell_w},{TOP + row * cell_h})">{_panel(panel)}</g>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label="{escape(title)}"><title>{escape(title)}</title><style>{_STYLE}</style>'
        f'<rect class="ground" width="{width}" height="{height}"/>{body}</svg>\n'
    )


def _legend(kinds: Sequence[tuple[int, str]]) -> str:
    x, found = 16.0, ""
    for kind, name in kinds:
        found += f'<path class="dots {_shape(kind)} sign" d="M{x:.0f} 54h0"/>' + text(x + 9, 58, name)
        x += 30 + 6.6 * len(name)
    return found


def _shape(kind: int) -> str:
    """Colour, and squares for every other kind, so that colour is not the only key."""
    return f"k{kind % KINDS}" + (" square" if kind % 2 else "")


def _panel(panel: Panel) -> str:
    low, high = _range(np.concatenate([panel.measured, panel.predicted]))
    scale = PLOT / math.log(high / low)
    place = lambda value: np.log(np.asarray(value) / low) * scale  # noqa: E731
    grid, ticks = "", ""
    for value in _ticks(low, high):
        at = float(place(value))
        grid += f'<path class="grid" d="M{at:.1f} 0V{PLOT}M0 {PLOT - at:.1f}H{PLOT}"/>'
        ticks += text(LEFT + at, HEAD + PLOT + 15, label(value), "tick", "middle")
        ticks += text(LEFT - 5, HEAD + PLOT - at + 4, label(value), "tick", "end")
    inside = grid + "".join(_band(math.log(by) * scale, kind) for by, kind in BANDS)
    inside += f'<path class="equal" d="M0 {PLOT}L{PLOT} 0"/>'
    inside += _dots(place(panel.measured), PLOT - place(panel.predicted), panel.kind)
    return (
        text(LEFT, 16, panel.title, "head")
        + text(LEFT, 32, panel.note, "tick")
        + f'<rect class="plot" x="{LEFT}" y="{HEAD}" width="{PLOT}" height="{PLOT}"/>'
        + f'<svg x="{LEFT}" y="{HEAD}" width="{PLOT}" height="{PLOT}" viewBox="0 0 {PLOT} {PLOT}">{inside}</svg>{ticks}'
    )


def _range(values: Floats) -> tuple[float, float]:
    """All values with a margin; at least a factor of two, so that bands are seen."""
    low, high = float(values.min()), float(values.max())
    margin = max(1.08, math.sqrt(2 * low / high))
    return low / margin, high * margin


def _ticks(low: float, high: float) -> list[float]:
    """Round values: few enough to be read."""
    found = log_ticks(low, high)
    if len(found) > TICKS:
        found = [v for v in found if abs(math.log10(v) - round(math.log10(v))) < 1e-9]
    return found[:: math.ceil(len(found) / TICKS)] if found else found


def _band(offset: float, kind: str) -> str:
    top, bottom = f"0 {PLOT - offset:.1f}L{PLOT} {-offset:.1f}", f"{PLOT} {offset:.1f}L0 {PLOT + offset:.1f}"
    return f'<path class="{kind}" d="M{top}L{bottom}Z"/>'


def _dots(x: Floats, y: Floats, kinds: NDArray[np.int64]) -> str:
    """One path for a kind; points on the same half pixel are drawn once."""
    found = ""
    for kind in np.unique(kinds):
        chosen = kinds == kind
        halves = np.unique(np.rint(2 * np.column_stack([x[chosen], y[chosen]])).astype(int), axis=0)
        path = "".join(f"M{a / 2:g} {b / 2:g}h0" for a, b in halves.tolist())
        found += f'<path class="dots {_shape(int(kind))}" d="{path}"/>'
    return found
