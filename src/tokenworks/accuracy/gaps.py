"""Gaps between tokens: harnesses that watch the stream print their median, not the median of requests' means."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tokenworks.physics.worker_model import TICKS_PER_S
from tokenworks.twin.cell import StepLog

Array = NDArray[np.float64]


def gap_s(log: StepLog) -> Array:
    """Seconds of one step of each row: the gap before the token that each of its decode sequences gains."""
    return (log.end - log.start) / TICKS_PER_S / log.steps


def gap_weights(log: StepLog, low: float, high: float) -> Array:
    """Weights (sum 1) of the rows whose gaps lie between two quantiles of all gaps, by tokens; shape (rows,)."""
    tokens = (log.sequences * log.steps).astype(float)
    order = np.argsort(gap_s(log), kind="stable")
    after = np.cumsum(tokens[order])
    if not len(after) or after[-1] == 0:
        return np.zeros(len(tokens))
    share, before = after / after[-1], (after - tokens[order]) / after[-1]
    inside = np.clip(np.minimum(share, high) - np.maximum(before, low), 0.0, None)
    weights = np.zeros(len(tokens))
    weights[order] = inside / (high - low)
    return weights


def median_gap_s(log: StepLog) -> float:
    """Seconds; the middle hundredth of all gaps stands for their median, so that it moves smoothly."""
    return float(gap_weights(log, 0.495, 0.505) @ gap_s(log))
