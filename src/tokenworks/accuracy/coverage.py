"""How often 80% intervals hold where they were not drawn from."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from tokenworks.accuracy.intervals import Residuals, bounds, stratum
from tokenworks.accuracy.leaving import KINDS, Table
from tokenworks.accuracy.splits import group

Array = NDArray[np.float64]
METRIC = ("throughput", "tpot", "tpot", "ttft", "ttft", "energy")  # of the interval of each predicted figure
PARTS = 4  # coverage is measured on each part with bounds from the others
ENOUGH = 50  # residuals of a mode for its share to be said


def columns_of(metric: str) -> list[int]:
    """Columns of the predicted figures that share an interval."""
    return [number for number, its in enumerate(METRIC) if its == metric]


def by_stratum(data: Table, residual: Mapping[str, Array], part: NDArray[np.bool_] | None = None) -> Residuals:
    """Residuals by (metric, mode, novelty); ``residual``: by kind of leaving out; ``part``: of these cases alone."""
    found: dict[tuple[str, str, str], list[float]] = {}
    for kind in KINDS:
        for number in np.flatnonzero(np.isfinite(residual[kind.name]).any(axis=1) if part is None else part):
            mode = data.cases[number].experiment.mode
            for metric in np.flatnonzero(np.isfinite(residual[kind.name][number])):
                stratum_of = (METRIC[metric], mode, kind.novelty)
                found.setdefault(stratum_of, []).append(float(residual[kind.name][number, metric]))
    return found


def coverage(data: Table, residual: Mapping[str, Array]) -> dict[str, dict[str, float]]:
    """Share of left-out residuals inside 80% bounds that were drawn without their part of the groups:
    novelty → "metric" and "metric, mode" → share."""
    parts = np.array([zlib.crc32(repr(group(c.row)).encode()[::-1]) % PARTS for c in data.cases])
    inside: dict[str, dict[str, list[bool]]] = {}
    for part in range(PARTS):
        drawn = by_stratum(data, residual, parts != part)
        for (metric, mode, novelty), errors in by_stratum(data, residual, parts == part).items():
            low, high = bounds(stratum(drawn, metric, mode, novelty)[0])
            found = [low <= e <= high for e in errors]
            for name in (metric, f"{metric}, {mode}"):
                inside.setdefault(novelty, {}).setdefault(name, []).extend(found)
    return {
        novelty: {name: float(np.mean(found)) for name, found in sorted(shares.items()) if len(found) >= ENOUGH}
        for novelty, shares in inside.items()
    }


def said(shares: Mapping[str, Mapping[str, float]]) -> str:
    lines = []
    for novelty, found in shares.items():
        lines.append(f"80% intervals, {novelty}, out of fold: " + ", ".join(f"{n} {s:.0%}" for n, s in found.items()))
    return "\n".join(lines)
