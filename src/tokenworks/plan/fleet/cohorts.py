"""Systems that came in one period: how many of them stand when, and what buying, keeping and selling them costs today."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tokenworks.plan.fleet.linear import Rows
from tokenworks.plan.fleet.problem import Problem


@dataclass(frozen=True)
class Cohort:
    """Systems of a kind that came together: ``start`` < 0 where they were there before the first period."""

    kind: int
    start: int
    count: int  # of those that were there
    bought: int  # column; −1: was there
    sold: dict[int, int]  # column by period of leaving

    def standing(self, period: int) -> list[tuple[int, float]]:
        """Terms of how many stand in a period, apart from ``count``."""
        gone = [(column, -1.0) for at, column in self.sold.items() if at <= period]
        return gone if self.bought < 0 else [(self.bought, 1.0), *gone]


def cohorts_of(problem: Problem, rows: Rows) -> Iterator[Cohort]:
    for number, kind in enumerate(problem.kinds):
        for age, count in kind.have:
            yield _cohort(problem, rows, number, -age, count)
        for start in range(kind.first, problem.periods):
            yield _cohort(problem, rows, number, start, 0)


def _cohort(problem: Problem, rows: Rows, number: int, start: int, count: int) -> Cohort:
    """Columns of buying and selling. A system is kept from its start until it is sold: the cost of keeping it to the end of its
    life, or of the horizon, is put on buying, and what is saved by selling it earlier on selling."""
    kind, T = problem.kinds[number], problem.periods
    end = start + kind.life
    bought = rows.column(_buy_usd(problem, number, start), np.inf) if start >= 0 else -1
    if not kind.owned:  # a contract runs out by itself
        return Cohort(number, start, count, bought, {})
    leaves = range(max(start + 1, 0), min(end, T - 1) + 1)
    sold = {at: rows.column(-_sale_usd(problem, number, start, at), np.inf if start >= 0 else count) for at in leaves}
    gone = [(column, 1.0) for column in sold.values()]
    terms, most = (gone, float(count)) if bought < 0 else ([*gone, (bought, -1.0)], 0.0)
    if gone:  # no more leave than came, and all when their life ends
        rows.row(terms, most if end < T else -np.inf, most)
    return Cohort(number, start, count, bought, sold)


def worth(problem: Problem, number: int, start: int, at: int) -> float:
    """Dollars of the day that one system fetches at the start of a period: its share of the price that was paid, or of that of
    a new one where new ones have become cheaper."""
    kind, last = problem.kinds[number], problem.periods - 1
    age = min(at - start, kind.life)
    price = min(kind.price_usd[max(0, min(start, last))], kind.price_usd[min(at, last)])
    return float(price * kind.value_share[age])


def _keep(problem: Problem, number: int, first: int, end: int) -> float:
    """Discounted cost of one idle system from a period to before another."""
    kind = problem.kinds[number]
    span = slice(max(0, first), min(end, problem.periods))
    energy = kind.idle_w * problem.usd_per_j * problem.period_s
    return float((problem.discount[:-1] * (kind.keep_usd + energy))[span].sum())


def _buy_usd(problem: Problem, number: int, start: int) -> float:
    """Of one system that stays to the end of its life or of the horizon, less what it is worth then."""
    kind, T = problem.kinds[number], problem.periods
    end = start + kind.life
    paid = float(problem.discount[start] * kind.price_usd[start]) + _keep(problem, number, start, end)
    left = problem.discount[T] * worth(problem, number, start, T) if end >= T else 0.0
    return paid - float(left)


def _sale_usd(problem: Problem, number: int, start: int, at: int) -> float:
    """What leaving at the start of a period brings: its value then and what keeping it would have cost, less its value at
    the end of the horizon."""
    end, T = start + problem.kinds[number].life, problem.periods
    left = problem.discount[T] * worth(problem, number, start, T) if end >= T else 0.0
    brings = problem.discount[at] * worth(problem, number, start, at) + _keep(problem, number, at, end)
    return float(brings - left)


def fixed_usd(problem: Problem, cohorts: list[Cohort]) -> float:
    """Of the systems that are there, should they stay."""
    T, total = problem.periods, 0.0
    for c in cohorts:
        if c.bought < 0:
            end = c.start + problem.kinds[c.kind].life
            left = problem.discount[T] * worth(problem, c.kind, c.start, T) if end >= T else 0.0
            total += c.count * (_keep(problem, c.kind, 0, end) - float(left))
    return total


def standing_in(problem: Problem, cohorts: list[Cohort], kind: int, period: int) -> tuple[list[tuple[int, float]], int]:
    """(terms, constant) of the systems of a kind that stand in a period."""
    life = problem.kinds[kind].life
    young = [c for c in cohorts if c.kind == kind and c.start <= period < c.start + life]
    return [term for c in young for term in c.standing(period)], sum(c.count for c in young)
