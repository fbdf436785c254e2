"""A line of a provider's bill, whatever export it came from."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from tokenworks.errors import TraceError

# What a bill can tell apart: the three inputs, and all output together.
BUCKETS = ("input_fresh", "cache_read", "cache_write", "output")


@dataclass(frozen=True)
class BillRow:
    """``bucket`` is one of `BUCKETS` where tokens of a model are billed, else the provider's own words for it."""

    day: date  # UTC
    model: str  # "" where the export does not say
    bucket: str
    quantity: int | None  # tokens; None: the export states money alone
    cost: Decimal | None  # None: the export states tokens alone
    currency: str
    line: str  # where it stands and what it says, for whoever looks it up


@dataclass(frozen=True)
class Place:
    """A file and a spot in it, for messages."""

    file: str
    spot: str

    def fault(self, why: str) -> TraceError:
        return TraceError(f"{self.file}: {self.spot}: {why}")


def day_of(value: Any, at: Place) -> date:
    """The UTC day of a moment in seconds or RFC 3339, or of a date as it stands. Raises TraceError."""
    try:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC).date()
        text = str(value)
        if len(text) == 10 and not text.isdigit():
            return date.fromisoformat(text)
        if text.isdigit():
            return datetime.fromtimestamp(int(text), UTC).date()
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError, OSError):
        raise at.fault(f"{value!r} is no time") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).date()


def one_day(start: Any, end: Any, at: Place) -> date:
    """The day of a period; it must not reach into the next one. Raises TraceError."""
    first = day_of(start, at)
    last = first if end in (None, "") else day_of(end, at)
    if not first <= last <= first + timedelta(days=1):
        raise at.fault(f"a period from {start} to {end} is longer than a day: export it by day")
    return first


def tokens(record: Mapping[str, Any], name: str, at: Place) -> int | None:
    """A whole number that is not below zero; None where the field is absent or empty. Raises TraceError."""
    value = record.get(name)
    if value is None or value == "":
        return None
    found = amount(value, name, at)
    if found != found.to_integral_value() or found < 0:
        raise at.fault(f"{name} {value!r} is not a whole number of tokens")
    return int(found)


def amount(value: Any, name: str, at: Place) -> Decimal:
    """An exact decimal; the text of a number counts, never a float's binary value. Raises TraceError."""
    try:
        found = Decimal(str(value).strip())
    except InvalidOperation:
        raise at.fault(f"{name} {value!r} is not a number") from None
    if not found.is_finite():
        raise at.fault(f"{name} {value!r} is not a finite number")
    return found


def buckets(parts: Mapping[str, int | None], day: date, model: str, at: Place) -> Iterator[BillRow]:
    """A row for each bucket that is known."""
    for bucket, quantity in parts.items():
        if quantity is not None:
            yield BillRow(day, model, bucket, quantity, None, "", f"{at.file}: {at.spot}")


def table(text: str, file: str) -> Iterator[tuple[dict[str, str], Place]]:
    """The records of a CSV file, each with its place; column names without the spaces around them."""
    reader = csv.DictReader(text.splitlines())
    names = [name.strip() for name in reader.fieldnames or ()]
    if len(set(names)) < len(names):
        raise TraceError(f"{file}: a column name stands twice")
    reader.fieldnames = names
    for record in reader:
        at = Place(file, f"line {reader.line_num}")
        if None in record or None in record.values():
            raise at.fault("it has not as many fields as the head")
        yield record, at


def results(pages: Sequence[Any], file: str, start: str, end: str) -> Iterator[tuple[Mapping[str, Any], date, Place]]:
    """The results of a report's pages, each with its day and place. Raises TraceError where a page that follows is missing."""
    for number, page in enumerate(pages, 1):
        at = Place(file, f"page {number}")
        for spot, bucket in enumerate(_list(page, "data", at), 1):
            here = Place(file, f"page {number}, bucket {spot}")
            found = _list(bucket, "results", here)
            day = one_day(bucket.get(start), bucket.get(end), here)
            for index, result in enumerate(found, 1):
                there = Place(file, f"page {number}, bucket {spot}, result {index}")
                if not isinstance(result, Mapping):
                    raise there.fault("it is no object")
                yield result, day, there
        if page.get("has_more") and number == len(pages):
            raise at.fault("has_more is true: there are pages after it that this file does not hold")


def _list(holder: Any, name: str, at: Place) -> list[Any]:
    found = holder.get(name) if isinstance(holder, Mapping) else None
    if not isinstance(found, list):
        raise at.fault(f"it holds no list of {name}")
    return found
