"""Forecasts of a count per interval from the counts so far. All take the history (oldest first, at least one value) and
give the next ``steps`` values; none is below 0.

Holt (1957) and Winters (1960), additive; ARIMA(p, 1, 0) fitted by least squares (Box and Jenkins); the local linear trend
model filtered by Kalman's recursion (Harvey 1989, ch. 4).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tokenworks.control.compiled import njit

Floats = NDArray[np.float64]
CONSTANT, HOLT_WINTERS, ARIMA, KALMAN = range(4)
PREDICTORS = ("constant", "holt-winters", "arima", "kalman")  # by code
ORDER = 3  # of the autoregression
MOST_GROWTH = 2.0  # of a forecast, against the largest count so far


def forecast(predictor: int, history: Floats, steps: int, season: int = 0) -> Floats:
    """``predictor``: its code; ``season``: intervals of a season, 0: none (Holt–Winters alone looks at it)."""
    if predictor == HOLT_WINTERS:
        found = holt_winters(history, steps, season)
    elif predictor == ARIMA:
        found = autoregressive(history, steps, ORDER)
    elif predictor == KALMAN:
        found = kalman(history, steps)
    else:
        found = constant(history, steps)
    ahead: Floats = np.clip(found, 0.0, MOST_GROWTH * max(float(history.max()), 1.0))
    return ahead


def constant(history: Floats, steps: int) -> Floats:
    """The last value goes on."""
    return np.full(steps, history[-1])


@njit(cache=True)
def holt_winters(history, steps, season, alpha=0.4, beta=0.05, gamma=0.3):  # type: ignore[no-untyped-def]
    """Additive. The first season sets the level (its mean) and the seasonal terms (what is left); before a whole season
    is known, and without one, level and trend alone."""
    n = len(history)
    m = season if 0 < season < n else 0
    term = np.zeros(max(1, m))
    if m > 0:
        level, trend = history[:m].mean(), 0.0
        term[:] = history[:m] - level
    else:
        level, trend = history[0], 0.0
    for i in range(max(1, m), n):
        k = i % m if m > 0 else 0
        before = level
        level = alpha * (history[i] - term[k]) + (1.0 - alpha) * (level + trend)
        trend = beta * (level - before) + (1.0 - beta) * trend
        if m > 0:
            term[k] = gamma * (history[i] - level) + (1.0 - gamma) * term[k]
    found = np.empty(steps)
    for h in range(steps):
        found[h] = level + (h + 1) * trend + term[(n + h) % m if m > 0 else 0]
    return found


def autoregressive(history: Floats, steps: int, order: int) -> Floats:
    """ARIMA(order, 1, 0): changes follow the ``order`` changes before them. Fitted where there are twice as many
    equations as unknowns; the last value goes on before that."""
    change = np.diff(history)
    if len(change) < 3 * order:
        return constant(history, steps)
    rows = np.lib.stride_tricks.sliding_window_view(change[:-1], order)  # oldest of the window first
    weights = np.linalg.lstsq(rows, change[order:], rcond=None)[0]
    path = list(change[-order:])
    for _ in range(steps):
        path.append(float(weights @ np.array(path[-order:])))
    found: Floats = history[-1] + np.cumsum(path[order:])
    return found


@njit(cache=True)
def kalman(history, steps, level_noise=0.1, trend_noise=0.002):  # type: ignore[no-untyped-def]
    """Local linear trend; noises are variances against that of an observation. Starts from the first value, of which it
    knows as much as an observation tells, and no trend."""
    level, trend = history[0], 0.0
    a, b, d = 1.0, 0.0, 1.0  # variances of level, both, trend
    for i in range(1, len(history)):
        level += trend
        a, b, d = a + 2.0 * b + d + level_noise, b + d, d + trend_noise
        gain, pull = a / (a + 1.0), b / (a + 1.0)
        miss = history[i] - level
        level, trend = level + gain * miss, trend + pull * miss
        a, b, d = a * (1.0 - gain), b * (1.0 - gain), d - pull * b
    return level + trend * np.arange(1, steps + 1)
