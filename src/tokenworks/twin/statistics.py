"""Latency histograms: bins of 1% growth from 10 µs to 10⁶ s, so that a quantile is within 0.5% of the truth."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tokenworks.control.compiled import njit
from tokenworks.events.results import Latency

LOWEST_TICKS = 10**6  # 10 µs
GROWTH = 1.01
BINS = math.ceil(math.log(1e6 * 1e5) / math.log(GROWTH)) + 2  # one below the range, one above
TICKS_PER_S = 1e11


def _edges() -> NDArray[np.int64]:
    steps = LOWEST_TICKS * GROWTH ** np.arange(BINS - 1)
    return np.asarray(np.ceil(steps).astype(np.int64))


EDGES = _edges()  # bin b holds EDGES[b - 1] ≤ ticks < EDGES[b]
_INVERSE = 1.0 / math.log(GROWTH)


@njit(cache=True)
def bin_of(ticks, edges):  # type: ignore[no-untyped-def]
    """The bin of a duration in ticks, exact: a logarithm guesses, the integer edges decide."""
    if ticks < edges[0]:
        return 0
    b = int(math.log(ticks / edges[0]) * _INVERSE) + 1
    top = len(edges)
    if b > top:
        b = top
    while b > 0 and ticks < edges[b - 1]:
        b -= 1
    while b < top and ticks >= edges[b]:
        b += 1
    return b


def quantile(counts: NDArray[np.int64], share: float) -> float:
    """Seconds at a quantile (nearest rank), the geometric middle of its bin: within 0.5%; NaN without samples."""
    total = int(counts.sum())
    if total == 0:
        return math.nan
    rank = max(1, math.ceil(share * total))
    b = int(np.searchsorted(np.cumsum(counts), rank))
    low = EDGES[b - 1] if b > 0 else 0
    high = EDGES[b] if b < len(EDGES) else EDGES[-1] * GROWTH
    return math.sqrt(max(1.0, float(low)) * float(high)) / TICKS_PER_S


def latency(counts: NDArray[np.int64], total_ticks: int, max_ticks: int) -> Latency:
    """A summary of one histogram; its mean and maximum are exact."""
    count = int(counts.sum())
    used = np.flatnonzero(counts)
    first, last = (int(used[0]), int(used[-1])) if count else (0, 0)
    edges = np.concatenate([[0], EDGES, [EDGES[-1] * GROWTH]])[first : last + 2] / TICKS_PER_S
    p50, p90, p95, p99 = (
        min(quantile(counts, q), max_ticks / TICKS_PER_S) if count else math.nan for q in (0.5, 0.9, 0.95, 0.99)
    )
    mean = total_ticks / count / TICKS_PER_S if count else math.nan
    return Latency(count, mean, p50, p90, p95, p99, max_ticks / TICKS_PER_S, edges, counts[first : last + 1])


def shifted(found: Latency, seconds: float) -> Latency:
    """The same distribution, every sample later by a constant."""
    moved = {name: getattr(found, name) + seconds for name in ("mean_s", "p50_s", "p90_s", "p95_s", "p99_s", "max_s")}
    return replace(found, **moved, bin_edges_s=found.bin_edges_s + seconds)
