"""Arrival processes and lengths against theory, inside 99% confidence intervals; chunks change nothing."""

from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenworks.workload import arrivals, lengths, modulated
from tokenworks.workload.generate import rng_of
from tokenworks.workload.lengths import Histogram

N = 8 * arrivals.CHUNK
Z = 2.576
DAY = 86_400.0


def times(process, chunks=8):
    return np.concatenate(list(islice(process, chunks)))


def gaps(process):
    return np.diff(times(process), prepend=0.0)


@pytest.mark.parametrize("cv", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("kind", ["gamma", "weibull"])
def test_renewal_processes_have_their_rate_and_variation(kind, cv):
    drawn = gaps(getattr(arrivals, kind)(10.0, cv, rng_of(1)))
    assert abs(drawn.mean() - 0.1) < Z * 0.1 * cv / np.sqrt(N)
    # the spread of a sample's variance, by its own fourth moment
    error = np.sqrt((((drawn - drawn.mean()) ** 2).var()) / N) / (2 * 0.1**2 * cv)
    assert abs(drawn.std() / drawn.mean() - cv) < Z * (error + cv * cv / np.sqrt(N))


def test_poisson_gaps():
    drawn = gaps(arrivals.poisson(10.0, rng_of(2)))
    assert abs(drawn.mean() - 0.1) < Z * 0.1 / np.sqrt(N)
    p = np.exp(-1)
    assert abs((drawn > 0.1).mean() - p) < Z * np.sqrt(p * (1 - p) / N)


@pytest.mark.parametrize(("peak", "dwell"), [(3.0, 2.0), (8.0, 0.5), (1.0, 3.0)])
def test_mmpp_has_the_mean_and_the_dispersion_of_theory(peak, dwell):
    """Counts of long windows: variance over mean tends to 1 + 2·s₁s₂(λ₁−λ₂)² / ((s₁+s₂)²(λ₁s₂+λ₂s₁)), s: leaving rates."""
    rate, window = 50.0, 200 * dwell
    found = times(modulated.mmpp(rate, peak, dwell, rng_of(3)), 16)
    counts = np.bincount((found // window).astype(int))[:-1]
    share = modulated.busy_share(peak)
    calm, busy = rate * (1 - share * peak) / (1 - share), rate * peak
    leave_calm, leave_busy = 1 / (2 * dwell * (1 - share)), 1 / (2 * dwell * share)
    both = leave_calm + leave_busy
    mean = (calm * leave_busy + busy * leave_calm) / both
    assert mean == pytest.approx(rate)
    excess = 2 * leave_calm * leave_busy * (calm - busy) ** 2 / (both**2 * (calm * leave_busy + busy * leave_calm))
    spread = np.sqrt((1 + excess) * mean * window)
    assert abs(counts.mean() - mean * window) < Z * spread / np.sqrt(len(counts))
    assert abs(counts.var() / counts.mean() / (1 + excess) - 1) < Z * np.sqrt(2 / len(counts)) + 0.01


def test_diurnal_peaks_at_three_in_the_afternoon_wherever_the_run_begins():
    for start_h in (0, 10):
        found = times(modulated.diurnal(5.0, 1.8, rng_of(4), start_s=start_h * 3600.0))
        hours = (found[found < DAY] // 3600).astype(int) + start_h
        counts = np.bincount(hours % 24, minlength=24)
        wave = 1 + 0.8 * 24 / (2 * np.pi) * np.diff(np.sin(2 * np.pi * (np.arange(25) - 15) / 24))
        assert (abs(counts - 5 * 3600 * wave) < 4 * np.sqrt(5 * 3600 * wave)).all()
        assert abs(counts.sum() - 5 * DAY) < Z * np.sqrt(5 * DAY)


def test_weekends_are_calm_and_the_week_has_its_mean():
    days = (1.0,) * 5 + (0.4,) * 2
    found = times(modulated.weekly(0.6, 1.5, days, rng_of(5)))
    week = found[found < 7 * DAY]
    counts = np.bincount((week // DAY).astype(int), minlength=7)
    expected = 0.6 * DAY * np.array(days) / np.mean(days)
    assert (abs(counts - expected) < 3.5 * np.sqrt(expected)).all()
    assert abs(len(week) - 0.6 * 7 * DAY) < Z * np.sqrt(0.6 * 7 * DAY)


PROCESSES = {
    "poisson": lambda rng, n: arrivals.poisson(3.0, rng, n),
    "gamma": lambda rng, n: arrivals.gamma(3.0, 2.5, rng, n),
    "weibull": lambda rng, n: arrivals.weibull(3.0, 0.7, rng, n),
    "mmpp": lambda rng, n: modulated.mmpp(3.0, 4.0, 1.5, rng, n),
    "diurnal": lambda rng, n: modulated.diurnal(0.01, 1.7, rng, n, 3600.0),
    "weekly": lambda rng, n: modulated.weekly(0.001, 1.7, (1, 1, 1, 1, 1, 0, 0), rng, n),
}


@settings(derandomize=True, max_examples=30, deadline=None)
@given(kind=st.sampled_from(sorted(PROCESSES)), chunk=st.integers(5, 700), seed=st.integers(0, 99))
def test_chunks_do_not_change_a_process(kind, chunk, seed):
    whole = next(PROCESSES[kind](rng_of(seed), 2000))
    parts = times(PROCESSES[kind](rng_of(seed), chunk), -(-2000 // chunk))[:2000]
    assert parts.tobytes() == whole.tobytes()
    assert (np.diff(whole) >= 0).all()


def test_lengths():
    rng = rng_of(5)
    drawn = lengths.uniform(80, 100, 50_000, rng)
    assert (drawn.min(), drawn.max()) == (80, 100)
    assert abs(drawn.mean() - 90) < Z * np.sqrt((21**2 - 1) / 12 / 50_000)
    drawn = lengths.lognormal(1000, 0.8, 200_000, rng)
    assert abs(drawn.mean() - 1000) < Z * 1000 * np.sqrt((np.exp(0.64) - 1) / 200_000)
    assert abs(np.log(drawn).std() - 0.8) < Z * 0.8 / np.sqrt(2 * 200_000)


@settings(derandomize=True, max_examples=30, deadline=None)
@given(
    pairs=st.dictionaries(st.integers(1, 5000), st.floats(0.01, 10), min_size=1, max_size=20), seed=st.integers(0, 50)
)
def test_a_histogram_is_drawn_as_often_as_it_says(pairs, seed):
    values = sorted(pairs)
    weights = np.array([pairs[v] for v in values])
    known = Histogram(values, weights)
    share = weights / weights.sum()
    drawn = known.draw(20_000, rng_of(seed))
    counts = np.array([(drawn == v).sum() for v in values])
    assert counts.sum() == 20_000
    assert (abs(counts - 20_000 * share) <= 5 * np.sqrt(20_000 * share * (1 - share)) + 1e-6).all()
    assert known.mean == pytest.approx(float(share @ np.array(values)))


def test_generators_of_different_streams_are_independent():
    drawn = np.array(
        [
            rng_of(*key).standard_normal(20_000)
            for key in ((1, 0, 0), (1, 0, 1), (1, 1, 0), (2, 0, 0), (1, 0), (1,), (2**32 + 1, 0))
        ]
    )
    correlation = np.corrcoef(drawn) - np.eye(len(drawn))
    assert abs(correlation).max() < 4 / np.sqrt(20_000)
