"""Taking an event back: what it needs to know of the event, and when it must not."""

from __future__ import annotations

from pathlib import Path

import msgspec

from tokenworks.events.ledger_events import Reversal
from tokenworks.ledger.checked import trusted
from tokenworks.ledger.keys import key_of
from tokenworks.ledger.prepare import HOUR_US, Cell, Prepared, cell_of, in_hour
from tokenworks.ledger.sources import Sources
from tokenworks.ledger.store import Store
from tokenworks.ledger.sums import Sums, sums_of


class Target(msgspec.Struct, frozen=True):
    """What a reversal takes back."""

    seq: int
    payload: bytes
    reversed_at: int | None  # seq of the reversal that was first
    is_reversal: bool
    cell: Cell | None  # where it is taken back
    sums: Sums


def target_of(store: Store, segments: Path | None, sources: Sources, event: Prepared) -> Target | str:
    """The event that a reversal names, or why there is none."""
    assert event.target is not None
    source, event_id = event.target
    number = sources.find(source)
    found = number and store.rows("SELECT seq FROM keys WHERE source = ? AND id = ?", (number, key_of(event_id)))
    if not found:
        return f"no event {source!r} {event_id!r} to reverse (events of bulk segments have no keys of their own)"
    seq = found[0][0]
    payload = stored_payload(store, segments, seq)
    whole = trusted(payload)
    before = store.rows("SELECT seq FROM reversals WHERE of_seq = ?", (seq,))
    cell = cell_of(whole)
    cell = cell and in_hour(cell, event.time_us // HOUR_US)  # sums of a past hour never change
    return Target(seq, payload, before[0][0] if before else None, isinstance(whole, Reversal), cell, sums_of(whole))


def refusal(target: Target) -> str:
    if target.is_reversal:
        return f"the event at {target.seq} is itself a reversal; append a new event instead"
    return f"the event at {target.seq} was reversed at {target.reversed_at}" if target.reversed_at else ""


def stored_payload(store: Store, segments: Path | None, seq: int) -> bytes:
    """Canonical bytes of an event, live or sealed."""
    rows = store.rows("SELECT payload FROM events WHERE seq = ?", (seq,))
    if rows:
        return bytes(rows[0][0])
    from tokenworks.ledger.journal import sealed_payload

    return sealed_payload(store, segments, seq)
