"""Sealed payloads: the canonical bytes of old events, in Parquet, for verification, export and reversals."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tokenworks.errors import InputError
from tokenworks.ledger.files import SegmentFile
from tokenworks.ledger.store import Row, Store

if TYPE_CHECKING:
    import pyarrow as pa


class Segment(msgspec.Struct, frozen=True):
    """One sealed segment; times in µs UTC, first and last of its rows."""

    segment: int
    kind: str  # seal | bulk
    first_seq: int
    last_seq: int
    from_us: int
    to_us: int
    batch: int
    files: list[SegmentFile]

    def path(self, folder: Path, holds: str) -> Path | None:
        return next((folder / file.name for file in self.files if file.holds == holds), None)


def segments(store: Store, where: str = "", parameters: tuple[Any, ...] = ()) -> list[Segment]:
    """All segments in their order, or those of a condition."""
    rows = store.rows(f"SELECT * FROM segments {where} ORDER BY segment", parameters)
    return [_segment(row) for row in rows]


def _segment(row: Row) -> Segment:
    number, kind, first, last, from_us, to_us, batch, files = row
    return Segment(number, kind, first, last, from_us, to_us, batch, msgspec.json.decode(files, type=list[SegmentFile]))


def journal_table(path: Path) -> pa.Table:
    """(seq, payload, copy), as ``columns.live_table``. InputError where the file is gone."""
    import pyarrow.parquet as pq

    try:
        return pq.read_table(path, memory_map=True)
    except FileNotFoundError as error:
        raise InputError(f"ledger: the sealed segment {path} is missing") from error


def journal_rows(path: Path) -> list[Row]:
    """The same as (seq, payload, copy) in bytes."""
    table = journal_table(path)
    payloads = [text.encode() for text in table["payload"].to_pylist()]
    copies = [None if text is None else text.encode() for text in table["copy"].to_pylist()]
    return list(zip(table["seq"].to_pylist(), payloads, copies, strict=True))


def sealed_payload(store: Store, folder: Path | None, seq: int) -> bytes:
    """Canonical bytes of one sealed event."""
    import pyarrow.parquet as pq

    found = segments(store, "WHERE kind = 'seal' AND first_seq <= ? AND last_seq >= ?", (seq, seq))
    path = found[0].path(folder, "journal") if found and folder else None
    if path is None:
        raise InputError(f"ledger {store.place}: the sealed event {seq} is needed; name the segments folder")
    try:
        table = pq.read_table(path, columns=["payload"], filters=[("seq", "=", seq)])
    except FileNotFoundError as error:
        raise InputError(f"ledger {store.place}: the sealed segment {path} is missing") from error
    return str(table["payload"][0].as_py()).encode()
