"""Which parity charts stand on the accuracy page, and the points in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from tokenworks.accuracy.rivals import VERSION, rival_rows
from tokenworks.accuracy.rows import Measurement
from tokenworks.accuracy.slices import Answered, served, sliced
from tokenworks.accuracy.tables import pairs
from tokenworks.report.parity import Panel, parity

Floats = NDArray[np.float64]
Kinds = NDArray[np.int64]
LOADS = ("closed", "offline", "open", "static", "disaggregated", "speculating")
METRICS = {
    "throughput": ("Output tokens/s per GPU", ("throughput",)),
    "tpot": ("TPOT, ms (mean, else median)", ("tpot mean", "tpot median")),
    "ttft": ("TTFT, ms (mean, else median)", ("ttft mean", "ttft median")),
    "joules": ("Board joules per output token", ("energy",)),
}
SLICES = ("dataset", "accelerator", "model family")
PANELS = 8
LEAST = 5  # points of a panel of its own
Unseen = Callable[[Sequence[Measurement]], list[Answered]]  # what was predicted with a row's group left out
Point = tuple[float, float, int]  # measured, predicted, kind


def charts(rows: Sequence[Answered], unseen: Unseen) -> dict[str, str]:
    """SVG files by name: every metric by every slice that has points, and the rival beside ours."""
    found = {}
    for metric, (title, names) in METRICS.items():
        for by in SLICES:
            panels = _panels(rows, by, names)
            if panels and (metric, by) != ("joules", "model family"):
                name = f"{metric}-by-{by.replace(' ', '-')}.svg"
                found[name] = parity(f"{title}, by {by}", panels, LOADS)
    rival = _rival(rows, unseen)
    return found | ({"aiconfigurator.svg": rival} if rival else {})


def _panels(rows: Sequence[Answered], by: str, names: Sequence[str]) -> list[Panel]:
    """The largest slices, and all that is left in one panel."""
    parts = [(name, _points(part, names, _load)) for name, part in sliced(rows, by).items()]
    parts = sorted(((n, p) for n, p in parts if p), key=lambda part: -len(part[1]))
    own = [(n, p) for n, p in parts if len(p) >= LEAST]
    own = own if len(own) == len(parts) <= PANELS else own[: PANELS - 1]
    left = parts[len(own) :]
    if left:
        name = left[0][0] if len(left) == 1 else f"{len(left)} others"
        own = [*own, (name, [point for _, points in left for point in points])]
    return [_panel(name, points) for name, points in own]


def _load(row: Answered) -> int:
    return LOADS.index(served(row[0].row))


def _points(rows: Sequence[Answered], names: Sequence[str], kind: Callable[[Answered], int]) -> list[Point]:
    """The first metric of the names that a row prints."""
    found = []
    for row in rows:
        both = pairs(*row)
        name = next((name for name in names if name in both), None)
        if name and both[name][0] > 0:
            predicted, measured = both[name]
            found.append((measured, predicted, kind(row)))
    return found


def _panel(title: str, points: Sequence[Point]) -> Panel:
    return Panel(title, f"{len(points):,} rows, median error {_median(points)}", *_columns(points))


def _columns(points: Sequence[Point]) -> tuple[Floats, Floats, Kinds]:
    measured, predicted, kinds = (np.array(column) for column in zip(*points, strict=True))
    return measured, predicted, kinds


def _median(points: Sequence[Point]) -> str:
    return f"{100 * float(np.median([abs(p / m - 1) for m, p, _ in points])):.1f}%" if points else "unknown"


def _rival(rows: Sequence[Answered], unseen: Unseen) -> str:
    """TPOT and TTFT of both, on the same rows: ours with the row's group left out where calibration kept it."""
    rivals = rival_rows([m for m, _ in rows])
    theirs = {rows[i][0].id: (rows[i][0], rival.answer()) for i, rival in rivals}
    blind = unseen([m for m, _ in theirs.values()])
    ours, name = (blind, "groups left out") if blind else ([rows[i] for i, _ in rivals], "as shipped")
    panels = []
    for title, metric in (("TPOT mean, ms", "tpot mean"), ("TTFT mean, ms", "ttft mean")):
        own = _points(ours, (metric,), lambda _: 0)
        other = _points([theirs[m.id] for m, _ in ours], (metric,), lambda _: 1)
        if own and other:
            note = f"median errors {_median(own)} and {_median(other)}"
            panels.append(Panel(title, note, *_columns([*own, *other])))
    names = (f"Tokenworks, {name}", f"AIConfigurator {VERSION}")
    return parity("The same rows, two predictions", panels, names) if panels else ""
