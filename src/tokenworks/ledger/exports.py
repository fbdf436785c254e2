"""Exports of a ledger as Arrow tables: Parquet with the ledger's columns, or JSON Lines of its events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from tokenworks.errors import InputError, TraceError
from tokenworks.events.ledger_events import (
    COST_COLUMNS,
    USAGE_COLUMNS,
    AnyEvent,
    CostEvent,
    Reversal,
    UsageEvent,
)
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


def schema(columns: Mapping[str, str]) -> Any:
    import pyarrow

    return pyarrow.schema([(name, pyarrow.type_for_alias(kind)) for name, kind in columns.items()])


def table(events: Iterable[AnyEvent], kind: str = "usage") -> Any:
    """Events as the ledger's columns, numbered in their order; a reversal adds the row that it takes back, sign −1.

    Raises InputError for a reversal of what is not there.
    """
    import pyarrow

    columns, wanted = (USAGE_COLUMNS, UsageEvent) if kind == "usage" else (COST_COLUMNS, CostEvent)
    held: dict[tuple[str, str], AnyEvent] = {}
    rows: list[dict[str, Any]] = []
    for seq, event in enumerate(events):
        if not isinstance(event, Reversal):
            held[event.source, event.id] = event
            if isinstance(event, wanted):
                rows.append(row(event, columns, seq))
            continue
        original = held.get((event.of_source, event.of_id))
        if original is None:
            raise InputError(
                f"reversal {event.id} takes back {event.of_source} {event.of_id}, which is not in the export"
            )
        if isinstance(original, wanted):
            rows.append(row(original, columns, seq) | {"sign": -1, "time_us": event.time_us})
    return pyarrow.Table.from_pylist(rows, schema=schema(columns))


def row(event: AnyEvent, columns: Mapping[str, str], seq: int) -> dict[str, Any]:
    found = {name: getattr(event, name, None) for name in columns}
    tags = msgspec.json.encode(event.tags, order="sorted").decode() if event.tags else ""
    return found | {"seq": seq, "sign": 1, "tags": tags}
