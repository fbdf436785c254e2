"""Money: exact fractions until a line is printed, then whole minor units of its currency."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from math import floor
from typing import Literal, TypeAlias

from tokenworks import catalog
from tokenworks.errors import InputError

Rounding: TypeAlias = Literal["half_even", "half_up"]


@lru_cache(maxsize=64)
def digits(currency: str) -> int:
    """Digits after the point. Raises InputError for a currency that the catalogue does not know.

    >>> digits("USD"), digits("JPY"), digits("KWD")
    (2, 0, 3)
    """
    entry = catalog.load("currencies", "iso-4217")
    if currency not in entry:
        raise InputError(f"unknown currency {currency!r}; known are {', '.join(sorted(entry.facts))}")
    return int(entry[currency])


def rounded(amount: Fraction, currency: str, rounding: Rounding = "half_even") -> Decimal:
    """A multiple of the currency's minor unit. ``half_up`` takes halves away from zero.

    >>> rounded(Fraction(5, 1000), "USD"), rounded(Fraction(15, 1000), "USD"), rounded(Fraction(5, 1000), "USD", "half_up")
    (Decimal('0.00'), Decimal('0.02'), Decimal('0.01'))
    >>> rounded(Fraction(-5, 2), "JPY", "half_up")
    Decimal('-3')
    """
    places = digits(currency)
    minor = amount * 10**places
    whole = round(minor) if rounding == "half_even" else _half_up(minor)
    return in_minor(whole, places)


def _half_up(value: Fraction) -> int:
    away = floor(abs(value) + Fraction(1, 2))
    return away if value >= 0 else -away


def in_minor(whole: int, places: int) -> Decimal:
    """An integer count of minor units as an amount, whatever its size (no decimal context is asked).

    >>> in_minor(-105, 2)
    Decimal('-1.05')
    """
    return Decimal((int(whole < 0), tuple(int(d) for d in str(abs(whole))), -places))


def total(amounts: Sequence[Decimal], currency: str) -> Decimal:
    """Exact sum of rounded amounts.

    >>> total([Decimal("0.10"), Decimal("0.20")], "USD")
    Decimal('0.30')
    """
    return rounded(sum((Fraction(a) for a in amounts), Fraction(0)), currency)


def split(amount: Decimal, weights: Sequence[int], currency: str) -> tuple[Decimal, ...]:
    """A rounded amount in parts by weight that sum to it: largest remainders get the rest, ties go to the first.

    >>> split(Decimal("1.00"), [1, 1, 1], "USD")
    (Decimal('0.34'), Decimal('0.33'), Decimal('0.33'))
    """
    if not weights or min(weights) < 0 or sum(weights) == 0:
        raise InputError("a split needs weights of which none is negative and one is above 0")
    places = digits(currency)
    minor = Fraction(amount) * 10**places
    exact = [minor * w / sum(weights) for w in weights]
    parts = [floor(e) for e in exact]
    order = sorted(range(len(weights)), key=lambda i: (parts[i] - exact[i], i))
    for i in order[: int(minor) - sum(parts)]:
        parts[i] += 1
    return tuple(in_minor(p, places) for p in parts)


def as_decimal(value: Fraction, places: int = 9) -> Decimal:
    """A quantity for people: exact where it has at most ``places`` decimals, else rounded; without idle zeros.

    >>> as_decimal(Fraction(5, 2)), as_decimal(Fraction(1, 3)), as_decimal(Fraction(1000))
    (Decimal('2.5'), Decimal('0.333333333'), Decimal('1000'))
    """
    scaled = round(value * 10**places)
    while places and scaled % 10 == 0:
        scaled, places = scaled // 10, places - 1
    return in_minor(scaled, places)
