"""Whether a sealed segment is what its link says: its files, and the row and the key by which readers and writers find it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from tokenworks.ledger.chain import Batch, body_hash
from tokenworks.ledger.columns import KINDS
from tokenworks.ledger.files import SegmentFile, file_hash
from tokenworks.ledger.journal import Segment, segments
from tokenworks.ledger.keys import key_of
from tokenworks.ledger.prepare import HASH_BYTES
from tokenworks.ledger.sources import SEGMENTS
from tokenworks.ledger.store import Store


def fault_of(store: Store, folder: Path | None, batch: Batch) -> str:
    """What does not fit in the segment or seal of a link; "" where all does."""
    note = msgspec.json.decode(batch.note)
    files = [msgspec.convert(file, SegmentFile) for file in note["files"]]
    if body_hash(bytes.fromhex(file.sha256) for file in files) != batch.body:
        return f"the files of batch {batch.batch} do not hash to what it says"
    for file in files:
        path = folder / file.name if folder else None
        if path is None or not path.is_file():
            return f"the segment {file.name} of batch {batch.batch} is missing"
        if file_hash(path) != file.sha256:
            return f"the segment {file.name} of batch {batch.batch} was changed"
    assert folder is not None
    return _fault_of_row(store, folder, batch, files) or (
        _fault_of_key(store, batch) if batch.kind == "segment" else ""
    )


def _fault_of_row(store: Store, folder: Path, batch: Batch, files: list[SegmentFile]) -> str:
    """Readers go by the table of segments: a row that is gone or says otherwise would hide events."""
    rows = segments(store, "WHERE batch = ?", (batch.batch,))
    if len(rows) != 1:
        return f"batch {batch.batch} has {len(rows)} rows in the table of segments, not one"
    (row,) = rows
    if batch.kind == "segment":
        kind, seqs = "bulk", (batch.first_seq, batch.last_seq)
    else:
        note = msgspec.json.decode(batch.note)
        kind, seqs = "seal", (note["first_seq"], note["last_seq"])
    same = (row.kind, (row.first_seq, row.last_seq), row.files) == (kind, seqs, files)
    if not same or (row.from_us, row.to_us) != _times(folder, row):
        return f"the row of batch {batch.batch} in the table of segments was changed"
    return ""


def _times(folder: Path, segment: Segment) -> tuple[int, int]:
    """First and last time of a segment's rows, as its files say."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    found: list[int] = []
    for kind in KINDS:
        if path := segment.path(folder, kind):
            ends = pc.min_max(pq.read_table(path, columns=["time_us"])["time_us"]).as_py()
            found += (ends["min"], ends["max"])
    return min(found, default=0), max(found, default=0)


def _fault_of_key(store: Store, batch: Batch) -> str:
    """Without its key a segment could be stored a second time."""
    note = msgspec.json.decode(batch.note)
    rows = store.rows(
        "SELECT k.seq, k.sha256 FROM keys k JOIN sources s ON s.number = k.source WHERE s.source = ? AND k.id = ?",
        (SEGMENTS, key_of(note["run_key"])),
    )
    held = [(batch.first_seq, bytes.fromhex(note["content"])[:HASH_BYTES])]
    if [(seq, bytes(short)) for seq, short in rows] != held:
        return f"the key {note['run_key']!r} of batch {batch.batch} was changed"
    known = store.rows("SELECT bulk FROM sources WHERE source = ?", (note["run_key"],))
    return "" if known == [(1,)] else f"the source {note['run_key']!r} of batch {batch.batch} was changed"
