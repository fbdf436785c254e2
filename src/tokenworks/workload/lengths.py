"""Token lengths of prompts and answers. Drawing in several calls gives the same lengths as drawing in one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int32]
LONGEST = 10**8  # tokens: the sum of a prompt and its answer holds 31 bits
Draw = Callable[[int], Ints]


def fixed(value: float, count: int) -> Ints:
    return np.full(count, max(1, round(value)), np.int32)


def uniform(low: int, high: int, count: int, rng: np.random.Generator) -> Ints:
    """Integers in [low, high], both included."""
    return rng.integers(max(1, low), max(1, high) + 1, count).astype(np.int32)


def lognormal(mean: float, sigma: float, count: int, rng: np.random.Generator) -> Ints:
    """Log-normal with this mean and log standard deviation, rounded to at least one token."""
    mu = math.log(mean) - sigma * sigma / 2
    return np.clip(np.rint(rng.lognormal(mu, sigma, count)), 1, LONGEST).astype(np.int32)


class Histogram:
    """Lengths with weights; all the same where none are given."""

    def __init__(
        self, values: Sequence[int] | NDArray[np.integer], weights: Sequence[float] | NDArray[np.floating] = ()
    ):
        self.values = np.asarray(values, np.int32)
        mass = np.asarray(weights, float) if len(weights) else np.ones(len(self.values))
        self.cumulative = np.cumsum(mass) / mass.sum()

    def draw(self, count: int, rng: np.random.Generator) -> Ints:
        """By inversion: one uniform number each."""
        place = np.searchsorted(self.cumulative, rng.random(count), side="right")
        return np.asarray(self.values[np.minimum(place, len(self.values) - 1)])

    @property
    def mean(self) -> float:
        return float(self.values @ np.diff(self.cumulative, prepend=0.0))
