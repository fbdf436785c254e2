"""Anthropic's usage and cost reports, by day, as the API's JSON or as CSV of the same fields.

Inputs are disjoint as they stand; cache creation has two lifetimes. Amounts of a cost report are in cents.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from tokenworks.ledger.bills.rows import BillRow, Place, amount, buckets, one_day, results, tokens

CENTS = Decimal(100)
TYPES = {
    "uncached_input_tokens": "input_fresh",
    "cache_read_input_tokens": "cache_read",
    "cache_creation.ephemeral_5m_input_tokens": "cache_write",
    "cache_creation.ephemeral_1h_input_tokens": "cache_write",
    "output_tokens": "output",
}
LIFETIMES = ("ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens")


def from_pages(pages: Sequence[Any], file: str) -> Iterator[BillRow]:
    """Rows of a report's pages. Raises TraceError where a field is not what it must be, or a page is missing."""
    for result, day, at in results(pages, file, "starting_at", "ending_at"):
        yield from row(result, day, at)


def from_record(record: Mapping[str, Any], at: Place) -> Iterator[BillRow]:
    """Rows of one line of CSV; nested fields are named with a dot."""
    yield from row(record, one_day(record.get("starting_at"), record.get("ending_at"), at), at)


def row(result: Mapping[str, Any], day: date, at: Place) -> Iterator[BillRow]:
    if "uncached_input_tokens" in result:
        yield from buckets(_parts(result, at), day, str(result.get("model") or ""), at)
    else:
        yield _cost(result, day, at)


def _parts(result: Mapping[str, Any], at: Place) -> dict[str, int | None]:
    nested = result.get("cache_creation") or {}
    flat = {name: result.get(f"cache_creation.{name}") for name in LIFETIMES}
    lives = [tokens({**flat, **nested}, name, at) for name in LIFETIMES]
    return {
        "input_fresh": tokens(result, "uncached_input_tokens", at),
        "cache_read": tokens(result, "cache_read_input_tokens", at),
        "cache_write": None if lives == [None, None] else sum(n or 0 for n in lives),
        "output": tokens(result, "output_tokens", at),
    }


def _cost(result: Mapping[str, Any], day: date, at: Place) -> BillRow:
    currency = str(result.get("currency") or "")
    if currency != "USD":
        raise at.fault(f"currency {currency!r}: its smallest unit is not known; USD is understood")
    bucket = TYPES.get(str(result.get("token_type") or ""))
    words = str(result.get("description") or result.get("cost_type") or "all")
    return BillRow(
        day=day,
        model=str(result.get("model") or ""),
        bucket=bucket or words,
        quantity=None,
        cost=amount(result.get("amount"), "amount", at) / CENTS,
        currency=currency,
        line=f"{at.file}: {at.spot}: {words}",
    )
