"""Streaming quantiles stay within their stated error of the exact ones, also where tails are heavy."""

import math

import numpy as np
import pytest

from tokenworks.twin.statistics import BINS, EDGES, GROWTH, TICKS_PER_S, bin_of, latency, quantile

STATED = 0.005  # the module's docstring and the semantics page
SAMPLES = 20_000


def drawn(name: str) -> np.ndarray:
    """Seconds, within the range of the histogram."""
    rng = np.random.default_rng(5)
    if name == "pareto 1.1":  # infinite variance
        values = 0.01 * (1 + rng.pareto(1.1, SAMPLES))
    elif name == "lognormal 3":
        values = rng.lognormal(-1, 3, SAMPLES)
    elif name == "two modes":
        values = np.where(
            rng.random(SAMPLES) < 0.98, rng.exponential(0.02, SAMPLES), 500 * (1 + rng.pareto(1.5, SAMPLES))
        )
    else:
        values = np.full(SAMPLES, 0.123456789)
    return np.clip(values, 2e-5, 9e5)


@pytest.mark.parametrize("name", ["pareto 1.1", "lognormal 3", "two modes", "constant"])
def test_quantiles_are_within_the_stated_error(name):
    ticks = (drawn(name) * TICKS_PER_S).astype(np.int64)
    counts = np.bincount([bin_of(t, EDGES) for t in ticks], minlength=BINS)
    ordered = np.sort(ticks) / TICKS_PER_S
    for share in (0.01, 0.1, 0.5, 0.9, 0.95, 0.99, 0.999, 0.9999):
        exact = ordered[max(1, math.ceil(share * SAMPLES)) - 1]  # nearest rank
        assert abs(quantile(counts, share) / exact - 1) <= STATED
    found = latency(counts, int(ticks.sum()), int(ticks.max()))
    assert found.mean_s == pytest.approx(ticks.mean() / TICKS_PER_S, rel=1e-12)
    assert found.max_s == ordered[-1]


def test_every_tick_falls_between_its_edges():
    """At, just below and just above each edge, where a logarithm alone would err."""
    for b in range(0, len(EDGES), 7):
        assert [bin_of(EDGES[b] + d, EDGES) for d in (-1, 0, 1)] == [b, b + 1, b + 1]


def test_wider_bins_would_break_the_promise():
    """The bins are as wide as the promise allows: half a bin is its error."""
    assert math.sqrt(GROWTH) - 1 == pytest.approx(STATED, rel=0.01)
    assert math.sqrt(GROWTH) - 1 <= STATED
