"""Renewal processes: arrival times in chunks. The size of the chunks never changes the times."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
CHUNK = 65_536


def running_sum(start: float, steps: Floats) -> Floats:
    """start + s₁, start + s₁ + s₂ …, added one by one: the same bits in chunks of any size."""
    return np.asarray(np.cumsum(np.concatenate([[start], steps]))[1:])


def renewal(gaps: Callable[[int], Floats], chunk: int) -> Iterator[Floats]:
    """Arrival times in seconds with these gaps."""
    clock = 0.0
    while True:
        times = running_sum(clock, gaps(chunk))
        clock = float(times[-1])
        yield times


def poisson(rate_s: float, rng: np.random.Generator, chunk: int = CHUNK) -> Iterator[Floats]:
    """Poisson process."""
    return renewal(lambda n: rng.exponential(1.0 / rate_s, n), chunk)


def gamma(rate_s: float, cv: float, rng: np.random.Generator, chunk: int = CHUNK) -> Iterator[Floats]:
    """Gaps are Gamma distributed with this coefficient of variation."""
    shape = 1.0 / cv**2
    return renewal(lambda n: rng.gamma(shape, 1.0 / (rate_s * shape), n), chunk)


def weibull(rate_s: float, cv: float, rng: np.random.Generator, chunk: int = CHUNK) -> Iterator[Floats]:
    """Gaps are Weibull distributed with this coefficient of variation."""
    shape = weibull_shape(cv)
    scale = weibull_scale(shape) / rate_s
    return renewal(lambda n: scale * rng.weibull(shape, n), chunk)


def weibull_scale(shape: float) -> float:
    """Scale of a Weibull distribution of mean 1."""
    return 1.0 / math.gamma(1 + 1 / shape)


def weibull_shape(cv: float) -> float:
    """Shape k whose Weibull has this coefficient of variation: cv² = Γ(1+2/k)/Γ(1+1/k)² − 1, by bisection."""
    low, high = 0.1, 200.0
    for _ in range(80):
        k = math.sqrt(low * high)
        found = math.exp(math.lgamma(1 + 2 / k) - 2 * math.lgamma(1 + 1 / k)) - 1
        low, high = (k, high) if found > cv**2 else (low, k)
    return low
