"""All that a ledger writes: one transaction after the other, each a group of events or something else with a link."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from tokenworks.errors import OutputError
from tokenworks.ledger import periods
from tokenworks.ledger.appender import Appender, Now
from tokenworks.ledger.chain import Batch, next_batch
from tokenworks.ledger.clock import Clock
from tokenworks.ledger.links import head
from tokenworks.ledger.prepare import Prepared
from tokenworks.ledger.receipt import Receipt
from tokenworks.ledger.rollups import Rollups
from tokenworks.ledger.sources import Sources
from tokenworks.ledger.store import ConnectionLostError, KeyTaken, Store
from tokenworks.ledger.tail import tail_pairs


class Writer:
    """Safe to share between threads: who comes second waits."""

    def __init__(self, store: Store, segments: Path | None, clock: Clock):
        self._store, self._segments, self._clock = store, segments, clock
        self._turn = threading.RLock()
        self._tidying = threading.Lock()
        self._rollups = Rollups(store)
        self._sources: Sources | None = None
        self._kept: Now | None = None  # what held after the last group, where nobody else can have changed it

    def commit_from(self, more: Callable[[], Sequence[Prepared]]) -> list[Receipt]:
        """One group of all that ``more`` hands over until it hands over nothing. Sync before you tell anybody."""
        taken: list[Prepared] = []
        with self._turn:
            try:
                return self._stored(more, taken)
            except ConnectionLostError as lost:
                return self._once_more(taken, lost)

    def _once_more(self, taken: list[Prepared], lost: ConnectionLostError) -> list[Receipt]:
        """On a new connection. What the lost one may have stored has ended by then (``Store.writing``) and is met by its keys as
        duplicates; links and sources are read anew."""
        try:
            return self._careful(taken)
        except OutputError as error:
            if lost.in_doubt:  # it says of the second attempt only what became of it
                raise lost from error
            raise

    def _stored(self, more: Callable[[], Sequence[Prepared]], taken: list[Prepared]) -> list[Receipt]:
        """``taken`` gets all that ``more`` handed over, whatever happens."""
        try:
            return self._quick(more, taken)
        except KeyTaken:
            pass
        except OverflowError:
            return self._singly(taken)
        return self._careful(taken)

    def _quick(self, more: Callable[[], Sequence[Prepared]], taken: list[Prepared]) -> list[Receipt]:
        receipts: list[Receipt] = []
        group = more()
        taken += group
        if not group:
            return receipts
        with self._transaction() as appender:
            while group:
                receipts += appender.add(group)
                group = more()
                taken += group
        return receipts

    def _careful(self, taken: list[Prepared]) -> list[Receipt]:
        try:
            return self._carefully(taken)
        except OverflowError:
            return self._singly(taken)

    def _carefully(self, taken: list[Prepared]) -> list[Receipt]:
        with self._transaction() as appender:
            return appender.careful(taken)

    def _singly(self, taken: list[Prepared]) -> list[Receipt]:
        """Each event in a transaction of its own, so that only the one whose sums overflow is refused."""
        receipts: list[Receipt] = []
        for event in taken:
            try:
                receipts += self._carefully([event])
            except OverflowError as error:
                receipts.append(Receipt("refused", note=str(error)))
        return receipts

    @contextmanager
    def _transaction(self) -> Iterator[Appender]:
        """A group's: what the appender took in is sealed at its end."""
        try:
            with self._store.writing():
                now = self._now()
                appender = Appender(self._store, now, self._segments)
                yield appender
                last = appender.finish()
        except BaseException:
            self._undo()
            raise
        self._rollups.committed()
        if self._store.sole:
            self._kept = msgspec.structs.replace(now, head=last or now.head)

    def _now(self) -> Now:
        if self._kept is not None:
            return self._kept
        if self._sources is None or not self._sources.current():
            self._sources = Sources(self._store)
        return Now(head(self._store), self._sources, periods.closed(self._store), self._clock, self._rollups)

    def _undo(self) -> None:
        """After a failure: numbers of sources that it gave out never were."""
        self._sources = self._kept = None
        self._rollups.undone()

    @contextmanager
    def writing(self, events: Sequence[Prepared] = ()) -> Iterator[list[Receipt]]:
        """A transaction for what is no group of events; the roll-ups then cover everything before it. ``events`` come first,
        a group of their own; their receipts are what is in hand. OverflowError where a sum of theirs leaves int64."""
        with self._turn:
            self._sources = self._kept = None
            try:
                with self._store.writing():
                    receipts = self._first(events)
                    self._settle()
                    yield receipts
            except BaseException:
                self._undo()
                raise
            self._rollups.committed()

    def _first(self, events: Sequence[Prepared]) -> list[Receipt]:
        if not events:
            return []
        appender = Appender(self._store, self._now(), self._segments)
        receipts = appender.careful(events)
        appender.finish()
        return receipts

    def link(self, kind: str, count: int, body: bytes, note: str) -> Batch:
        """Adds a link that is no group of events; call it inside ``writing``."""
        batch = next_batch(head(self._store), kind, count, body, note)
        self._store.insert("batches", 7, list(msgspec.structs.astuple(batch)))
        return batch

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """What reads more than once sees one state in here. Not for use inside ``writing``."""
        with self._turn, self._store.snapshot():
            yield

    def probe(self) -> None:
        """Commits what changes nothing, as durably as events."""
        with self._turn, self._store.writing():
            self._store.run("UPDATE meta SET value = value WHERE name = 'version'")
        self._store.sync()

    def tidy(self) -> None:
        """Housekeeping beside the writer."""
        if self._tidying.acquire(blocking=False):
            try:
                self._store.tidy(self._turn)
            finally:
                self._tidying.release()

    def _settle(self) -> None:
        last = head(self._store)
        if last and self._rollups.waiting:
            self._rollups.settle(last.last_seq)

    def catch_up(self) -> None:
        """Makes up for the roll-ups that a killed writer left waiting."""
        if tail_pairs(self._store):
            with self._store.writing():
                self._rollups.catch_up()
            self._rollups.committed()

    def close(self) -> None:
        if self._rollups.waiting:
            with suppress(OutputError), self.writing():  # what is left waiting, the next opening makes up for
                pass
