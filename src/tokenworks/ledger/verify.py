"""Recomputes the hash chain from what is stored and names the first thing that does not fit."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import TYPE_CHECKING

import msgspec

from tokenworks.errors import InputError
from tokenworks.ledger.bulk_rows import payload_at
from tokenworks.ledger.chain import FIRST_LINK, Batch, body_hash, entry_hash, link_hash
from tokenworks.ledger.checked import trusted
from tokenworks.ledger.journal import journal_rows, segments
from tokenworks.ledger.keys import key_of
from tokenworks.ledger.prepare import HASH_BYTES
from tokenworks.ledger.store import Row, Store
from tokenworks.ledger.tail import LIVE
from tokenworks.ledger.verify_segments import fault_of

if TYPE_CHECKING:
    from tokenworks.ledger.ledger import Ledger

ROWS_AT_ONCE = 50_000


class Verdict(msgspec.Struct, frozen=True):
    """``batch`` and ``seq`` name the first broken link and event; None: none is, or it is no single event."""

    sound: bool
    batches: int  # that were recomputed and fit
    events: int  # single ones and rows of bulk segments
    batch: int | None = None
    seq: int | None = None
    reason: str = ""


class _Broken(Exception):  # noqa: N818 - carries the verdict out of the walk
    def __init__(self, batch: int, reason: str, seq: int | None = None):
        self.batch, self.reason, self.seq = batch, reason, seq


def verify(ledger: Ledger) -> Verdict:
    """Walks all batches, live and sealed, then counts the keys."""
    with ledger.snapshot():
        return _walk(ledger)


def _walk(ledger: Ledger) -> Verdict:
    batches = events = 0
    try:
        stored = _Stored(ledger)
        before, last = FIRST_LINK, 0
        for batch in ledger.batches():
            _require_link(batch, before, batches + 1, last)
            events += stored.require_body(batch)
            before, last, batches = batch.link, batch.last_seq, batches + 1
        stored.require_end(batches)
        _require_keys(ledger.store, stored.singles, batches)
    except _Broken as broken:
        return Verdict(False, batches, events, broken.batch, broken.seq, broken.reason)
    return Verdict(True, batches, events)


def _require_link(batch: Batch, before: bytes, number: int, last: int) -> None:
    """The link must follow from the one before it, and its numbers from theirs."""
    if batch.batch != number:
        raise _Broken(number, f"batch {number} is missing")
    if batch.first_seq != last + 1:
        raise _Broken(number, f"batch {number} begins at event {batch.first_seq}, not at {last + 1}")
    seqs = (batch.first_seq, batch.last_seq)
    if link_hash(before, number, batch.kind, seqs, batch.body, batch.note) != batch.link:
        raise _Broken(number, f"the link of batch {number} does not follow from batch {number - 1} and its content")


class _Stored:
    """The stored events in order, beside the chain."""

    def __init__(self, ledger: Ledger):
        self._ledger, self._store = ledger, ledger.store
        self.singles = self._segments = self._periods = 0
        self._rows = all_rows(ledger)
        self._next: Row | None = next(self._rows, None)

    def require_body(self, batch: Batch) -> int:
        """What a batch covers must hash to its body; returns the number of events that it adds."""
        if batch.kind == "events":
            found = self._require_events(batch)
            self.singles += found
            return found
        if batch.kind in ("segment", "seal"):
            self._require_segment(batch)
            return batch.last_seq + 1 - batch.first_seq
        if batch.kind == "close":
            self._require_period(batch)
        return 0

    def _require_events(self, batch: Batch) -> int:
        rows = []
        while self._next is not None and self._next[0] <= batch.last_seq:
            rows.append(self._next)
            self._next = next(self._rows, None)
        entries = [entry_hash(sha256(payload).digest(), copy) for _, payload, copy in rows]
        if body_hash(entries) != batch.body:
            self._name_event(batch, rows)
        return len(rows)

    def _name_event(self, batch: Batch, rows: list[Row]) -> None:
        """Finds the event of a broken batch that is missing, strange or changed."""
        for expected, (seq, payload, copy) in enumerate(rows, batch.first_seq):
            if seq != expected:
                raise _Broken(
                    batch.batch, f"event {min(seq, expected)} of batch {batch.batch} is missing or strange", expected
                )
            if not _has_key(self._store, seq, payload):
                raise _Broken(batch.batch, f"event {seq} of batch {batch.batch} is not what was stored", seq)
            if copy is not None and not self._was_stored(_reversed_seq(self._store, seq), copy):
                raise _Broken(batch.batch, f"what event {seq} of batch {batch.batch} takes back was changed", seq)
        if batch.first_seq + len(rows) <= batch.last_seq:
            seq = batch.first_seq + len(rows)
            raise _Broken(batch.batch, f"event {seq} of batch {batch.batch} is missing", seq)
        raise _Broken(batch.batch, f"the events of batch {batch.batch} do not hash to what it says")

    def _was_stored(self, seq: int | None, payload: bytes) -> bool:
        """Whether this very payload stands at a place: by its key, or in a bulk segment."""
        if _has_key(self._store, seq, payload):
            return True
        try:
            return seq is not None and payload_at(self._store, self._ledger.segments, seq) == payload
        except InputError:
            return False

    def _require_segment(self, batch: Batch) -> None:
        self._segments += 1
        if fault := fault_of(self._store, self._ledger.segments, batch):
            raise _Broken(batch.batch, fault)

    def _require_period(self, batch: Batch) -> None:
        self._periods += 1
        note = msgspec.json.decode(batch.note)
        rows = self._store.rows("SELECT tenant, from_us, to_us, last_seq FROM periods WHERE batch = ?", (batch.batch,))
        if rows != [(note.get("tenant", ""), note["from_us"], note["to_us"], note["last_seq"])]:
            raise _Broken(batch.batch, f"the period closed by batch {batch.batch} was changed")

    def require_end(self, batches: int) -> None:
        if self._next is not None:
            raise _Broken(batches, f"event {self._next[0]} is in no batch", self._next[0])
        for table, links in (("segments", self._segments), ("periods", self._periods)):
            rows = self._store.rows(f"SELECT count(*) FROM {table}")[0][0]
            if rows != links:
                raise _Broken(batches, f"{rows} rows in the table of {table}, but {links} links of the chain")


def all_rows(ledger: Ledger) -> Iterator[Row]:
    """(seq, payload, copy) of all single events, sealed first, in order."""
    last = 0
    for segment in segments(ledger.store, "WHERE kind = 'seal'"):
        path = segment.path(ledger.segments, "journal") if ledger.segments else None
        if path is not None and path.is_file():  # a missing one is named by its seal
            yield from journal_rows(path)
        last = segment.last_seq
    while rows := ledger.store.rows(f"{LIVE} LIMIT {ROWS_AT_ONCE}", (last + 1, 2**63 - 1)):
        yield from ((seq, bytes(payload), None if copy is None else bytes(copy)) for seq, payload, copy in rows)
        last = rows[-1][0]


def _has_key(store: Store, seq: int | None, payload: bytes) -> bool:
    """Whether the key index holds this very payload at this place."""
    try:
        event = trusted(payload)
    except ValueError:
        return False
    found = store.rows(
        "SELECT k.seq, k.sha256 FROM keys k JOIN sources s ON s.number = k.source WHERE s.source = ? AND k.id = ?",
        (event.source, key_of(event.id)),
    )
    return [(at, bytes(short)) for at, short in found] == [(seq, sha256(payload).digest()[:HASH_BYTES])]


def _reversed_seq(store: Store, seq: int) -> int | None:
    rows = store.rows("SELECT of_seq FROM reversals WHERE seq = ?", (seq,))
    return rows[0][0] if rows else None


def _require_keys(store: Store, events: int, batches: int) -> None:
    """As many keys as events and bulk segments: none may be stored twice, none be forgotten."""
    keys = store.rows("SELECT count(*) FROM keys")[0][0]
    bulk = store.rows("SELECT count(*) FROM segments WHERE kind = 'bulk'")[0][0]
    if keys != events + bulk:
        raise _Broken(batches, f"{keys} keys for {events} events and {bulk} bulk segments")
