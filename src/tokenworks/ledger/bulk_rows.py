"""Single rows of bulk segments, as the events that they stand for: what a reversal takes back.

A row is named by the key of its segment and its id. What columns do not hold (the requested model, the conversation, the
provider's record) is empty.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tokenworks.errors import InputError
from tokenworks.events.ledger_events import USAGE_COLUMNS, UsageEvent
from tokenworks.ledger.journal import Segment, segments
from tokenworks.ledger.keys import key_of
from tokenworks.ledger.prepare import canonical
from tokenworks.ledger.sources import SEGMENTS, Sources
from tokenworks.ledger.store import Store

if TYPE_CHECKING:
    import pyarrow as pa

_OF_LEDGER = ("seq", "sign")


def row_of(
    store: Store, folder: Path | None, sources: Sources, run_key: str, row_id: str
) -> tuple[int, UsageEvent] | str:
    """Place and event of a row, or why there is none. InputError where the segment's file is gone."""
    keys = (sources.find(SEGMENTS), key_of(run_key))
    first = store.rows("SELECT seq FROM keys WHERE source = ? AND id = ?", keys)[0][0]
    segment = segments(store, "WHERE kind = 'bulk' AND first_seq = ?", (first,))[0]
    found = _read(store, folder, segment, ("id", "=", row_id))
    if found.num_rows == 0:
        ends = [_read(store, folder, segment, ("seq", "=", seq)) for seq in (segment.first_seq, segment.last_seq)]
        low, high = (end["id"][0].as_py() for end in ends)
        return f"the segment {run_key!r} has no row {row_id!r}; its ids begin with {low!r} and end with {high!r}"
    if found.num_rows > 1:
        return f"{found.num_rows} rows of the segment {run_key!r} have the id {row_id!r}: no single one is named"
    return _event(found)


def payload_at(store: Store, folder: Path | None, seq: int) -> bytes | None:
    """Canonical bytes of the row at a place; None where no bulk segment covers it."""
    covering = segments(store, "WHERE kind = 'bulk' AND first_seq <= ? AND last_seq >= ?", (seq, seq))
    if not covering:
        return None
    found = _event(_read(store, folder, covering[0], ("seq", "=", seq)))
    return None if isinstance(found, str) else canonical(found[1])


def _read(store: Store, folder: Path | None, segment: Segment, term: tuple[str, str, Any]) -> pa.Table:
    import pyarrow.parquet as pq

    path = segment.path(folder, "usage") if folder else None
    if path is None:
        raise InputError(f"ledger {store.place}: a row of a bulk segment is needed; name the segments folder")
    try:
        return pq.read_table(path, columns=list(USAGE_COLUMNS), filters=[term])
    except FileNotFoundError as error:
        raise InputError(f"ledger {store.place}: the bulk segment {path} is missing") from error


def _event(table: pa.Table) -> tuple[int, UsageEvent] | str:
    (row,) = table.to_pylist()
    seq = int(row["seq"])
    fields = {name: value for name, value in row.items() if name not in _OF_LEDGER}
    try:
        fields["tags"] = msgspec.json.decode(row["tags"], type=dict[str, str]) if row["tags"] else {}
    except msgspec.DecodeError as error:
        return f"the row at {seq} has tags that are no JSON object of texts ({error})"
    return seq, UsageEvent(**fields)
