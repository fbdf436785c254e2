"""The ledger: open it, append to it, correct it, close periods, seal, verify, ask."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import msgspec

from tokenworks.errors import InputError
from tokenworks.events.ledger_events import AnyEvent
from tokenworks.ledger import periods
from tokenworks.ledger.appender import Appender, Now
from tokenworks.ledger.chain import Batch, body_hash, next_batch
from tokenworks.ledger.clock import Clock
from tokenworks.ledger.opening import open_store
from tokenworks.ledger.periods import Period
from tokenworks.ledger.prepare import Prepared, prepare
from tokenworks.ledger.receipt import Receipt
from tokenworks.ledger.sources import Sources
from tokenworks.ledger.store import KeyTaken, Store

if TYPE_CHECKING:
    import pyarrow as pa

    from tokenworks.ledger.verify import Verdict


class Ledger:
    """One open ledger. Safe to share between threads: each call that writes is one transaction after the other."""

    def __init__(self, store: Store, segments: Path | None, clock: Clock):
        self.store, self.segments, self.clock = store, segments, clock
        self._writing = threading.RLock()
        self._sources: Sources | None = None

    @classmethod
    def open(
        cls,
        place: str | Path,
        *,
        read_only: bool = False,
        segments: Path | None = None,
        clock: Clock | None = None,
    ) -> Ledger:
        """A file (made where there is none) or ``postgresql://…``. Sealed segments lie in ``segments`` (default:
        beside the file; a server's ledger needs a folder that all its readers share)."""
        store, beside = open_store(str(place), read_only)
        return cls(store, segments or beside, clock or Clock())

    def append(self, events: Iterable[AnyEvent]) -> list[Receipt]:
        """Stores events durably in one transaction; one receipt each, in order. Nothing is stored where it raises."""
        receipts: dict[int, Receipt] = {}
        ready: list[Prepared] = []
        for place, event in enumerate(events):
            try:
                ready.append(prepare(event))
            except InputError as error:
                receipts[place] = Receipt("refused", note=str(error))
        answers = iter(self.append_prepared(ready))
        return [receipts.get(place) or next(answers) for place in range(len(ready) + len(receipts))]

    def append_prepared(self, ready: Sequence[Prepared]) -> list[Receipt]:
        rest = [ready] if ready else []
        receipts = self.commit_from(lambda: rest.pop() if rest else ())
        if receipts:
            self.store.sync()  # duplicates, too, may have been committed a moment ago by somebody who still syncs
        return receipts

    def commit_from(self, more: Callable[[], Sequence[Prepared]]) -> list[Receipt]:
        """One group of all that ``more`` hands over until it hands over nothing. Sync before you tell anybody."""
        taken: list[Prepared] = []
        with self._writing:
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
        if not group:
            return receipts
        with self._transaction() as appender:
            while group:
                taken += group
                receipts += appender.add(group)
                group = more()
            appender.finish()
        return receipts

    def _careful(self, taken: list[Prepared]) -> list[Receipt]:
        try:
            with self._transaction() as appender:
                receipts = appender.careful(taken)
                appender.finish()
            return receipts
        except OverflowError:
            return self._singly(taken)

    def _singly(self, taken: list[Prepared]) -> list[Receipt]:
        """Each event in a transaction of its own, so that only the one whose sums overflow is refused."""
        receipts = []
        for event in taken:
            try:
                with self._transaction() as appender:
                    receipts += appender.careful([event])
                    appender.finish()
            except OverflowError as error:
                receipts.append(Receipt("refused", note=str(error)))
        return receipts

    @contextmanager
    def _transaction(self) -> Iterator[Appender]:
        try:
            with self.store.writing():
                yield Appender(self.store, self._now())
        except BaseException:
            self._sources = None  # numbers that it gave out never were
            raise

    def _now(self) -> Now:
        if self._sources is None or not self._sources.current():
            self._sources = Sources(self.store)
        return Now(self.head(), self._sources, periods.closed(self.store), self.clock)

    def head(self) -> Batch | None:
        """The last link of the chain; None in an empty ledger."""
        rows = self.store.rows("SELECT * FROM batches ORDER BY batch DESC LIMIT 1")
        return _batch(rows[0]) if rows else None

    def link(self, kind: str, count: int, body: bytes, note: str) -> Batch:
        """Adds a link that is no group of events; call it inside ``store.writing()``."""
        batch = next_batch(self.head(), kind, count, body, note)
        self.store.insert("batches", 7, list(msgspec.structs.astuple(batch)))
        return batch

    def close_period(self, from_us: int, to_us: int, tenant: str = "") -> Period:
        """Fixes the ledger range and hash of [from_us, to_us), µs UTC, of one tenant or all ("")."""
        with self._writing, self.store.writing():
            before = periods.closed(self.store)
            periods.require_free(before, from_us, to_us, tenant)
            head = self.head()
            period = Period(len(before) + 1, tenant, from_us, to_us, head.last_seq if head else 0, 0)
            note = msgspec.json.encode(period, order="deterministic").decode()
            batch = self.link("close", 0, body_hash(()), note)
            periods.insert(self.store, period, batch)
            return msgspec.structs.replace(period, batch=batch.batch, link=batch.link.hex())

    def periods(self) -> list[Period]:
        """The closed ones, in the order of closing."""
        return periods.closed(self.store)

    def close(self) -> None:
        self.store.close()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _batch(row: tuple[Any, ...]) -> Batch:
    number, kind, first, last, body, note, link = row
    return Batch(number, kind, first, last, bytes(body), note, bytes(link))
