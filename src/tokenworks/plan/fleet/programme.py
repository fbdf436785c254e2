"""The fleet over time as a mixed-integer programme, solved by HiGHS.

Systems of a kind that were bought in the same period are a cohort: at most ``life`` periods old, sold at any age at the
value of that age. With b bought, z sold, u units and m units stopped:

    there[k,t]  = Σ cohorts (b − Σ sold so far)                          at most life periods old
    Σ_offers share·u ≤ there          Σ_offers rate·u ≥ demand            Σ idle·there + Σ extra·u ≤ power
    m[o,t] ≥ u[o,t−1] − u[o,t]        Σ price·b ≤ capex of the period
    minimise Σ discount·(price·b + keep·there + energy + move·m − value·z) − value of what is left

Units are whole, so that a service on one worker is one worker; fractions of systems may be shared by services.
"""

from __future__ import annotations

import time

import numpy as np

from tokenworks.plan.fleet.answer import schedule
from tokenworks.plan.fleet.cohorts import Cohort, cohorts_of, fixed_usd, standing_in
from tokenworks.plan.fleet.linear import NoScheduleError, Rows, solved
from tokenworks.plan.fleet.problem import Ints, Problem, Schedule

MOST_S = 60.0


def solve(problem: Problem, seconds: float = MOST_S) -> Schedule:
    """The cheapest schedule, or the best found in ``seconds``. Raises NoScheduleError."""
    began = time.perf_counter()
    rows = Rows()
    cohorts = list(cohorts_of(problem, rows))
    units = _units(problem, rows)
    _moved(problem, rows, units)
    _served(problem, rows, units)
    _housed(problem, rows, cohorts, units)
    _limited(problem, rows, cohorts, units)
    values, bound, fixed = solved(rows, fixed_usd(problem, cohorts), seconds)
    return schedule(problem, cohorts, units, values, (fixed, bound), time.perf_counter() - began)


def _units(problem: Problem, rows: Rows) -> Ints:
    """Columns (O, T) of running units, with the energy that they draw above idle boards."""
    energy = problem.discount[:-1] * problem.usd_per_j * problem.period_s
    found = [
        [
            rows.column(float(energy[t] * o.extra_w), np.inf if t >= _first(problem, o.kind) else 0.0)
            for t in range(problem.periods)
        ]
        for o in problem.offers
    ]
    return np.array(found, np.int64).reshape(len(problem.offers), problem.periods)


def _first(problem: Problem, kind: int) -> int:
    return 0 if problem.kinds[kind].have else problem.kinds[kind].first


def _moved(problem: Problem, rows: Rows, units: Ints) -> None:
    """Units that are stopped at the start of periods 1 … cost what moving them does."""
    if not problem.move_usd:
        return
    for o in range(len(problem.offers)):
        for t in range(1, problem.periods):
            column = rows.column(float(problem.discount[t] * problem.move_usd), np.inf, whole=False)
            rows.row([(column, 1.0), (int(units[o, t - 1]), -1.0), (int(units[o, t]), 1.0)], 0.0)


def _served(problem: Problem, rows: Rows, units: Ints) -> None:
    for s, name in enumerate(problem.services):
        mine = [o for o, offer in enumerate(problem.offers) if offer.service == s]
        if not mine:
            raise NoScheduleError(f"nothing that may be bought can serve {name} within its objectives")
        for t in range(problem.periods):
            rows.row([(int(units[o, t]), problem.offers[o].rate_s) for o in mine], float(problem.demand_s[s, t]))


def _housed(problem: Problem, rows: Rows, cohorts: list[Cohort], units: Ints) -> None:
    for k in range(len(problem.kinds)):
        for t in range(problem.periods):
            terms, count = standing_in(problem, cohorts, k, t)
            used = [(int(units[o, t]), offer.share) for o, offer in enumerate(problem.offers) if offer.kind == k]
            if used:
                rows.row([*used, *((c, -f) for c, f in terms)], upper=float(count))


def _limited(problem: Problem, rows: Rows, cohorts: list[Cohort], units: Ints) -> None:
    """Watts and dollars of every period."""
    for t in range(problem.periods):
        if np.isfinite(problem.power_w[t]):
            terms = [(int(units[o, t]), offer.extra_w) for o, offer in enumerate(problem.offers)]
            fixed = 0.0
            for k, kind in enumerate(problem.kinds):
                standing, count = standing_in(problem, cohorts, k, t)
                terms += [(column, factor * kind.idle_w) for column, factor in standing]
                fixed += count * kind.idle_w
            rows.row(_summed(terms), upper=float(problem.power_w[t] - fixed))
        if np.isfinite(problem.capex_usd[t]):
            spent = [
                (c.bought, float(problem.kinds[c.kind].price_usd[t])) for c in cohorts if c.start == t and c.bought >= 0
            ]
            if spent:
                rows.row(spent, upper=float(problem.capex_usd[t]))


def _summed(terms: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """Each column once."""
    total: dict[int, float] = {}
    for column, factor in terms:
        total[column] = total.get(column, 0.0) + factor
    return list(total.items())
