"""The stored links of the hash chain."""

from __future__ import annotations

from collections.abc import Iterator

from tokenworks.ledger.chain import Batch
from tokenworks.ledger.store import Row, Store


def head(store: Store) -> Batch | None:
    """The last link of the chain; None in an empty ledger."""
    rows = store.rows("SELECT * FROM batches ORDER BY batch DESC LIMIT 1")
    return _batch(rows[0]) if rows else None


def batches(store: Store) -> Iterator[Batch]:
    """The chain from its first link."""
    last = 0
    while rows := store.rows("SELECT * FROM batches WHERE batch > ? ORDER BY batch LIMIT 10000", (last,)):
        yield from map(_batch, rows)
        last = rows[-1][0]


def _batch(row: Row) -> Batch:
    number, kind, first, last, body, note, link = row
    return Batch(number, kind, first, last, bytes(body), note, bytes(link))
