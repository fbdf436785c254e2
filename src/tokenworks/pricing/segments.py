"""The stretches of a period in which one price version holds for a contract."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from tokenworks.errors import InputError
from tokenworks.pricing.account import Account
from tokenworks.pricing.periods import Period, midnight_us
from tokenworks.pricing.plan import Plan, Version


@dataclass(frozen=True)
class Segment:
    """``[first, after)`` in days of the customer, ``[start_us, end_us)`` in UTC microseconds."""

    version: Version
    first: date
    after: date
    start_us: int
    end_us: int


def segments(plan: Plan, account: Account, period: Period) -> tuple[Segment, ...]:
    """In order, without gap. Raises InputError where the contract runs and no version holds, or no contract runs."""
    first = max(period.first, account.from_)
    after = min(period.after, account.until or period.after)
    if first >= after:
        raise InputError(
            f"{account.tenant} has no contract in {period.label}: it runs from {account.from_} to {account.until or 'open'}"
        )
    found = []
    for version in plan.versions:
        low, high = max(first, version.from_), min(after, version.until or after)
        if low < high:
            found.append(Segment(version, low, high, midnight_us(low, period.zone), midnight_us(high, period.zone)))
    _no_gap(plan, period, found, first, after)
    return tuple(found)


def _no_gap(plan: Plan, period: Period, found: Sequence[Segment], first: date, after: date) -> None:
    if not found or found[0].first > first:
        raise InputError(
            f"plan {plan.plan}: no version covers {first} of {period.label}; the first begins on {plan.versions[0].from_}"
        )
    if found[-1].after < after:
        raise InputError(f"plan {plan.plan}: no version covers {found[-1].after} to {after} of {period.label}")
