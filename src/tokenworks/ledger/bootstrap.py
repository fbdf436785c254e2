"""Intervals of ratios of sums, by drawing runs again."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

MOST = 1024  # rows that are drawn: more runs are first put into so many blocks at random
LEVEL = 0.95

Interval = tuple[float, float]


def ratio_intervals(
    above: Sequence[NDArray[np.int64]], below: NDArray[np.int64], *, resamples: int, seed: int, name: str
) -> list[Interval | None]:
    """Percentile intervals of Σ above ÷ Σ below, the same draw for all; None for fewer than two runs, for no resamples,
    and where a draw holds no output at all.

    The draw depends on seed and name alone, so that a group's interval is the same whatever groups stand beside it.
    """
    if len(below) < 2 or resamples < 1:
        return [None] * len(above)
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    columns = _blocks(np.stack([below, *above]), rng)
    drawn = rng.integers(0, columns.shape[1], size=(resamples, columns.shape[1]), dtype=np.int32)
    sums, *tops = (column[drawn].sum(axis=1) for column in columns)
    if not (sums > 0).all():
        return [None] * len(above)
    return [_interval(top / sums) for top in tops]


def _interval(ratios: NDArray[np.float64]) -> Interval:
    low, high = np.quantile(ratios, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _blocks(columns: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Sums over blocks of runs at random: their spread is that of the runs, at a bounded cost."""
    count = columns.shape[1]
    if count <= MOST:
        return columns.astype(np.float64)
    edges = np.linspace(0, count, MOST + 1).astype(np.int64)[:-1]
    shuffled = columns[:, rng.permutation(count)].astype(np.float64)
    return np.add.reduceat(shuffled, edges, axis=1)
