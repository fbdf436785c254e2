"""OpenAI's organisation exports: usage of completions and costs, by day, as the API's JSON or as CSV of the same fields.

``input_tokens`` includes ``input_cached_tokens`` (and cache writes where they are stated); costs are per line item, such
as "gpt-5, cached input".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

from tokenworks.ledger.bills.rows import BillRow, Place, amount, buckets, one_day, results, tokens

ITEMS = {
    "input": "input_fresh",
    "cached input": "cache_read",
    "cache write": "cache_write",
    "cache writes": "cache_write",
    "cached input write": "cache_write",
    "output": "output",
}


def from_pages(pages: Sequence[Any], file: str) -> Iterator[BillRow]:
    """Rows of a report's pages. Raises TraceError where a field is not what it must be, or a page is missing."""
    for result, day, at in results(pages, file, "start_time", "end_time"):
        yield from row(result, day, at)


def from_record(record: Mapping[str, Any], at: Place) -> Iterator[BillRow]:
    """Rows of one line of CSV."""
    yield from row(record, one_day(record.get("start_time"), record.get("end_time"), at), at)


def row(result: Mapping[str, Any], day: date, at: Place) -> Iterator[BillRow]:
    if "input_tokens" in result or "output_tokens" in result:
        yield from buckets(_parts(result, at), day, str(result.get("model") or ""), at)
    else:
        yield _cost(result, day, at)


def _parts(result: Mapping[str, Any], at: Place) -> dict[str, int | None]:
    told, cached = tokens(result, "input_tokens", at), tokens(result, "input_cached_tokens", at)
    written = tokens(result, "input_cache_write_tokens", at)
    inside = (cached or 0) + (written or 0)
    if told is not None and inside > told:
        raise at.fault(f"cached input {inside} exceeds the input of {told} that includes it")
    fresh = None if told is None else told - inside
    return {
        "input_fresh": fresh,
        "cache_read": cached,
        "cache_write": written,
        "output": tokens(result, "output_tokens", at),
    }


def _cost(result: Mapping[str, Any], day: date, at: Place) -> BillRow:
    paid = result.get("amount")
    value, currency = (paid.get("value"), paid.get("currency")) if isinstance(paid, Mapping) else (
        result.get("amount_value"), result.get("amount_currency"))  # fmt: skip
    if value is None or not currency:
        raise at.fault("neither tokens nor an amount with its currency")
    item = str(result.get("line_item") or "")
    model, _, kind = item.rpartition(", ")
    bucket = ITEMS.get(kind.strip().lower()) if model else None
    return BillRow(
        day=day,
        model=model.strip() if bucket else "",
        bucket=bucket or item or "all",
        quantity=None,  # the usage export has the tokens: counted here too they would be twice
        cost=amount(value, "amount", at),
        currency=str(currency).upper(),
        line=f"{at.file}: {at.spot}: {item}",
    )
