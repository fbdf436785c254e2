"""Budgets by month over a ledger: what is spent, where the month ends, which days are out of line.

Spending is summed anew from the ledger at every check, so a budget cannot drift from the bill.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field, model_validator

from tokenworks.economics.spending import Anomaly, Forecast, anomalies, forecast
from tokenworks.errors import InputError
from tokenworks.events.ledger_events import MICRO
from tokenworks.pricing.daily import by_day
from tokenworks.pricing.measure import Tables
from tokenworks.pricing.measure_sql import quoted
from tokenworks.pricing.periods import Period, month
from tokenworks.pricing.plan import Amount, Percent, Units
from tokenworks.pricing.spent import tag_sql
from tokenworks.spec.part import MisfitError, Name, Part

State: TypeAlias = Literal["within", "near", "expected over", "over", "unknown"]
LEAST_DAYS = 3  # of spending, before their spread says anything


def _centre(text: str) -> str:
    if not text.strip("/ "):
        raise ValueError(f"{text!r} names no place: write a path such as engineering/search")
    return text


def _tag_name(text: str) -> str:
    try:
        tag_sql(text)
    except InputError as error:
        raise ValueError(str(error)) from None
    return text


TagName = Annotated[str, AfterValidator(_tag_name)]


class Budget(Part):
    """A limit for each month, in dollars or in tokens, of what all its conditions name; without one, of everything."""

    name: Name
    amount_usd: Amount | None = None
    amount_tokens: Units | None = None
    tenant: Name | None = None
    agent: Name | None = None
    cost_centre: Annotated[Name, AfterValidator(_centre)] | None = None  # and all places below it
    tags: dict[TagName, str] = Field(default_factory=dict)
    warn_at: Percent = Decimal("0.8")

    @model_validator(mode="after")
    def _one_amount(self) -> Budget:
        if (self.amount_usd is None) == (self.amount_tokens is None):
            raise MisfitError(("amount_usd", "a budget has amount_usd or amount_tokens, one of them"))
        if self.amount_usd is not None and self.amount_usd * MICRO % 1:
            raise MisfitError(("amount_usd", f"{self.amount_usd} has more than six decimals"))
        return self

    @property
    def limit(self) -> int:
        """Micro-dollars, or tokens."""
        return int(self.amount_usd * MICRO) if self.amount_usd is not None else int(self.amount_tokens or 0)

    @property
    def in_tokens(self) -> bool:
        return self.amount_usd is None


class Budgets(Part):
    """The whole file."""

    cost_centre_tag: TagName = "cost_centre"
    budgets: tuple[Budget, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _once(self) -> Budgets:
        names = [b.name for b in self.budgets]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise MisfitError(("budgets", f"the budget {twice[0]!r} stands twice"))
        return self


@dataclass(frozen=True)
class Checked:
    """One budget in one month; amounts in micro-dollars, or tokens."""

    budget: Budget
    spent: int  # up to now, today included
    forecast: Forecast | None  # None: the month is over
    too_short: bool  # … or there are fewer than LEAST_DAYS of spending
    anomalies: tuple[Anomaly, ...]  # days of the month
    unknown: int  # events of the month up to now whose cost (or tokens) nobody knows
    matched: bool  # whether any event up to now, of whatever month, is one of this budget

    @property
    def state(self) -> State:
        if self.spent > self.budget.limit:
            return "over"
        if self.forecast and self.forecast.over:
            return "expected over"
        if self.unknown:
            return "unknown"  # what is known is within, but not all is
        return "near" if self.spent > self.budget.limit * self.budget.warn_at else "within"


def check(file: Budgets, tables: Tables, label: str, today: date, zone: str = "UTC") -> list[Checked]:
    """Every budget in a month as it stands at the end of ``today``. Raises InputError for a month that has not begun."""
    period = month(label, zone)
    if today < period.first:
        raise InputError(f"{label} has not begun on {today}; say another --month or --today")
    return [_checked(budget, file.cost_centre_tag, tables, period, today) for budget in file.budgets]


def _checked(budget: Budget, tag: str, tables: Tables, period: Period, today: date) -> Checked:
    days = {
        day: found
        for day, found in by_day(tables, period, _where(budget, tag), budget.in_tokens).items()
        if day <= today
    }
    daily = {day: found.amount for day, found in days.items()}
    spent = sum(amount for day, amount in daily.items() if day >= period.first)
    unknown = sum(found.unknown for day, found in days.items() if day >= period.first)
    last, found = period.after - timedelta(1), None
    short = not daily or (today - min(daily)).days + 1 < LEAST_DAYS
    if today < last and not short:
        found = forecast(daily, period.first, last, today + timedelta(1), budget.limit)
    odd = tuple(a for a in anomalies(daily) if a.day >= period.first)
    return Checked(budget, spent, found, short and today < last, odd, unknown, bool(days))


def _where(budget: Budget, tag: str) -> str:
    """What a budget is about, as SQL."""
    terms = [f"{column} = {quoted(value)}" for column in ("tenant", "agent") if (value := getattr(budget, column))]
    terms += [f"{tag_sql(name)} = {quoted(value)}" for name, value in budget.tags.items()]
    if budget.cost_centre:
        path = "/".join(part.strip() for part in budget.cost_centre.split("/") if part.strip())
        place = rf"regexp_replace(trim({tag_sql(tag)}, '/ '), '\s*/[\s/]*', '/', 'g')"
        terms.append(f"({place} = {quoted(path)} OR starts_with({place}, {quoted(path + '/')}))")
    return " AND ".join(terms) or "TRUE"
