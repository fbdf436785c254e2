"""How many replicas: for a rate, for a load, within a power budget."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tokenworks.control.scaling.capacity import Load

Ints = NDArray[np.int64]
SLACK = 1e-9  # a need of 2.0000000001 replicas is one of 2


def for_rate(requests_s: float, one: Load, target: float) -> int:
    """Replicas that carry a rate, each used to the portion ``target``."""
    return math.ceil(requests_s / (target * one.requests_s) - SLACK)


def for_load(outstanding: int, one: Load, target: float) -> int:
    """Replicas that work on so many requests at a time: by Little's law what `for_rate` says while the objectives are
    kept, more where a queue has built up."""
    return math.ceil(outstanding / (target * one.batch) - SLACK)


def within_watts(wanted: Ints, least: Ints, each_w: NDArray[np.float64], budget_w: float) -> Ints:
    """Replicas by pool that a power budget feeds. Each pool keeps ``least``; of what is left each gives up the same portion of
    what it wants, and what rounding leaves over goes to the pool that lacks most, the first on ties. ``least`` itself is
    never cut."""
    floor = np.minimum(least, wanted)
    more = wanted - floor
    left_w = budget_w - float(floor @ each_w)
    asked_w = float(more @ each_w)
    if asked_w <= left_w:
        return wanted.copy()
    granted = floor + np.floor(more * max(0.0, left_w) / asked_w + SLACK).astype(np.int64)
    while True:
        left_w = budget_w - float(granted @ each_w)
        lack = np.where((granted < wanted) & (each_w <= left_w + SLACK), wanted - granted, 0)
        if not lack.any():
            return granted
        granted[int(np.argmax(lack))] += 1
