"""Exports of a ledger, read as Arrow tables: Parquet with the ledger's columns, or JSON Lines of its events."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenworks.errors import InputError, TraceError
from tokenworks.events.ledger_events import COST_COLUMNS, USAGE_COLUMNS, AnyEvent
from tokenworks.events.tables import schema, table
from tokenworks.ledger.ingest.parse import parse
from tokenworks.ledger.ingest.records import Rejected


def read_usage(path: Path) -> Any:
    """The usage table of an export. Raises TraceError with file and line for what cannot be read."""
    return _read(path, USAGE_COLUMNS, "usage")


def read_costs(path: Path) -> Any:
    """The other costs of an export; an empty table where it holds none."""
    return _read(path, COST_COLUMNS, "cost")


def _read(path: Path, columns: Mapping[str, str], kind: str) -> Any:
    if path.suffix in (".jsonl", ".ndjson"):
        return table(events_of(path), kind)
    if path.suffix != ".parquet":
        raise InputError(f"{path}: an export is .parquet, .jsonl or .ndjson")
    import pyarrow
    import pyarrow.parquet as parquet

    try:
        names = parquet.read_schema(path).names
        missing = sorted(set(columns) - set(names))
        if missing:
            raise TraceError(f"{path}: lacks {', '.join(missing)}: no export of {kind} events")
        return parquet.read_table(path, columns=list(columns)).cast(schema(columns))
    except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError) as error:
        raise TraceError(f"{path}: {error}") from None


def events_of(path: Path) -> list[AnyEvent]:
    """Events of a JSON Lines file; the first bad line ends the reading, for an export has none. Raises TraceError."""
    found: list[AnyEvent] = []
    with path.open("rb") as lines:
        for item in parse("native", lines):
            if isinstance(item, Rejected):
                raise TraceError(f"{path}:{item.line}: {item.reason}")
            found.append(item)
    return found
