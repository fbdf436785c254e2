"""Moves old events from the database into Parquet segments. Their keys stay, for ever."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tokenworks.errors import InputError
from tokenworks.ledger.chain import body_hash
from tokenworks.ledger.columns import KINDS, live_table, select_sql
from tokenworks.ledger.files import SegmentFile, write_parquet
from tokenworks.ledger.store import Row, Store
from tokenworks.ledger.tail import LIVE

if TYPE_CHECKING:
    from tokenworks.ledger.ledger import Ledger

SEGMENT_EVENTS = 500_000


def folder_of(ledger: Ledger) -> Path:
    if ledger.segments is None:
        raise InputError(
            f"ledger {ledger.store.place}: name a segments folder that all its readers share (--segments, segments=…)"
        )
    return ledger.segments


def seal(ledger: Ledger, keep: int = 0) -> int:
    """Seals all whole groups but the newest ``keep`` events; returns how many events moved."""
    folder, moved = folder_of(ledger), 0
    while (found := _next_range(ledger.store, keep)) is not None:
        moved += _seal_range(ledger, folder, *found)
    return moved


def _next_range(store: Store, keep: int) -> tuple[int, int] | None:
    """The oldest live events, in whole groups, up to a segment's size."""
    first, newest = store.rows("SELECT min(seq), max(seq) FROM events")[0]
    if first is None:
        return None
    most = min(first + SEGMENT_EVENTS - 1, newest - keep)
    groups = "FROM batches WHERE kind = 'events' AND last_seq >= ?"
    last = store.rows(f"SELECT max(last_seq) {groups} AND last_seq <= ?", (first, most))[0][0]
    if last is None and most == first + SEGMENT_EVENTS - 1:  # one group larger than a segment
        last = store.rows(f"SELECT min(last_seq) {groups}", (first,))[0][0]
        last = last if last <= newest - keep else None
    return None if last is None else (first, last)


def _seal_range(ledger: Ledger, folder: Path, first: int, last: int) -> int:
    """Files first, then one transaction: a crash leaves files that the next sealing replaces, never a lost event."""
    store = ledger.store
    rows = store.rows(LIVE, (first, last))
    files, times = _write_files(folder, f"{first:012}-{last:012}", rows)
    with ledger.writing():
        body = body_hash(bytes.fromhex(file.sha256) for file in files)
        listed = msgspec.json.encode(files).decode()
        batch = ledger.link("seal", 0, body, f'{{"first_seq":{first},"last_seq":{last},"files":{listed}}}')
        number = 1 + store.rows("SELECT coalesce(max(segment), 0) FROM segments")[0][0]
        store.insert("segments", 8, [number, "seal", first, last, *times, batch.batch, listed])
        store.run("DELETE FROM events WHERE seq BETWEEN ? AND ?", (first, last))
    store.sync()
    return len(rows)


def _write_files(folder: Path, name: str, rows: list[Row]) -> tuple[list[SegmentFile], tuple[int, int]]:
    """The journal and one file per kind that occurs; first and last time of the rows, µs."""
    import duckdb

    table = live_table(rows)
    files = [write_parquet(folder, f"{name}-journal.parquet", "journal", table, use_dictionary=False)]
    times: list[int] = []
    with duckdb.connect() as base:
        base.register("live", table)
        for kind in KINDS:
            part = base.sql(f"{select_sql(kind, 'live')} ORDER BY seq").to_arrow_table()
            if part.num_rows:
                files.append(write_parquet(folder, f"{name}-{kind}.parquet", kind, part))
                low, high = base.sql("SELECT min(time_us), max(time_us) FROM part").fetchall()[0]
                times += (low, high)
    return files, (min(times, default=0), max(times, default=0))
