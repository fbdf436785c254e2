"""The file of commitments: what was paid ahead for a stretch of days, and by what a month's part of it is spread."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Literal

from pydantic import model_validator

from tokenworks.economics.commitments import Commitment, amortised
from tokenworks.economics.showback import Spent, with_commitments
from tokenworks.events.ledger_events import MICRO
from tokenworks.pricing.periods import Period
from tokenworks.pricing.plan import Amount
from tokenworks.spec.part import MisfitError, Name, Part


class PaidAhead(Part):
    """Dollars for the days from ``first`` to ``last``, both included; they are in no event of the ledger."""

    name: Name
    amount: Amount
    first: date
    last: date

    @model_validator(mode="after")
    def _forward(self) -> PaidAhead:
        if self.last < self.first:
            raise MisfitError(("last", f"{self.last} is before {self.first}"))
        if self.amount * MICRO % 1:
            raise MisfitError(("amount", f"{self.amount} has more than six decimals"))
        return self


class Commitments(Part):
    """The whole file."""

    spread: Literal["cost", "tokens", "calls"] = "cost"
    commitments: tuple[PaidAhead, ...]


def part_of(file: Commitments, period: Period) -> int:
    """Micro-dollars that belong to the days of a period."""
    last = period.after - timedelta(1)
    every = (Commitment(c.name, int(c.amount * MICRO), c.first, c.last) for c in file.commitments)
    return sum(amortised(one, period.first, last) for one in every)


def spread(
    file: Commitments, period: Period, rows: list[tuple[tuple[str, ...], Spent]]
) -> list[tuple[tuple[str, ...], Spent]]:
    """Rows with their share of the period's part. Raises InputError where nothing has a weight."""
    weights = [{"cost": s.micro, "tokens": s.tokens, "calls": s.calls}[file.spread] for _, s in rows]
    return with_commitments(rows, part_of(file, period), [max(0, weight) for weight in weights])
