"""The price models as functions of a running counter; exact fractions in the plan's currency.

A stretch of usage from counter ``begin`` to ``end`` costs f(end) − f(begin); so a price change inside a period only changes f.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil

from tokenworks.pricing.plan import Price


@dataclass(frozen=True)
class Step:
    """So many units at a price per ``per`` of them."""

    quantity: Fraction
    price: Fraction
    per: int

    @property
    def amount(self) -> Fraction:
        return self.quantity * self.price / self.per


def chargeable(price: Price, counter: Fraction, carried: Fraction) -> Fraction:
    """What is left of a counter after units that are included or were carried over."""
    return max(Fraction(0), counter - price.included - carried)


def steps(price: Price, begin: Fraction, end: Fraction, whole: Fraction) -> tuple[Step, ...]:
    """How units from ``begin`` to ``end`` (after included ones) are priced; ``whole``: those of the period."""
    if price.model == "flat":
        return (Step(Fraction(1), _of(price.price), 1),) if begin == 0 and end > 0 else ()
    if end == begin:
        return ()
    if price.model == "package":
        assert price.package
        return (Step(Fraction(ceil(end / price.package) - ceil(begin / price.package)), _of(price.price), 1),)
    if price.model == "volume":
        return (Step(end - begin, _band(price, whole), price.per),)
    if price.model == "graduated":
        return _graduated(price, begin, end)
    return (Step(end - begin, _of(price.price), price.per),)


def _graduated(price: Price, begin: Fraction, end: Fraction) -> tuple[Step, ...]:
    found, floor = [], Fraction(0)
    for tier in price.tiers:
        top = end if tier.up_to is None else Fraction(tier.up_to)
        low, high = max(begin, floor), min(end, top)
        if high > low:
            found.append(Step(high - low, Fraction(tier.price), price.per))
        floor = top
    return tuple(found)


def _band(price: Price, whole: Fraction) -> Fraction:
    for tier in price.tiers:
        if tier.up_to is None or whole <= tier.up_to:
            return Fraction(tier.price)
    raise AssertionError("the last tier is open")


def _of(value: object) -> Fraction:
    return Fraction(value)  # type: ignore[call-overload,no-any-return]
