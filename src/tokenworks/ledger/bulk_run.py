"""A run in bulk: its events as a row of segments, each under a key of its own, with its single events: all or none.

A key is the run's with the range of rows ("run/000000000000-000000065535"); the ledger keeps the hash of the content with
it. Who makes the run again, cut in the same places, doubles nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from tokenworks.events.ledger_events import AnyEvent
from tokenworks.ledger.bulk import add_segment, segment_of
from tokenworks.ledger.prepare import prepare
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


def append_run(ledger: Ledger, run_key: str, tables: Iterable[pa.Table], events: Iterable[AnyEvent] = ()) -> Receipt:
    """Stores usage tables (as ``bulk.append_segment``), and before them the run's single ``events``, in one transaction, which
    lasts as long as ``tables`` take to come. One receipt for all, from the first segment to the last.

    ``duplicate``: the ledger holds this very run. ``conflict``: it holds the run with other events, with more or fewer of them,
    or cut otherwise; nothing is stored then, nor where one event is refused, nor where ``tables`` or the disk fail.
    InputError for an event outside its limits.
    """
    folder = folder_of(ledger)
    try:
        with ledger.writing([prepare(event) for event in events]) as booked:
            first = head.last_seq + 1 if (head := ledger.head()) else 1
            try:
                _require_durable(booked)
                with ThreadPoolExecutor(1) as side:  # done, whatever happens, before files are removed
                    receipt = _stored(ledger, run_key, tables, side)
                _require_alike(run_key, [*booked, receipt])
            except BaseException:
                _remove_from(folder, first)
                raise
    except _NotStoredError as error:
        return error.receipt
    except OverflowError as error:
        return Receipt("refused", note=str(error))
    ledger.store.sync()
    return receipt


def _require_durable(receipts: Iterable[Receipt]) -> None:
    for receipt in receipts:
        if not receipt.durable:
            raise _NotStoredError(receipt)


def _require_alike(run_key: str, receipts: Sequence[Receipt]) -> None:
    """A run is new as a whole or held as a whole."""
    if len({receipt.status for receipt in receipts}) > 1:
        held = next(receipt.seq for receipt in receipts if receipt.status == "duplicate")
        note = f"the ledger holds a part of the run {run_key!r}, at {held}, but not the rest of it"
        raise _NotStoredError(Receipt("conflict", held, note=note))


def _stored(ledger: Ledger, run_key: str, tables: Iterable[pa.Table], side: ThreadPoolExecutor) -> Receipt:
    sources = Sources(ledger.store)
    held = {name for name in sources.bulk if name == run_key or name.startswith(f"{run_key}/")}
    receipts: list[Receipt] = []
    row = 0
    for table in tables:
        key = f"{run_key}/{row:012}-{row + table.num_rows - 1:012}"
        receipts.append(add_segment(ledger, sources, key, segment_of(table, side), side))
        _require_durable(receipts[-1:])
        held.discard(key)
        row += table.num_rows
    if held:
        note = f"the ledger holds the run {run_key!r} with other events: {min(held)!r}"
        raise _NotStoredError(Receipt("conflict", note=note))
    if not receipts:
        raise _NotStoredError(Receipt("refused", note=f"the run {run_key!r} has no events"))
    _require_alike(run_key, receipts)
    notes = "; ".join(dict.fromkeys(receipt.note for receipt in receipts if receipt.note))
    last = receipts[-1]
    return Receipt(last.status, receipts[0].seq, last.batch, notes, last.last_seq)


def _remove_from(folder: Path, first: int) -> None:
    """Files of segments that never were: those from the first free place on, while nobody else may write."""
    for path in folder.glob("*.parquet"):
        if path.name.split("-")[0].isdigit() and int(path.name.split("-")[0]) >= first:
            path.unlink()
