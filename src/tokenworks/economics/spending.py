"""Budgets over daily spending: what is left, where the month ends, which days are out of line.

Spending is always summed anew from the ledger, never counted beside it, so a budget cannot drift from the bill. What
is promised to runs that are not finished is held as reservations: a run that would pass the budget is refused before
it starts, not found out afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from statistics import NormalDist, median

import numpy as np

from tokenworks.errors import InputError

WEEK = 7
OUT_OF_LINE = 3.5  # robust standard deviations (Iglewicz and Hoaglin 1993)
MAD_TO_SIGMA = 1.4826  # of a normal distribution
LEAST_SHARE = 0.05  # of the usual: deviations below it are nobody's concern, however quiet the days were


@dataclass(frozen=True)
class Forecast:
    """Spending at the end of a period, in micro-units."""

    spent_micro: int
    expected_micro: int
    low_micro: int  # 80% interval
    high_micro: int
    over: bool  # the expected spending passes the budget
    used_up: date | None  # the day on which it is expected to be passed


def forecast(daily: Mapping[date, int], first: date, last: date, today: date, budget_micro: int) -> Forecast:
    """``daily``: micro-units of days before ``today``, also of earlier periods; days without an entry were 0.

    Each day to come costs the mean of its weekday (of all days, below two weeks of history); its error is the
    standard deviation of the days around those means, and that of the means themselves. Raises InputError where no day
    has passed yet.
    """
    began = min(daily, default=today)
    days = [began + timedelta(n) for n in range((today - began).days)]
    if not days:
        raise InputError(f"a forecast needs at least one day of spending before {today}")
    means = _usual(days, daily)
    spent = sum(amount for day, amount in daily.items() if first <= day < min(today, last + timedelta(1)))
    coming = [today + timedelta(n) for n in range((last - today).days + 1)]
    rest = [means[day.weekday()] for day in coming]
    errors = [daily.get(day, 0) - means[day.weekday()] for day in days]
    fitted = len(set(means))
    sigma = float(np.sqrt(np.sum(np.square(errors)) / max(1, len(errors) - fitted)))
    # Each day to come is as uncertain as a day, and all of them share the uncertainty of the means.
    reach = NormalDist().inv_cdf(0.9) * sigma * (len(rest) * (1 + len(rest) / len(days))) ** 0.5
    expected = spent + sum(rest)
    low, high = max(spent, round(expected - reach)), round(expected + reach)
    return Forecast(
        spent, round(expected), low, high, expected > budget_micro, _passed(spent, coming, rest, budget_micro)
    )


def _usual(days: Sequence[date], daily: Mapping[date, int]) -> list[float]:
    """Mean spending of each weekday."""
    whole = sum(daily.get(day, 0) for day in days) / len(days)
    if len(days) < 2 * WEEK:
        return [whole] * WEEK
    amounts = [[daily.get(day, 0) for day in days if day.weekday() == weekday] for weekday in range(WEEK)]
    return [sum(a) / len(a) for a in amounts]


def _passed(spent: int, coming: Sequence[date], rest: Sequence[float], budget: int) -> date | None:
    total = float(spent)
    for day, amount in zip(coming, rest, strict=True):
        total += amount
        if total > budget:
            return day
    return None


@dataclass(frozen=True)
class Anomaly:
    """A day whose spending is out of line with the days before it."""

    day: date
    spent_micro: int
    usual_micro: int
    deviations: float  # robust standard deviations above (or below) the usual


def anomalies(daily: Mapping[date, int], window: int = 4 * WEEK) -> list[Anomaly]:
    """Days beyond 3.5 robust deviations of the ``window`` days before them; the first week has no past to be judged by."""
    first, last = min(daily, default=None), max(daily, default=None)
    if first is None or last is None:
        return []
    days = [first + timedelta(n) for n in range((last - first).days + 1)]
    spent = [daily.get(day, 0) for day in days]
    found = []
    for at in range(WEEK, len(days)):
        past = spent[max(0, at - window) : at]
        usual = median(past)
        spread = max(MAD_TO_SIGMA * median(abs(x - usual) for x in past), LEAST_SHARE * abs(usual), 1.0)
        score = (spent[at] - usual) / spread
        if abs(score) > OUT_OF_LINE:
            found.append(Anomaly(days[at], spent[at], round(usual), score))
    return found


@dataclass
class Reservations:
    """A budget with what unfinished runs hold of it, in micro-units."""

    budget_micro: int
    held: dict[str, int] = field(default_factory=dict)

    def reserve(self, run: str, most_micro: int, spent_micro: int) -> bool:
        """Hold the most that a run may cost; False (and nothing held) where budget, ``spent_micro`` of the ledger and
        the other holdings leave less. A run that reserves again changes what it holds."""
        if most_micro < 0:
            raise InputError(f"a run cannot reserve {most_micro} micro-units: a reservation is not negative")
        others = sum(amount for other, amount in self.held.items() if other != run)
        if spent_micro + others + most_micro > self.budget_micro:
            return False
        self.held[run] = most_micro
        return True

    def settle(self, run: str) -> None:
        """The run has ended: what it cost is in the ledger now. Settling twice is the same as once."""
        self.held.pop(run, None)
