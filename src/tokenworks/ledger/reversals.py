"""Taking an event back: what it needs to know of the event, and when it must not."""

from __future__ import annotations

from pathlib import Path

import msgspec

from tokenworks.events.ledger_events import Reversal
from tokenworks.ledger.checked import trusted
from tokenworks.ledger.keys import key_of
from tokenworks.ledger.prepare import HOUR_US, Cell, Prepared, canonical, cell_of, in_hour
from tokenworks.ledger.sources import SEGMENTS, Sources
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
    found = _named(store, segments, sources, *event.target)
    if isinstance(found, str):
        return found
    seq, payload = found
    whole = trusted(payload)
    before = store.rows("SELECT seq FROM reversals WHERE of_seq = ?", (seq,))
    cell = cell_of(whole)
    cell = cell and in_hour(cell, event.time_us // HOUR_US)  # sums of a past hour never change
    return Target(seq, payload, before[0][0] if before else None, isinstance(whole, Reversal), cell, sums_of(whole))


def _named(
    store: Store, segments: Path | None, sources: Sources, source: str, event_id: str
) -> tuple[int, bytes] | str:
    """Place and canonical bytes of an event, or of a row of a bulk segment."""
    if source in sources.bulk:
        from tokenworks.ledger.bulk_rows import row_of

        found = row_of(store, segments, sources, source, event_id)
        return found if isinstance(found, str) else (found[0], canonical(found[1]))
    if source == SEGMENTS:
        return f"a segment is not reversed as a whole: name its key, {event_id!r}, as the source, and the id of a row"
    number = sources.find(source)
    rows = number and store.rows("SELECT seq FROM keys WHERE source = ? AND id = ?", (number, key_of(event_id)))
    if not rows:
        return f"no event {source!r} {event_id!r} to reverse"
    return rows[0][0], stored_payload(store, segments, rows[0][0])


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
