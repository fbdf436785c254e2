"""What was spent by day, of what a condition names: sums of the ledger for budgets, their forecasts and odd days."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from tokenworks.pricing.measure import Tables
from tokenworks.pricing.periods import Period, local_day
from tokenworks.pricing.spent import HOUR_US, SUMS, kinds_of, opened

QUARTER_US = HOUR_US // 4  # days of all time zones begin at a quarter of an hour


@dataclass(frozen=True)
class Day:
    """Micro-dollars or tokens, and the events for which nobody knows them."""

    amount: int = 0
    unknown: int = 0


def by_day(tables: Tables, until: Period, where: str, tokens: bool) -> dict[date, Day]:
    """What each day until the period's end spent, in rows of a condition; days without any are left out."""
    daily: dict[date, Day] = {}
    with opened(tables, until) as db:
        for name in kinds_of(tables):
            query = (
                f"SELECT billed_us // {QUARTER_US}, {SUMS[name]} FROM {name}_billed "
                f"WHERE billed_us < {until.end_us} AND {where} GROUP BY 1"
            )
            for quarter, _, count, _, usage, other, uncosted, _, uncounted in db.execute(query).fetchall():
                at = local_day(int(quarter) * QUARTER_US, until.zone)
                before = daily.get(at, Day())
                amount, unknown = (count, uncounted) if tokens else (usage + other, uncosted)
                daily[at] = Day(before.amount + int(amount), before.unknown + int(unknown))
    return dict(sorted(daily.items()))
