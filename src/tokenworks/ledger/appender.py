"""One group of events in one transaction: keys, events, roll-ups, marks and the link of the chain, or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec

from tokenworks.ledger.chain import Batch, body_hash, entry_hash, next_batch
from tokenworks.ledger.clock import Clock
from tokenworks.ledger.periods import Period
from tokenworks.ledger.prepare import HASH_BYTES, Prepared
from tokenworks.ledger.receipt import Receipt
from tokenworks.ledger.reversals import Target, refusal, target_of
from tokenworks.ledger.rollups import Pair, Rollups
from tokenworks.ledger.sources import Sources
from tokenworks.ledger.store import KeyTaken, Store
from tokenworks.ledger.sums import negated

KEYS_AT_ONCE = 500  # looked up in one query


class Now(msgspec.Struct):
    """What holds when a transaction begins."""

    head: Batch | None
    sources: Sources
    periods: list[Period]
    clock: Clock
    rollups: Rollups


class Appender:
    """Lives inside one transaction. ``add`` takes events as they come; ``finish`` seals them as one batch."""

    def __init__(self, store: Store, now: Now, segments: Path | None):
        self._store, self._now, self._segments = store, now, segments
        self._seq = now.head.last_seq if now.head else 0
        self._batch = now.head.batch + 1 if now.head else 1
        self._entries: list[bytes] = []
        self._pairs: list[Pair] = []
        self._marks: list[Any] = []
        self._usual = now.clock.usual(now.periods)

    def add(self, group: Sequence[Prepared]) -> list[Receipt]:
        """Stores events that are expected to be new. KeyTaken where one is not: use ``careful`` in a new transaction."""
        notes = self._notes(group)
        if notes is None or [event for event in group if event.target is not None]:
            raise KeyTaken
        first, batch = self._seq + 1, self._batch
        self._insert(group)
        return [Receipt("stored", seq, batch, note) for seq, note in enumerate(notes, first)]

    def _notes(self, group: Sequence[Prepared]) -> list[str] | None:
        """What is unusual about each event's time; None where one must be refused."""
        earliest, latest = self._usual
        notes = [""] * len(group)
        times = [event.time_us for event in group]
        if earliest <= min(times) and max(times) <= latest and self._now.sources.single(group):
            return notes
        for place, event in enumerate(group):
            if event.source in self._now.sources.bulk:
                return None
            if not earliest <= event.time_us <= latest:
                if self._now.clock.refusal(event.time_us):
                    return None
                notes[place] = self._mark(event, self._seq + 1 + place)
        return notes

    def _mark(self, event: Prepared, seq: int) -> str:
        """Remembers that an event is late or ahead of the clock."""
        late = next((period for period in self._now.periods if period.holds(event.time_us, event.tenant)), None)
        if late:
            self._marks += (seq, "late", late.period, 1)
            return f"late: {late} is closed; an adjustment of the open period"
        ahead = self._now.clock.ahead(event.time_us)
        if ahead:
            self._marks += (seq, "ahead", None, 1)
        return ahead

    def _insert(self, group: Sequence[Prepared]) -> None:
        seqs = range(self._seq + 1, self._seq + 1 + len(group))
        digests, blob = [event.sha256 for event in group], self._store.blob
        sources, keys = self._now.sources.numbers(group), [blob(event.key) for event in group]
        shorts = [blob(digest[:HASH_BYTES]) for digest in digests]
        payloads = [blob(event.payload) for event in group]
        self._store.insert("keys", 4, list(chain.from_iterable(zip(sources, keys, seqs, shorts, strict=True))))
        self._store.insert("events", 2, list(chain.from_iterable(zip(seqs, payloads, strict=True))))
        self._entries += digests
        self._pairs += [(event.cell, event.sums) for event in group if event.cell is not None]
        self._seq += len(group)

    def careful(self, group: Sequence[Prepared]) -> list[Receipt]:
        """Stores what is new and answers for the rest: duplicates, conflicts, refusals; reversals in their order."""
        known = self._known(group)
        receipts: list[Receipt] = []
        waiting: list[Prepared] = []
        for event in group:
            name, short = (self._now.sources.number(event.source), event.key), event.sha256[:HASH_BYTES]
            if name in known:
                receipts.append(_met(*known[name], short))
                continue
            receipt = self._fresh(event, waiting)
            if receipt.seq is not None:
                known[name] = (receipt.seq, short)
            receipts.append(receipt)
        self._flush(waiting)
        return receipts

    def _fresh(self, event: Prepared, waiting: list[Prepared]) -> Receipt:
        """Takes a new event in, or refuses it."""
        why = self._now.sources.refusal(event.source) or self._now.clock.refusal(event.time_us)
        if why:
            return Receipt("refused", note=why)
        if event.target is None:
            seq = self._seq + len(waiting) + 1
            waiting.append(event)
            return Receipt("stored", seq, self._batch, self._note(event, seq))
        self._flush(waiting)
        return self._reverse(event)

    def _note(self, event: Prepared, seq: int) -> str:
        earliest, latest = self._usual
        return "" if earliest <= event.time_us <= latest else self._mark(event, seq)

    def _flush(self, waiting: list[Prepared]) -> None:
        if waiting:
            self._insert(waiting)
            waiting.clear()

    def _reverse(self, event: Prepared) -> Receipt:
        """Adds what takes another event back: a copy of it, and its sums with the other sign."""
        target = target_of(self._store, self._segments, self._now.sources, event)
        if not isinstance(target, Target):
            return Receipt("refused", note=target)
        why = refusal(target)
        if why:
            return Receipt("refused", note=why)
        seq = self._seq + 1
        self._insert([event])
        self._store.insert("reversals", 3, [target.seq, seq, target.payload])
        self._entries[-1] = entry_hash(event.sha256, target.payload)
        if target.cell is not None:
            self._pairs.append((target.cell, negated(target.sums)))
        return Receipt("stored", seq, self._batch, self._note(event, seq))

    def _known(self, group: Sequence[Prepared]) -> dict[tuple[int, bytes], tuple[int, bytes]]:
        """Keys of the group that are taken: (source, id) → (seq, hash)."""
        number = self._now.sources.number
        names = list({(number(event.source), event.key) for event in group})
        found = {}
        for start in range(0, len(names), KEYS_AT_ONCE):
            part = names[start : start + KEYS_AT_ONCE]
            places = ",".join(["(?,?)"] * len(part))
            sql = f"SELECT source, id, seq, sha256 FROM keys WHERE (source, id) IN (VALUES {places})"
            for source, key, seq, short in self._store.rows(sql, [value for name in part for value in name]):
                found[source, bytes(key)] = (seq, bytes(short))
        return found

    def finish(self) -> Batch | None:
        """Roll-ups, marks and the link of everything added; None where nothing new came."""
        if not self._entries:
            return None
        self._now.rollups.take(self._pairs, self._seq)
        if self._marks:
            self._store.insert("marks", 4, self._marks)
        batch = next_batch(self._now.head, "events", len(self._entries), body_hash(self._entries))
        self._store.insert("batches", 7, list(msgspec.structs.astuple(batch)))
        return batch


def _met(seq: int, stored: bytes, short: bytes) -> Receipt:
    if stored == short:
        return Receipt("duplicate", seq)
    return Receipt(
        "conflict", seq, note=f"its key holds another payload at {seq}; correct it by reversal and a new event"
    )
