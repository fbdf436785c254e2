"""Arrival processes: seconds between requests, drawn in chunks so that memory is constant."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
CHUNK = 65_536


def poisson(rate_s: float, rng: np.random.Generator) -> Iterator[Floats]:
    """Gaps of a Poisson process."""
    while True:
        yield rng.exponential(1.0 / rate_s, CHUNK)


def gamma(rate_s: float, cv: float, rng: np.random.Generator) -> Iterator[Floats]:
    """Renewal process with Gamma gaps of this coefficient of variation."""
    shape = 1.0 / cv**2
    while True:
        yield rng.gamma(shape, 1.0 / (rate_s * shape), CHUNK)


def weibull_shape(cv: float) -> float:
    """Shape k whose Weibull has this coefficient of variation: cv² = Γ(1+2/k)/Γ(1+1/k)² − 1, by bisection."""
    low, high = 0.1, 50.0
    for _ in range(80):
        k = math.sqrt(low * high)
        found = math.exp(math.lgamma(1 + 2 / k) - 2 * math.lgamma(1 + 1 / k)) - 1
        low, high = (k, high) if found > cv**2 else (low, k)
    return low


def weibull(rate_s: float, cv: float, rng: np.random.Generator) -> Iterator[Floats]:
    """Renewal process with Weibull gaps."""
    shape = weibull_shape(cv)
    scale = 1.0 / (rate_s * math.gamma(1 + 1 / shape))
    while True:
        yield scale * rng.weibull(shape, CHUNK)


def mmpp(rate_s: float, peak_to_mean: float, dwell_s: float, rng: np.random.Generator) -> Iterator[Floats]:
    """Two-state Markov-modulated Poisson process: a busy state of ``peak_to_mean`` times the mean rate for one
    fifth of the time (at most as much as the mean allows), exponential dwell times with this mean."""
    share = min(0.2, 0.95 / peak_to_mean)
    rates = (rate_s * (1 - share * peak_to_mean) / (1 - share), rate_s * peak_to_mean)
    means = (dwell_s * (1 - share) * 2, dwell_s * share * 2)
    state, left, carry = 0, float(rng.exponential(means[0])), 0.0
    while True:
        gaps = np.empty(CHUNK)
        for i in range(CHUNK):
            gap = carry
            carry = 0.0
            while True:
                step = float(rng.exponential(1.0 / rates[state])) if rates[state] > 0 else math.inf
                if step < left:
                    left -= step
                    gap += step
                    break
                gap += left
                state = 1 - state
                left = float(rng.exponential(means[state]))
            gaps[i] = gap
        yield gaps


def diurnal(rate_s: float, peak_to_mean: float, rng: np.random.Generator) -> Iterator[Floats]:
    """Poisson process whose rate swings over the day, 1 + (p − 1)·cos around 15:00, by time change."""
    swing = min(1.0, peak_to_mean - 1.0)
    day, clock, work = 86_400.0, 0.0, 0.0
    offset = math.sin(2 * math.pi * (0 - 54_000) / day)

    def total(t: Floats) -> Floats:
        """∫ rate dt from 0 to t."""
        wave = np.sin(2 * np.pi * (t - 54_000) / day) - offset
        return np.asarray(rate_s * (t + swing * day / (2 * np.pi) * wave))

    while True:
        targets = work + np.cumsum(rng.exponential(1.0, CHUNK))
        work = float(targets[-1])
        low, high = np.full(CHUNK, clock), np.full(CHUNK, clock + (targets[-1] / rate_s) + 2 * day)
        for _ in range(60):
            middle = (low + high) / 2
            below = total(middle) < targets
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        times = np.maximum.accumulate(high)
        yield np.diff(times, prepend=clock)
        clock = float(times[-1])
