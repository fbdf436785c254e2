"""Bulk segments: many usage events at once, under one key, written straight into a sealed segment.

For the twin, which makes a million events a second. A segment is stored whole or not at all; the same key with the same
content is a duplicate, with other content a conflict. Its events have no keys of their own; a reversal names one by the
segment's key and its id.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from tokenworks.events.ledger_events import USAGE_COLUMNS
from tokenworks.ledger.bulk_columns import bulk_table, content_hash, with_places
from tokenworks.ledger.bulk_sums import segment_sums
from tokenworks.ledger.chain import body_hash
from tokenworks.ledger.files import write_parquet
from tokenworks.ledger.keys import key_of
from tokenworks.ledger.prepare import HASH_BYTES
from tokenworks.ledger.receipt import Receipt
from tokenworks.ledger.sealing import folder_of
from tokenworks.ledger.sources import SEGMENTS, Sources
from tokenworks.ledger.store import Store

if TYPE_CHECKING:
    import pyarrow as pa

    from tokenworks.ledger.ledger import Ledger


def append_segment(ledger: Ledger, run_key: str, columns: Mapping[str, object] | pa.Table) -> Receipt:
    """Stores usage columns (``events.ledger_events.USAGE_COLUMNS`` by name) as one segment, durably.

    A column is an array, or one value for all rows; ``time_us``, ``tenant``, ``model``, ``input_fresh``,
    ``cache_read`` and ``output_visible`` are needed, the others default as in UsageEvent; ``source`` becomes
    ``run_key``, ``id`` (default: the row number) should be unique in it: only then can a row be reversed.
    InputError where a column does not fit.
    """
    folder_of(ledger)  # raises where there is none, before any work
    with ThreadPoolExecutor(1) as side:
        made = segment_of(columns, side)
        with ledger.writing():
            receipt = add_segment(ledger, Sources(ledger.store), run_key, made, side)
    ledger.store.sync()
    return receipt


class Made(NamedTuple):
    """What a segment holds, apart from its place in the ledger."""

    table: pa.Table
    sums: pa.Table
    content: Future[bytes]


def segment_of(columns: Mapping[str, object] | pa.Table, side: ThreadPoolExecutor) -> Made:
    """Columns made ready; ``side`` hashes them meanwhile (hashing and writing keep a core busy each)."""
    table = bulk_table(columns)
    content = side.submit(content_hash, table)
    return Made(table, segment_sums(table), content)


def add_segment(ledger: Ledger, sources: Sources, run_key: str, made: Made, side: ThreadPoolExecutor) -> Receipt:
    """Stores a segment in the transaction that is open, or says what its key holds."""
    return _met(ledger.store, sources, run_key, made.content) or _store(ledger, sources, run_key, made, side)


def _met(store: Store, sources: Sources, run_key: str, content: Future[bytes]) -> Receipt | None:
    """What a key that is taken answers."""
    rows = store.rows(
        "SELECT seq, sha256 FROM keys WHERE source = ? AND id = ?", (sources.find(SEGMENTS) or 0, key_of(run_key))
    )
    if not rows:
        if sources.find(run_key):
            return Receipt(
                "refused", note=f"{run_key!r} is the source of single events; a segment needs a key of its own"
            )
        return None
    seq = rows[0][0]
    if bytes(rows[0][1]) != content.result()[:HASH_BYTES]:
        return Receipt("conflict", seq, note=f"the key {run_key!r} holds another segment, at {seq}")
    last = store.rows("SELECT last_seq FROM segments WHERE kind = 'bulk' AND first_seq = ?", (seq,))[0][0]
    return Receipt("duplicate", seq, last_seq=last)


def _store(ledger: Ledger, sources: Sources, run_key: str, made: Made, side: ThreadPoolExecutor) -> Receipt:
    """Files, key, link and marks, in the transaction that is open."""
    import pyarrow.compute as pc

    store, head, table = ledger.store, ledger.head(), made.table
    first = head.last_seq + 1 if head else 1
    last = first + table.num_rows - 1
    folder, name = folder_of(ledger), f"{first:012}-{last:012}"
    grouped = side.submit(write_parquet, folder, f"{name}-sums.parquet", "sums", made.sums)
    whole = with_places(table, run_key, first)
    usage = write_parquet(folder, f"{name}-usage.parquet", "usage", whole, **_PACKED)
    files, content = [usage, grouped.result()], made.content.result()
    listed = msgspec.json.encode(files).decode()
    key = msgspec.json.encode(run_key).decode()
    note = f'{{"run_key":{key},"content":"{content.hex()}","files":{listed}}}'
    batch = ledger.link("segment", table.num_rows, body_hash(bytes.fromhex(file.sha256) for file in files), note)
    store.insert("keys", 4, [sources.number(SEGMENTS), key_of(run_key), first, content[:HASH_BYTES]])
    sources.insert(run_key, bulk=True)
    times = pc.min_max(table["time_us"]).as_py()
    number = 1 + store.rows("SELECT coalesce(max(segment), 0) FROM segments")[0][0]
    store.insert("segments", 8, [number, "bulk", first, last, times["min"], times["max"], batch.batch, listed])
    return Receipt("stored", first, batch.batch, _late(ledger, table, first), last)


_WORDS = [name for name, kind in USAGE_COLUMNS.items() if kind == "string" and name != "id"]
_NUMBERS = [name for name, kind in USAGE_COLUMNS.items() if kind in ("int64", "int32")]
_ZSTD = [name for name in USAGE_COLUMNS if name not in _NUMBERS]
# Numbers as packed differences: smaller and three times as fast as zstd. The least and greatest word tell a reader little.
_PACKED: dict[str, Any] = {
    "use_dictionary": _WORDS,
    "column_encoding": dict.fromkeys(_NUMBERS, "DELTA_BINARY_PACKED"),
    "compression": {**dict.fromkeys(_NUMBERS, "none"), **dict.fromkeys(_ZSTD, "zstd")},
    "compression_level": dict.fromkeys(_ZSTD, 1),
    "write_statistics": [name for name in USAGE_COLUMNS if name not in _WORDS],
}


def _late(ledger: Ledger, table: pa.Table, first: int) -> str:
    """Marks rows of closed periods, by period."""
    import pyarrow.compute as pc

    notes = []
    for period in ledger.periods():
        inside = pc.and_(pc.greater_equal(table["time_us"], period.from_us), pc.less(table["time_us"], period.to_us))
        if period.tenant:
            inside = pc.and_(inside, pc.equal(table["tenant"].cast("string"), period.tenant))
        count = pc.sum(inside).as_py()
        if count:
            ledger.store.insert("marks", 4, [first, f"late {period.period}", period.period, count])
            notes.append(f"late: {count} of {period}")
    return "; ".join(notes)
