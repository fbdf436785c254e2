"""Small ledgers for tests of pricing, written row by row."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa

from tokenworks.events.ledger_events import BUCKETS, COST_COLUMNS, OUTCOME_COLUMNS, USAGE_COLUMNS
from tokenworks.pricing.measure import Tables

TYPES = {"int64": pa.int64(), "int32": pa.int32(), "int8": pa.int8(), "string": pa.string(), "bool": pa.bool_()}
PLAIN = {"source": "test", "tenant": "acme", "sign": 1, "root_run": "", "run": "", "tags": ""}
USAGE = {"model": "m", "failed": False, "attempt": 1, "duration_us": 0, **dict.fromkeys(BUCKETS, 0)}
COST = {"unit": "call", "amount_micro": 0, "currency": "USD"}
OUTCOME = {"claim": "", "currency": "USD"}


def us(text: str) -> int:
    """Microseconds of an ISO time with offset."""
    moment = datetime.fromisoformat(text)
    assert moment.tzinfo is not None, f"{text} needs an offset"
    return round(moment.timestamp()) * 1_000_000


def table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], defaults: Mapping[str, Any]) -> pa.Table:
    schema = pa.schema([(name, TYPES[kind]) for name, kind in columns.items()])
    full = [_row(number, row, defaults) for number, row in enumerate(rows, 1)]
    return pa.Table.from_pylist([{name: row.get(name) for name in columns} for row in full], schema=schema)


def _row(number: int, row: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    full = {"seq": number, "id": f"e{number}", **PLAIN, **defaults, **row}
    if "at" in full:
        full["time_us"] = us(full["at"])
    if isinstance(full["tags"], dict):
        full["tags"] = json.dumps(full["tags"], sort_keys=True)
    return full


def reversals(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows with `reverse: ID` become copies of that row with sign −1 and their own time and sequence number."""
    numbered = [{"id": f"e{n}", **row} for n, row in enumerate(rows, 1)]
    by_id = {r["id"]: r for r in numbered if "reverse" not in r}
    return [
        {**by_id[r["reverse"]], **r, "id": r["reverse"], "sign": -1} if "reverse" in r else dict(r) for r in numbered
    ]


def tables(case: Mapping[str, Any]) -> Tables:
    def made(name: str, columns: Mapping[str, str], defaults: Mapping[str, Any]) -> pa.Table | None:
        return table(reversals(case[name]), columns, defaults) if name in case else None

    return Tables(
        made("usage", USAGE_COLUMNS, USAGE),
        made("cost", COST_COLUMNS, COST),
        made("outcomes", OUTCOME_COLUMNS, OUTCOME),
    )
