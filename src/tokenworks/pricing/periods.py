"""Billing periods: months of the customer's time zone, turned into UTC microseconds once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tokenworks.errors import InputError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class Period:
    """``[start_us, end_us)`` in UTC microseconds; ``[first, after)`` in days of its zone."""

    label: str
    zone: str
    first: date
    after: date
    start_us: int
    end_us: int

    @property
    def days(self) -> int:
        return (self.after - self.first).days

    def __contains__(self, time_us: int) -> bool:
        return self.start_us <= time_us < self.end_us


@lru_cache(maxsize=4096)
def month(label: str, zone: str = "UTC") -> Period:
    """The month ``YYYY-MM`` of a time zone. Raises InputError.

    >>> march = month("2026-03", "Europe/Berlin")  # the clocks go forward
    >>> (march.end_us - march.start_us) // 3_600_000_000
    743
    """
    try:
        first = datetime.strptime(label, "%Y-%m").date()
    except ValueError:
        raise InputError(f"{label!r} is no month; write for example 2026-03") from None
    after = date(first.year + first.month // 12, first.month % 12 + 1, 1)
    return between(first, after, zone, label)


def between(first: date, after: date, zone: str, label: str = "") -> Period:
    """From the midnight that begins ``first`` to the one that begins ``after``."""
    if after <= first:
        raise InputError(f"a period ends after it begins: {first} to {after}")
    return Period(label or f"{first}/{after}", zone, first, after, midnight_us(first, zone), midnight_us(after, zone))


def next_month(period: Period) -> Period:
    return month(f"{period.after:%Y-%m}", period.zone)


@lru_cache(maxsize=65536)
def midnight_us(day: date, zone: str) -> int:
    """The moment at which a day begins. Where clocks skip midnight, the moment of the skip.

    >>> midnight_us(date(1970, 1, 2), "UTC")
    86400000000
    """
    return (datetime(day.year, day.month, day.day, tzinfo=_zone(zone)) - _EPOCH) // _MICROSECOND


def local_day(time_us: int, zone: str) -> date:
    """The day of a zone on which a moment lies."""
    return moment(time_us).astimezone(_zone(zone)).date()


def moment(time_us: int) -> datetime:
    return _EPOCH + timedelta(microseconds=time_us)


def iso(time_us: int) -> str:
    """UTC, to the second, as FOCUS and JSON want it.

    >>> iso(86_400_000_000)
    '1970-01-02T00:00:00Z'
    """
    return moment(time_us).strftime("%Y-%m-%dT%H:%M:%SZ")


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InputError(f"unknown time zone {name!r}; write for example Europe/Berlin or UTC") from None
