"""The ledger: open it, append to it, correct it, close periods, seal, verify, ask."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import msgspec

from tokenworks.errors import InputError, OutputError
from tokenworks.events.ledger_events import AnyEvent
from tokenworks.ledger import periods
from tokenworks.ledger.appender import Appender, Now
from tokenworks.ledger.chain import Batch, body_hash, next_batch
from tokenworks.ledger.clock import Clock
from tokenworks.ledger.opening import open_store
from tokenworks.ledger.periods import Period
from tokenworks.ledger.prepare import Prepared, prepare
from tokenworks.ledger.receipt import Receipt
from tokenworks.ledger.rollups import Rollups
from tokenworks.ledger.sources import Sources
from tokenworks.ledger.store import KeyTaken, Store
from tokenworks.ledger.tail import tail_pairs

if TYPE_CHECKING:
    import pyarrow as pa

    from tokenworks.ledger.verify import Verdict


class Ledger:
    """One open ledger. Safe to share between threads: each call that writes is one transaction after the other."""

    def __init__(self, store: Store, segments: Path | None, clock: Clock):
        self.store, self.segments, self.clock = store, segments, clock
        self._writing = threading.RLock()
        self._tidying = threading.Lock()
        self._sources: Sources | None = None
        self._rollups = Rollups(store)

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
        ledger = cls(store, segments or beside, clock or Clock())
        if not read_only:
            ledger._catch_up()
        return ledger

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
            return self._carefully(taken)
        except OverflowError:
            return self._singly(taken)

    def _carefully(self, taken: list[Prepared]) -> list[Receipt]:
        with self._transaction() as appender:
            receipts = appender.careful(taken)
            appender.finish()
        return receipts

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
        try:
            with self.store.writing():
                yield Appender(self.store, self._now(), self.segments)
        except BaseException:
            self._sources = None  # numbers that it gave out never were
            self._rollups.undone()
            raise
        self._rollups.committed()

    def _now(self) -> Now:
        if self._sources is None or not self._sources.current():
            self._sources = Sources(self.store)
        return Now(self.head(), self._sources, periods.closed(self.store), self.clock, self._rollups)

    def head(self) -> Batch | None:
        """The last link of the chain; None in an empty ledger."""
        rows = self.store.rows("SELECT * FROM batches ORDER BY batch DESC LIMIT 1")
        return _batch(rows[0]) if rows else None

    def link(self, kind: str, count: int, body: bytes, note: str) -> Batch:
        """Adds a link that is no group of events; call it inside ``store.writing()``."""
        batch = next_batch(self.head(), kind, count, body, note)
        self.store.insert("batches", 7, list(msgspec.structs.astuple(batch)))
        return batch

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """What reads more than once sees one state in here. Not for use inside ``writing``."""
        with self._writing, self.store.snapshot():
            yield

    def tidy(self) -> None:
        """Housekeeping that a writer under load should not have to wait for; call it from a thread now and then."""
        if self._tidying.acquire(blocking=False):
            try:
                self.store.tidy(self._writing)
            finally:
                self._tidying.release()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """A transaction for what is no group of events; the roll-ups then cover everything before it."""
        with self._writing:
            self._sources = None
            try:
                with self.store.writing():
                    self._settle()
                    yield
            except BaseException:
                self._rollups.undone()
                raise
            self._rollups.committed()

    def _settle(self) -> None:
        head = self.head()
        if head and self._rollups.waiting:
            self._rollups.settle(head.last_seq)

    def _catch_up(self) -> None:
        if tail_pairs(self.store):
            with self.store.writing():
                self._rollups.catch_up()
            self._rollups.committed()

    def close_period(self, from_us: int, to_us: int, tenant: str = "") -> Period:
        """Fixes the ledger range and hash of [from_us, to_us), µs UTC, of one tenant or all ("")."""
        with self.writing():
            before, head = periods.closed(self.store), self.head()
            periods.require_free(before, from_us, to_us, tenant)
            period = Period(len(before) + 1, tenant, from_us, to_us, head.last_seq if head else 0, 0)
            note = msgspec.json.encode(period, order="deterministic").decode()
            batch = self.link("close", 0, body_hash(()), note)
            periods.insert(self.store, period, batch)
        self.store.sync()
        return msgspec.structs.replace(period, batch=batch.batch, link=batch.link.hex())

    def periods(self) -> list[Period]:
        """The closed ones, in the order of closing."""
        return periods.closed(self.store)

    def marks(self) -> list[tuple[int, str, int | None, int]]:
        """What was unusual: (seq, ``late`` or ``ahead``, closed period, events), in ledger order."""
        return [
            (seq, mark, period, events)
            for seq, mark, period, events in self.store.rows("SELECT * FROM marks ORDER BY seq, mark")
        ]

    def seal(self, keep: int = 0) -> int:
        """Moves all but the newest ``keep`` events into Parquet segments; returns how many moved."""
        from tokenworks.ledger.sealing import seal

        return seal(self, keep)

    def append_segment(self, run_key: str, columns: Mapping[str, object] | pa.Table) -> Receipt:
        """Stores many usage events as one sealed segment under one key; see ``bulk.append_segment``."""
        from tokenworks.ledger.bulk import append_segment

        return append_segment(self, run_key, columns)

    def append_run(self, run_key: str, tables: Iterable[pa.Table]) -> Receipt:
        """Stores the usage events of a run as segments, all or none; see ``bulk_run.append_run``."""
        from tokenworks.ledger.bulk_run import append_run

        return append_run(self, run_key, tables)

    def usage_table(
        self, from_us: int = 0, to_us: int = 2**63 - 1, *, tenant: str | None = None, last_seq: int | None = None
    ) -> pa.Table:
        """USAGE_COLUMNS of events with times in [from_us, to_us), live and sealed, in ledger order up to ``last_seq``."""
        from tokenworks.ledger.reading import table

        return table(self, "usage", from_us, to_us, tenant, last_seq)

    def cost_table(
        self, from_us: int = 0, to_us: int = 2**63 - 1, *, tenant: str | None = None, last_seq: int | None = None
    ) -> pa.Table:
        """COST_COLUMNS, likewise."""
        from tokenworks.ledger.reading import table

        return table(self, "cost", from_us, to_us, tenant, last_seq)

    def outcome_table(
        self, from_us: int = 0, to_us: int = 2**63 - 1, *, tenant: str | None = None, last_seq: int | None = None
    ) -> pa.Table:
        """OUTCOME_COLUMNS, likewise."""
        from tokenworks.ledger.reading import table

        return table(self, "outcome", from_us, to_us, tenant, last_seq)

    def query(self, sql: str) -> pa.Table:
        """One SELECT (DuckDB) over the views usage, cost and outcome."""
        from tokenworks.ledger.reading import query

        return query(self, sql)

    def verify(self) -> Verdict:
        """Recomputes the chain from what is stored."""
        from tokenworks.ledger.verify import verify

        return verify(self)

    def batches(self) -> Iterator[Batch]:
        """The chain from its first link."""
        last = 0
        while rows := self.store.rows("SELECT * FROM batches WHERE batch > ? ORDER BY batch LIMIT 10000", (last,)):
            yield from map(_batch, rows)
            last = rows[-1][0]

    def close(self) -> None:
        if self._rollups.waiting:
            with suppress(OutputError), self.writing():  # what is left waiting, the next opening makes up for
                pass
        self.store.close()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _batch(row: tuple[Any, ...]) -> Batch:
    number, kind, first, last, body, note, link = row
    return Batch(number, kind, first, last, bytes(body), note, bytes(link))
