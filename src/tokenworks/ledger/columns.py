"""Stored payloads as the columns that segments, TAF, rating and reports read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from tokenworks.events.ledger_events import (
    COST_COLUMNS,
    OUTCOME_COLUMNS,
    USAGE_COLUMNS,
    CostEvent,
    OutcomeEvent,
    UsageEvent,
)

if TYPE_CHECKING:
    import pyarrow as pa

    from tokenworks.ledger.store import Row

KINDS: dict[str, tuple[type[msgspec.Struct], dict[str, str]]] = {
    "usage": (UsageEvent, USAGE_COLUMNS),
    "cost": (CostEvent, COST_COLUMNS),
    "outcome": (OutcomeEvent, OUTCOME_COLUMNS),
}
SQL_TYPES = {"int64": "BIGINT", "int32": "INTEGER", "int8": "TINYINT", "string": "VARCHAR", "bool": "BOOLEAN"}
_OF_REVERSAL = ("time_us",)  # its own on the row that it adds; all else is of what it takes back
_ENVELOPE = '{"time_us":"BIGINT"}'


def arrow_schema(kind: str) -> pa.Schema:
    import pyarrow as pa

    return pa.schema([(name, pa.type_for_alias(alias)) for name, alias in KINDS[kind][1].items()])


def live_table(rows: list[Row]) -> pa.Table:
    """(seq, payload, copy) of stored events, texts as strings; copy: what a reversal takes back."""
    import pyarrow as pa

    seqs, payloads, copies = zip(*rows, strict=True) if rows else ((), (), ())
    return pa.table(
        {
            "seq": pa.array(seqs, pa.int64()),
            "payload": pa.array(payloads, pa.binary()).cast(pa.string()),
            "copy": pa.array(copies, pa.binary()).cast(pa.string()),
        }
    )


def select_sql(kind: str, relation: str) -> str:
    """The query that makes the columns of a kind out of a relation like ``live_table``'s."""
    event, columns = KINDS[kind]
    defaults = {field.name: field.default for field in msgspec.structs.fields(event)}
    shape = {
        name: "JSON" if name == "tags" else SQL_TYPES[alias] for name, alias in columns.items() if name in defaults
    }
    names = ", ".join(f"{_column(name, defaults)} AS {name}" for name in columns)
    return (
        f"SELECT {names} FROM (SELECT seq, copy, body, from_json(body, '{msgspec.json.encode(shape).decode()}') AS e,"
        f" CASE WHEN copy IS NULL THEN NULL ELSE from_json(payload, '{_ENVELOPE}') END AS r"
        f" FROM (SELECT *, coalesce(copy, payload) AS body FROM {relation})"
        f' WHERE starts_with(body, \'{{"type":"{kind}",\'))'
    )


def _column(name: str, defaults: dict[str, Any]) -> str:
    """One column: the field, or its default where the payload leaves it out; an explicit null stays null."""
    if name == "seq":
        return "seq"
    if name == "sign":
        return "CAST(CASE WHEN copy IS NULL THEN 1 ELSE -1 END AS TINYINT)"
    if name in _OF_REVERSAL:
        return f"coalesce(r.{name}, e.{name})"
    if name == "tags":
        return "coalesce(CAST(e.tags AS VARCHAR), '')"
    default = defaults[name]
    if default is None or default is msgspec.NODEFAULT:
        return f"e.{name}"
    if isinstance(default, str):
        return f"coalesce(e.{name}, '{default}')"
    return f"CASE WHEN contains(body, '\"{name}\":null') THEN NULL ELSE coalesce(e.{name}, {default}) END"
