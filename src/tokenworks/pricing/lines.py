"""From units to lines: one per price and version, a minimum or cap after them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

from tokenworks.pricing.assign import Amounts
from tokenworks.pricing.charges import Charge, Kind, StepLine
from tokenworks.pricing.curves import Step, chargeable, steps
from tokenworks.pricing.money import Rounding, as_decimal, rounded, total
from tokenworks.pricing.plan import Price
from tokenworks.pricing.segments import Segment

UNITS = {
    "tokens": "tokens",
    "requests": "requests",
    "runs": "runs",
    "conversations": "conversations",
    "workflows": "workflows",
    "seconds": "s",
    "cost": "units",
    "outcomes": "outcomes",
    "seats": "seat periods",
    "subscription": "periods",
}


@dataclass(frozen=True)
class Paper:
    """How amounts are printed: the factor to the invoice's currency, its name, the plan's rounding."""

    currency: str
    factor: Fraction
    rounding: Rounding

    def print(self, amount: Fraction) -> Decimal:
        return rounded(amount * self.factor, self.currency, self.rounding)

    def line(self, kind: Kind, segment: Segment, sku: str, meter: str, text: str, amount: Decimal) -> Charge:
        """A line without quantities, whose list amount is its amount."""
        edges = (segment.start_us, segment.end_us)
        return Charge(kind, sku, segment.version.id, meter, text, *edges, self.currency, amount, amount)


@dataclass(frozen=True)
class Stretch:
    """A price as it stands in one segment, with what was used."""

    segment: Segment
    price: Price
    used: Amounts


def price_lines(stretches: Sequence[Stretch], carried: Fraction, paper: Paper) -> Iterator[Charge]:
    """The lines of one price over the versions of a period; counters run on from version to version."""
    whole, counter = sum((s.used.units for s in stretches), Fraction(0)), Fraction(0)
    net, lines = Fraction(0), []
    for stretch in stretches:
        end = counter + stretch.used.units
        amount, line = _line(stretch, counter, end, whole, carried, paper)
        net, counter = net + amount, end
        lines += [line] if line else []
    yield from lines
    yield from _limits(stretches[-1], net, lines, paper)


def _line(
    stretch: Stretch, begin: Fraction, end: Fraction, whole: Fraction, carried: Fraction, paper: Paper
) -> tuple[Fraction, Charge | None]:
    price = stretch.price
    low, high, top = (chargeable(price, c, carried) for c in (begin, end, whole))
    taken = _steps(stretch, low, high, top)
    listed = sum((s.amount for s in taken), Fraction(0))
    net = listed * (1 - Fraction(price.discount))
    if end == begin and not listed:
        return Fraction(0), None
    blank = paper.line("usage", stretch.segment, price.id, price.meter, price.name or price.id, paper.print(net))
    included = (end - begin) - (high - low)
    line = replace(
        blank,
        kind="fee" if price.family in ("seats", "subscription") else "usage",
        list_amount=paper.print(listed),
        quantity=as_decimal(end - begin),
        unit=UNITS[price.meter],
        included=as_decimal(included) if price.included or carried else None,
        discount=price.discount,
        steps=tuple(StepLine(as_decimal(s.quantity), as_decimal(s.price), s.per) for s in taken),
    )
    return net, line


def _steps(stretch: Stretch, low: Fraction, high: Fraction, top: Fraction) -> tuple[Step, ...]:
    price, used = stretch.price, stretch.used
    if price.model == "percentage":
        assert price.percent is not None
        return (Step(used.money, Fraction(price.percent), 1),) if used.units or used.money else ()
    if price.meter == "subscription":
        assert price.price is not None
        return (Step(used.units, Fraction(price.price), 1),) if used.units else ()
    return steps(price, low, high, top)


def _limits(last: Stretch, net: Fraction, lines: Sequence[Charge], paper: Paper) -> Iterator[Charge]:
    """What is missing to the minimum or above the cap, so that the lines of the price sum to it."""
    price, printed = last.price, total([line.amount for line in lines], paper.currency)
    if price.minimum is not None and net < Fraction(price.minimum):
        gap = paper.print(Fraction(price.minimum)) - printed
        yield paper.line("minimum", last.segment, price.id, price.meter, f"minimum of {price.name or price.id}", gap)
    if price.cap is not None and net > Fraction(price.cap):
        gap = paper.print(Fraction(price.cap)) - printed
        yield paper.line("cap", last.segment, price.id, price.meter, f"cap of {price.name or price.id}", gap)
