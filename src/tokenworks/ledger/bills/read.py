"""A bill's file, whichever provider it is of."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from tokenworks.errors import InputError, TraceError
from tokenworks.ledger.bills import anthropic, focus, openai
from tokenworks.ledger.bills.rows import BillRow, table

PROVIDERS = ("openai", "anthropic", "focus")


def read_bill(path: Path, provider: str, models: Sequence[str] = ()) -> list[BillRow]:
    """Rows of a JSON or CSV export. ``models``: the ledger's names, to find in a FOCUS file's words.

    Raises InputError for a provider or kind of file that is not known, TraceError with the place of what cannot be read.
    """
    if provider not in PROVIDERS:
        raise InputError(f"no bills of {provider!r}; there are {', '.join(PROVIDERS)}")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise TraceError(f"{path}: not UTF-8: {error.reason} at byte {error.start}") from None
    if provider == "focus":
        return list(focus.from_text(text, str(path), models))
    module = openai if provider == "openai" else anthropic
    if path.suffix == ".csv":
        return [row for record, at in table(text, str(path)) for row in module.from_record(record, at)]
    body = _json(text, path)
    return list(module.from_pages(body if isinstance(body, list) else [body], str(path)))


def _json(text: str, path: Path) -> Any:
    """JSON with its numbers as they are written: money is never a float."""
    import json

    try:
        return json.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError) as error:
        raise TraceError(f"{path}: not JSON: {error}") from None
