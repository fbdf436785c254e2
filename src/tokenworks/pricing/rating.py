"""`rate`: the lines of one tenant and period under a plan. See docs/decisions/0010-rating.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from fractions import Fraction
from typing import Literal, TypeAlias

from tokenworks.errors import InputError
from tokenworks.pricing.account import Account, Rate, conversion
from tokenworks.pricing.assign import Amounts, Assigned, assign
from tokenworks.pricing.charges import Balances, Charge, Kind, Rated
from tokenworks.pricing.fees import held, refuse_unpriced_seats
from tokenworks.pricing.lines import UNITS, Paper, Stretch, price_lines
from tokenworks.pricing.measure import Measured, Tables, measure, refuse_negative
from tokenworks.pricing.money import as_decimal, rounded, total
from tokenworks.pricing.periods import Period, month
from tokenworks.pricing.plan import Plan, Price
from tokenworks.pricing.segments import Segment, segments
from tokenworks.pricing.settle import settle

Unpriced: TypeAlias = Literal["error", "line"]
NOTHING = Balances()


@dataclass(frozen=True)
class Terms:
    """What a rating rests on besides usage."""

    plan: Plan
    account: Account
    period: Period
    rates: tuple[Rate, ...] = ()
    unpriced: Unpriced = "error"

    def paper(self) -> Paper:
        to = self.account.currency or self.plan.currency
        return Paper(to, conversion(self.rates, self.plan.currency, to, self.last_day)[0], self.plan.rounding)

    @property
    def last_day(self) -> date:
        return self.period.after - timedelta(days=1)


def period_of(account: Account, label: str) -> Period:
    """The month ``YYYY-MM`` of the account's time zone."""
    return month(label, account.zone)


def rate(
    terms: Terms,
    tables: Tables,
    opening: Balances = NOTHING,
    last_seq: int | None = None,
    adjustments: Sequence[Charge] = (),
) -> Rated:
    """Charges of one tenant. Raises InputError for usage that has no price (see ``Terms.unpriced``), gaps, lost balances."""
    parts = segments(terms.plan, terms.account, terms.period)
    tenant = terms.account.tenant
    found = measure(tables, terms.period, edges(parts), meters_of(parts), [tenant], last_seq)
    return rate_measured(terms, found.get(tenant, Measured()), opening, adjustments)


def rate_measured(
    terms: Terms, measured: Measured, opening: Balances = NOTHING, adjustments: Sequence[Charge] = ()
) -> Rated:
    """The same from sums that `measure` made with the edges and meters of this plan and account."""
    charges, units = metered(terms, measured, opening)
    return settle(terms.account, terms.period, [*charges, *adjustments], opening, units, terms.paper())


def edges(parts: tuple[Segment, ...]) -> list[int]:
    return [*(p.start_us for p in parts), parts[-1].end_us]


def meters_of(parts: tuple[Segment, ...]) -> set[str]:
    return {price.meter for part in parts for price in part.version.prices}


def metered(terms: Terms, measured: Measured, opening: Balances) -> tuple[list[Charge], dict[str, Fraction]]:
    """Usage, fees, minima and caps, before prepaid money and tax; and the units that are carried on."""
    plan, account = terms.plan, terms.account
    parts, paper = segments(plan, account, terms.period), terms.paper()
    refuse_negative(account.tenant, measured)
    refuse_unpriced_seats(account, parts)
    assigned = assign(parts, measured, plan.currency, plan.failed == "bill")
    charges: list[Charge] = []
    carried_on: dict[str, Fraction] = {}
    for price_id, stretches in _stretches(terms, parts, assigned).items():
        carried = _carried(terms, stretches[-1].price, opening)
        charges += price_lines(stretches, carried, paper)
        if stretches[-1].price.rollover:
            carried_on[price_id] = _left(stretches, carried)
    charges += _plan_minimum(parts[-1], charges, paper)
    return charges + _side_lines(terms, parts, assigned, paper), carried_on


def _stretches(terms: Terms, parts: tuple[Segment, ...], assigned: Assigned) -> dict[str, list[Stretch]]:
    """Price id → its segments, in the order of the plan."""
    found: dict[str, list[Stretch]] = {}
    for index, part in enumerate(parts):
        for price in part.version.prices:
            used = assigned.of.get((price.id, index), Amounts())
            if price.family in ("seats", "subscription"):
                used = Amounts(held(price, terms.account, parts, index, terms.period))
            found.setdefault(price.id, []).append(Stretch(part, price, used))
    return found


def _carried(terms: Terms, price: Price, opening: Balances) -> Fraction:
    if price.rollover is None or terms.account.from_ >= terms.period.first:
        return Fraction(opening.units.get(price.id, 0))
    if price.id not in opening.units:
        raise InputError(
            f"{terms.account.tenant}: {terms.period.label} needs the units of {price.id!r} carried over from before"
        )
    return Fraction(opening.units[price.id])


def _left(stretches: Sequence[Stretch], carried: Fraction) -> Fraction:
    """Included units that were not used (carried ones are used first and end with the period)."""
    price = stretches[-1].price
    assert price.rollover
    own = max(Fraction(0), sum((s.used.units for s in stretches), Fraction(0)) - carried)
    return min(Fraction(price.rollover.max), max(Fraction(0), price.included - own))


def _plan_minimum(last: Segment, charges: Sequence[Charge], paper: Paper) -> list[Charge]:
    if last.version.minimum is None:
        return []
    gap = paper.print(Fraction(last.version.minimum)) - total([c.amount for c in charges], paper.currency)
    return [paper.line("minimum", last, "", "", "minimum of the plan", gap)] if gap > 0 else []


def _side_lines(terms: Terms, parts: tuple[Segment, ...], assigned: Assigned, paper: Paper) -> list[Charge]:
    """Lines of 0 for what was used and not billed. Raises InputError for what has no price, unless lines are asked for."""
    if assigned.unpriced and terms.unpriced == "error":
        said = "; ".join(_names(parts, assigned.unpriced))
        raise InputError(
            f"{terms.account.tenant}, {terms.period.label}, plan {terms.plan.plan}: no price covers {said}"
        )
    kinds: tuple[tuple[Kind, Mapping[tuple[int, str, str], Fraction]], ...] = (
        ("free", assigned.free),
        ("waived", assigned.waived),
        ("unpriced", assigned.unpriced),
    )
    zero = rounded(Fraction(0), paper.currency)
    return [
        replace(
            paper.line(kind, parts[index], name, meter, f"{meter} {name}: {kind}", zero),
            quantity=as_decimal(units),
            unit=UNITS[meter],
        )
        for kind, side in kinds
        for (index, meter, name), units in sorted(side.items())
        if units
    ]


def _names(parts: tuple[Segment, ...], side: Mapping[tuple[int, str, str], Fraction]) -> Iterator[str]:
    for (index, meter, name), units in sorted(side.items()):
        yield f"{as_decimal(units)} {meter} ({name}) under {parts[index].version.id}"
