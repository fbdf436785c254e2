"""Token lengths of prompts and answers."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int32]


def fixed(value: float, count: int) -> Ints:
    return np.full(count, max(1, round(value)), np.int32)


def uniform(low: int, high: int, count: int, rng: np.random.Generator) -> Ints:
    """Integers in [low, high], both included."""
    return rng.integers(max(1, low), max(1, high) + 1, count).astype(np.int32)


def lognormal(mean: float, sigma: float, count: int, rng: np.random.Generator) -> Ints:
    """Log-normal with this mean and log standard deviation, rounded to at least one token."""
    mu = math.log(mean) - sigma * sigma / 2
    return np.maximum(1, np.rint(rng.lognormal(mu, sigma, count))).astype(np.int32)
