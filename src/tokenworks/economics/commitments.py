"""Commitments paid ahead, spread over the days that they are for: exact to the micro-unit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from tokenworks.errors import InputError


@dataclass(frozen=True)
class Commitment:
    """An amount for the days from ``first`` to ``last``, both included."""

    name: str
    amount_micro: int
    first: date
    last: date

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise InputError(f"commitment {self.name!r} ends on {self.last}, before it begins on {self.first}")


def amortised(commitment: Commitment, first: date, last: date) -> int:
    """The part of the commitment that belongs to the days from ``first`` to ``last``.

    Day d of n bears ⌊amount·d/n⌋ − ⌊amount·(d−1)/n⌋, so that any division of its days sums to the whole.

    >>> year = Commitment("gpus", 100, date(2027, 1, 1), date(2027, 1, 3))
    >>> [amortised(year, date(2027, 1, d), date(2027, 1, d)) for d in (1, 2, 3)]
    [33, 33, 34]
    """
    days = (commitment.last - commitment.first).days + 1
    before = min(max((first - commitment.first).days, 0), days)
    until = min(max((last - commitment.first).days + 1, 0), days)
    if until <= before:
        return 0
    return commitment.amount_micro * until // days - commitment.amount_micro * before // days


def by_month(commitments: Sequence[Commitment]) -> Iterator[tuple[str, str, int]]:
    """(commitment, "2027-01", micro-units) of every month that it touches."""
    for commitment in commitments:
        month = commitment.first.replace(day=1)
        while month <= commitment.last:
            following = (month + timedelta(31)).replace(day=1)
            yield commitment.name, month.isoformat()[:7], amortised(commitment, month, following - timedelta(1))
            month = following
