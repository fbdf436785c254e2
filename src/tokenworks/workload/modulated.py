"""Poisson processes whose rate changes: with the day, with the week, with a hidden state.

All by time change: if work(t) = ∫ rate dt, arrivals are at work⁻¹ of a Poisson process of rate 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from tokenworks.workload.arrivals import CHUNK, Floats, running_sum

DAY_S = 86_400.0
MINUTES = 1440  # of a day
PEAK_S = 54_000.0  # 15:00
PHASES = 256  # dwell times drawn at once


def _unit_poisson(rng: np.random.Generator, chunk: int) -> Iterator[Floats]:
    work = 0.0
    while True:
        targets = running_sum(work, rng.exponential(1.0, chunk))
        work = float(targets[-1])
        yield targets


def busy_share(peak_to_mean: float) -> float:
    """Share of time in the busy state of `mmpp`: a fifth, or as much as the mean allows."""
    return min(0.2, 0.95 / peak_to_mean)


def mmpp(
    rate_s: float, peak_to_mean: float, dwell_s: float, rng: np.random.Generator, chunk: int = CHUNK
) -> Iterator[Floats]:
    """Two-state Markov-modulated Poisson process, begun in its stationary state: a busy state of ``peak_to_mean``
    times the mean rate, exponential times in both states, ``dwell_s`` their mean."""
    share = busy_share(peak_to_mean)
    rates = np.array([rate_s * (1 - share * peak_to_mean) / (1 - share), rate_s * peak_to_mean])
    means = np.array([dwell_s * (1 - share) * 2, dwell_s * share * 2])
    hidden = rng.spawn(1)[0]
    state = np.array([int(hidden.random() < share)])  # of each phase
    time, work = np.zeros(1), np.zeros(1)  # at the start of each phase
    for targets in _unit_poisson(rng, chunk):
        while work[-1] <= targets[-1]:
            states = (state[-1] + np.arange(PHASES)) % 2
            dwell = hidden.exponential(1.0, PHASES) * means[states]
            time = np.concatenate([time, running_sum(time[-1], dwell)])
            work = np.concatenate([work, running_sum(work[-1], dwell * rates[states])])
            state = np.concatenate([state, (states + 1) % 2])
        at = np.searchsorted(work, targets, side="right") - 1
        yield time[at] + (targets - work[at]) / rates[state[at]]
        time, work, state = time[at[-1] :], work[at[-1] :], state[at[-1] :]


def diurnal(
    rate_s: float, peak_to_mean: float, rng: np.random.Generator, chunk: int = CHUNK, start_s: float = 0.0
) -> Iterator[Floats]:
    """The rate swings over the day, 1 + (p − 1)·cos around 15:00. ``start_s``: seconds after midnight at time 0."""
    return weekly(rate_s, peak_to_mean, (1.0,) * 7, rng, chunk, start_s)


def weekly(
    rate_s: float,
    peak_to_mean: float,
    days: Sequence[float],
    rng: np.random.Generator,
    chunk: int = CHUNK,
    start_s: float = 0.0,
) -> Iterator[Floats]:
    """Like `diurnal`, each day of the week with its own mean (``days``, in any unit), the week with ``rate_s``. The
    rate is constant within a minute."""
    time, work = _week(peak_to_mean - 1.0, np.asarray(days, float) / np.mean(days))
    begun, last = float(np.interp(start_s, time, work)), 0.0
    for targets in _unit_poisson(rng, chunk):
        weeks, rest = np.divmod(targets / rate_s + begun, work[-1])
        found = weeks * time[-1] + np.interp(rest, work, time) - start_s
        times = np.maximum.accumulate(np.maximum(last, found))
        last = float(times[-1])
        yield times


def _week(swing: float, weights: Floats) -> tuple[Floats, Floats]:
    """By minutes of a week: seconds, and ∫ of the rate over its mean up to then. The swing of a whole day is nothing."""
    time: Floats = np.arange(7 * MINUTES + 1, dtype=np.float64) * 60.0
    day = np.minimum(6, np.arange(7 * MINUTES) // MINUTES)
    wave = swing * DAY_S / (2 * np.pi) * np.sin(2 * np.pi * (time - PEAK_S) / DAY_S)
    return time, np.concatenate([[0.0], np.cumsum(weights[day] * np.diff(time + wave))])
