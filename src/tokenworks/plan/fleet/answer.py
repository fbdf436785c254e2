"""The solution of the programme read as a schedule, with its dollars by cause."""

from __future__ import annotations

import numpy as np

from tokenworks.plan.fleet.cohorts import Cohort, standing_in, worth
from tokenworks.plan.fleet.problem import Array, Ints, Problem, Schedule


def schedule(
    problem: Problem,
    cohorts: list[Cohort],
    units: Ints,
    values: Array,
    found: tuple[float, float],
    seconds: float,
) -> Schedule:
    K, T = len(problem.kinds), problem.periods
    whole = np.rint(values).astype(np.int64)
    bought, sold, there = (np.zeros((K, T), np.int64) for _ in range(3))
    resale, value = np.zeros(T), 0.0
    for c in cohorts:
        if c.bought >= 0:
            bought[c.kind, c.start] += whole[c.bought]
        for at, column in c.sold.items():
            if at < T:
                sold[c.kind, at] += whole[column]
                resale[at] += whole[column] * worth(problem, c.kind, c.start, at)
        if problem.kinds[c.kind].owned and c.start + problem.kinds[c.kind].life >= T:
            left = c.count + sum(f * whole[column] for column, f in c.standing(T - 1))
            value += left * worth(problem, c.kind, c.start, T)
    for k in range(K):
        for t in range(T):
            terms, count = standing_in(problem, cohorts, k, t)
            there[k, t] = count + round(sum(f * whole[column] for column, f in terms))
    running = whole[units].reshape(units.shape)
    power = _power_w(problem, there, running)
    stopped = (
        np.maximum(0, running[:, :-1] - running[:, 1:]).sum(axis=0) if problem.move_usd else np.zeros(max(0, T - 1))
    )
    return Schedule(
        bought,
        sold,
        there,
        running,
        _usd(problem, bought, there, power, resale, stopped),
        power,
        value,
        found[0],
        found[1],
        seconds,
    )


def _power_w(problem: Problem, there: Ints, units: Ints) -> Array:
    idle = np.array([k.idle_w for k in problem.kinds])
    extra = np.array([o.extra_w for o in problem.offers])
    return np.asarray(idle @ there + extra @ units, float)


def _usd(problem: Problem, bought: Ints, there: Ints, power: Array, resale: Array, stopped: Array) -> dict[str, Array]:
    """Dollars of the day by cause and period."""
    owned = np.array([k.owned for k in problem.kinds])
    keep = np.array([k.keep_usd for k in problem.kinds]) * there
    price = np.array([k.price_usd for k in problem.kinds]) * bought
    return {
        "hardware": price.sum(axis=0),
        "resale": -resale,
        "care and space": keep[owned].sum(axis=0),
        "rent": keep[~owned].sum(axis=0),
        "energy": power * problem.usd_per_j * problem.period_s,
        "moving": np.concatenate([[0.0], stopped * problem.move_usd]),
    }
