"""A run in bulk: its events as a row of segments, each under a key of its own, all of them or none.

A key is the run's with the range of rows ("run/000000000000-000000065535"); the ledger keeps the hash of the content with
it. Who makes the run again, cut in the same places, doubles nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from tokenworks.ledger.bulk import add_segment, segment_of
from tokenworks.ledger.receipt import Receipt
from tokenworks.ledger.sealing import folder_of
from tokenworks.ledger.sources import Sources

if TYPE_CHECKING:
    import pyarrow as pa

    from tokenworks.ledger.ledger import Ledger


class _NotStoredError(Exception):
    """Takes the transaction back; what to answer."""

    def __init__(self, receipt: Receipt):
        super().__init__(receipt.note)
        self.receipt = receipt


def append_run(ledger: Ledger, run_key: str, tables: Iterable[pa.Table]) -> Receipt:
    """Stores usage tables (as ``bulk.append_segment``) in one transaction, which lasts as long as ``tables`` take to come.
    One receipt for all, from the first event to the last.

    ``duplicate``: the ledger holds this very run. ``conflict``: it holds the run with other events, or cut otherwise; nothing
    is stored then, nor where ``tables`` or the disk fail.
    """
    folder = folder_of(ledger)
    try:
        with ledger.writing():
            first = head.last_seq + 1 if (head := ledger.head()) else 1
            try:
                with ThreadPoolExecutor(1) as side:  # done, whatever happens, before files are removed
                    receipt = _stored(ledger, run_key, tables, side)
            except BaseException:
                _remove_from(folder, first)
                raise
    except _NotStoredError as error:
        return error.receipt
    ledger.store.sync()
    return receipt


def _stored(ledger: Ledger, run_key: str, tables: Iterable[pa.Table], side: ThreadPoolExecutor) -> Receipt:
    sources = Sources(ledger.store)
    held = {name for name in sources.bulk if name == run_key or name.startswith(f"{run_key}/")}
    receipts: list[Receipt] = []
    row = 0
    for table in tables:
        key = f"{run_key}/{row:012}-{row + table.num_rows - 1:012}"
        receipt = add_segment(ledger, sources, key, segment_of(table, side), side)
        if not receipt.durable:
            raise _NotStoredError(receipt)
        receipts.append(receipt)
        held.discard(key)
        row += table.num_rows
    if held:
        note = f"the ledger holds the run {run_key!r} with other events: {min(held)!r}"
        raise _NotStoredError(Receipt("conflict", note=note))
    if not receipts:
        return Receipt("refused", note=f"the run {run_key!r} has no events")
    notes = "; ".join(dict.fromkeys(receipt.note for receipt in receipts if receipt.note))
    last, new = receipts[-1], any(receipt.status == "stored" for receipt in receipts)
    return Receipt("stored" if new else "duplicate", receipts[0].seq, last.batch, notes, last.last_seq)


def _remove_from(folder: Path, first: int) -> None:
    """Files of segments that never were: those from the first free place on, while nobody else may write."""
    for path in folder.glob("*.parquet"):
        if path.name.split("-")[0].isdigit() and int(path.name.split("-")[0]) >= first:
            path.unlink()
