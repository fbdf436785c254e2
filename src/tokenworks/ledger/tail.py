"""The newest events, which the stored roll-ups do not cover yet."""

from __future__ import annotations

from tokenworks.errors import InputError
from tokenworks.ledger.checked import trusted
from tokenworks.ledger.prepare import HOUR_US, Cell, cell_of, in_hour
from tokenworks.ledger.store import Store
from tokenworks.ledger.sums import Sums, negated, sums_of

LIVE = (
    "SELECT e.seq, e.payload, r.copy FROM events e LEFT JOIN reversals r ON r.seq = e.seq"
    " WHERE e.seq BETWEEN ? AND ? ORDER BY e.seq"
)


def rolled(store: Store) -> int | None:
    """The position up to which the roll-ups cover the ledger; None: they always cover all of it."""
    rows = store.rows("SELECT value FROM meta WHERE name = 'rolled'")
    return int(rows[0][0]) if rows else None


def tail_pairs(store: Store) -> list[tuple[Cell, Sums]]:
    """Where each event after that position adds up, and what."""
    after = rolled(store)
    if after is None:
        return []
    last = store.rows("SELECT coalesce(max(last_seq), 0) FROM batches")[0][0]
    pairs = [_pair(*row) for row in store.rows(LIVE, (after + 1, last))]
    return [(cell, sums) for cell, sums in pairs if cell is not None]


def _pair(seq: int, payload: bytes, copy: bytes | None) -> tuple[Cell | None, Sums]:
    """A reversal takes its copy's sums back in its own hour: sums of a past hour never change."""
    try:
        event = trusted(payload)
    except ValueError as error:
        raise InputError(
            f"ledger: event {seq} is not what was stored ({error}); ask `tokenworks ledger verify`"
        ) from error
    if copy is None:
        return cell_of(event), sums_of(event)
    back = trusted(copy)
    cell = cell_of(back)
    return cell and in_hour(cell, event.time_us // HOUR_US), negated(sums_of(back))
