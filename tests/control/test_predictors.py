"""Forecasts against closed forms, and against the textbook's formulas written out plainly."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tokenworks.control.scaling.predictors import (
    HOLT_WINTERS,
    MOST_GROWTH,
    PREDICTORS,
    autoregressive,
    constant,
    forecast,
    holt_winters,
    kalman,
)

counts = arrays(np.float64, st.integers(1, 60), elements=st.integers(0, 1000).map(float))


def test_constant_is_the_last_value():
    assert constant(np.array([3.0, 9.0]), 2).tolist() == [9.0, 9.0]


def plain_holt_winters(y, steps, m, alpha, beta, gamma):
    """Level, trend and seasonal terms as Winters writes them, kept for every time."""
    level, trend = {m - 1: sum(y[:m]) / m}, {m - 1: 0.0}
    term = {i: y[i] - level[m - 1] for i in range(m)}
    for t in range(m, len(y)):
        level[t] = alpha * (y[t] - term[t - m]) + (1 - alpha) * (level[t - 1] + trend[t - 1])
        trend[t] = beta * (level[t] - level[t - 1]) + (1 - beta) * trend[t - 1]
        term[t] = gamma * (y[t] - level[t]) + (1 - gamma) * term[t - m]
    last = len(y) - 1
    return [level[last] + h * trend[last] + term[last - m + 1 + (h - 1) % m] for h in range(1, steps + 1)]


@given(counts.filter(lambda y: len(y) > 7), st.integers(2, 7))
def test_holt_winters_is_winters_recursion(y, season):
    expected = plain_holt_winters(y, 9, season, 0.3, 0.2, 0.1)
    assert holt_winters(y, 9, season, 0.3, 0.2, 0.1) == pytest.approx(expected, abs=1e-6)


@given(st.integers(2, 12), st.integers(2, 5), st.integers(0, 11))
def test_holt_winters_knows_a_pure_season(m, seasons, over):
    wave = np.random.default_rng(m).integers(0, 100, m).astype(float)
    y = np.tile(wave, seasons + 1)[: m * seasons + over % m]
    assert holt_winters(y, 2 * m, m) == pytest.approx(np.tile(wave, seasons + 4)[len(y) : len(y) + 2 * m], abs=1e-9)


def test_without_a_whole_season_holt_follows_the_trend():
    line = 5.0 + 3.0 * np.arange(2000)
    assert holt_winters(line, 3, 0) == pytest.approx(5.0 + 3.0 * np.arange(2000, 2003), rel=1e-6)
    assert holt_winters(line[:10], 3, 50).tolist() == holt_winters(line[:10], 3, 0).tolist()


def test_autoregression_continues_one():
    """Changes that follow their own past exactly are continued exactly."""
    weights, change = np.array([0.3, -0.5, 0.7]), [1.0, -2.0, 3.0]
    for _ in range(60):
        change.append(float(weights @ change[-3:]))
    y = 100.0 + np.cumsum(change)
    assert autoregressive(y[:50], 10, 3) == pytest.approx(y[50:60], abs=1e-6)
    assert autoregressive(y[:9], 4, 3).tolist() == [y[8]] * 4  # too few equations


def smoothed(y, level_noise, trend_noise):
    """The last level and trend of a local linear trend by weighted least squares over all disturbances at once."""
    n = len(y)
    unknown = 2 * n  # level and trend at the start, then what disturbed each

    def state(i):
        level, trend = np.zeros(unknown), np.zeros(unknown)
        level[0], trend[1] = 1.0, 1.0
        for k in range(1, i + 1):
            level = level + trend
            level[2 * k] += 1.0
            trend = trend.copy()
            trend[2 * k + 1] += 1.0
        return level, trend

    rows, values = [], []
    variances = [1.0, 1.0, *[level_noise, trend_noise] * (n - 1)]
    for k, variance in enumerate(variances):
        row = np.zeros(unknown)
        row[k] = 1.0
        rows.append(row / np.sqrt(variance))
        values.append(y[0] if k == 0 else 0.0)
    for i in range(1, n):
        rows.append(state(i)[0])
        values.append(y[i])
    best = np.linalg.lstsq(np.array(rows), np.array(values), rcond=None)[0]
    return [float(part @ best) for part in state(n - 1)]


@pytest.mark.parametrize("seed", range(8))
def test_kalman_is_the_least_squares_of_all_disturbances(seed):
    y = np.random.default_rng(seed).integers(0, 50, 12).astype(float)
    level, trend = smoothed(y, 0.2, 0.03)
    assert kalman(y, 3, 0.2, 0.03) == pytest.approx([level + h * trend for h in (1, 2, 3)], abs=1e-8)


def test_kalman_gain_settles_where_the_riccati_equation_says():
    """Without a trend: p = p/(p + 1) + q, so p = (q + √(q² + 4q))/2; one surprise moves the level by p/(p + 1)."""
    q = 0.3
    p = (q + np.sqrt(q * q + 4 * q)) / 2
    flat = np.zeros(4000)
    moved = flat.copy()
    moved[-1] = 1.0
    known = kalman(moved, 1, q, 1e-18)
    assert known[0] == pytest.approx(p / (p + 1), abs=1e-2)


@given(st.sampled_from(range(len(PREDICTORS))), counts, st.integers(1, 20), st.integers(0, 10))
def test_no_forecast_is_negative_or_far_beyond_what_was(predictor, y, steps, season):
    ahead = forecast(predictor, y, steps, season)
    assert ahead.shape == (steps,)
    assert (ahead >= 0).all()
    assert (ahead <= MOST_GROWTH * max(y.max(), 1.0)).all()


def test_a_season_beats_the_last_value_on_a_daily_pattern():
    hours = np.arange(24 * 14)
    y = np.random.default_rng(0).poisson(100 + 80 * np.sin(2 * np.pi * hours / 24)).astype(float)
    ahead = [forecast(HOLT_WINTERS, y[:i], 3, 24)[2] for i in range(200, 330)]
    last = [y[i - 1] for i in range(200, 330)]
    truth = y[202:332]
    assert np.abs(ahead - truth).mean() < 0.6 * np.abs(last - truth).mean()
