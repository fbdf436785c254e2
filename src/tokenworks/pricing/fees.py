"""Units of subscriptions and seats: how much of the period they were held."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from fractions import Fraction

from tokenworks.errors import InputError
from tokenworks.pricing.account import Account, Seat
from tokenworks.pricing.periods import Period, midnight_us
from tokenworks.pricing.plan import Plan, Price
from tokenworks.pricing.segments import Segment


def held(price: Price, account: Account, parts: tuple[Segment, ...], index: int, period: Period) -> Fraction:
    """Periods (or seat periods) that fall into the segment with this index."""
    if price.meter == "subscription":
        spans: Iterable[tuple[date, date]] = [(parts[0].first, parts[-1].after)]
    else:
        spans = [(s.from_, s.until or period.after) for s in seats_of(price, account, parts[index])]
    return sum((_share(price, span, parts, index, period) for span in spans), Fraction(0))


def seats_of(price: Price, account: Account, part: Segment) -> list[Seat]:
    """Seats that a price is for: of its kinds, or of those that no other price of the version names."""
    named = {kind for p in part.version.prices if p.meter == "seats" for kind in p.of}
    return [s for s in account.seats if (s.kind in price.of if price.of else s.kind not in named)]


def refuse_unpriced_seats(account: Account, parts: tuple[Segment, ...]) -> None:
    """Raises InputError for a seat held in a segment whose version has no price for its kind."""
    for part in parts:
        prices = [p for p in part.version.prices if p.meter == "seats"]
        priced = {s.id for p in prices for s in seats_of(p, account, part)}
        for seat in account.seats:
            if seat.id not in priced and seat.from_ < part.after and (seat.until or part.after) > part.first:
                raise InputError(
                    f"{account.tenant}: version {part.version.id} has no price for the seat {seat.id!r} of kind {seat.kind!r}"
                )


def _share(price: Price, span: tuple[date, date], parts: tuple[Segment, ...], index: int, period: Period) -> Fraction:
    part = parts[index]
    low, high = max(span[0], part.first), min(span[1], part.after)
    if low >= high:
        return Fraction(0)
    if price.proration == "days":
        return Fraction((high - low).days, period.days)
    if price.proration == "seconds":
        us = midnight_us(high, period.zone) - midnight_us(low, period.zone)
        return Fraction(us, period.end_us - period.start_us)
    earlier = any(max(span[0], p.first) < min(span[1], p.after) for p in parts[:index])
    return Fraction(0) if earlier else Fraction(1)  # whole, once


def under(plan: Plan, account: Account) -> Account:
    """The account as it would be under another plan, in dollars: without prepaid money and tax, and without seats where the
    plan does not sell any."""
    sold = any(p.meter == "seats" for v in plan.versions for p in v.prices)
    seats = account.seats if sold else ()
    return account.model_copy(update={"commits": (), "tax": None, "currency": "USD", "seats": seats})
