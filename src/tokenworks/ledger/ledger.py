"""The ledger: open it, append to it, correct it, close periods, seal, verify, ask."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from tokenworks.events.ledger_events import AnyEvent
from tokenworks.ledger import links, periods
from tokenworks.ledger.chain import Batch
from tokenworks.ledger.clock import Clock
from tokenworks.ledger.closing import close_period
from tokenworks.ledger.opening import open_store
from tokenworks.ledger.periods import Period
from tokenworks.ledger.prepare import Prepared, all_prepared
from tokenworks.ledger.receipt import Receipt
from tokenworks.ledger.store import Store
from tokenworks.ledger.writer import Writer

if TYPE_CHECKING:
    import pyarrow as pa

    from tokenworks.ledger.verify import Verdict


class Ledger:
    """One open ledger. Safe to share between threads: each call that writes is one transaction after the other."""

    def __init__(self, store: Store, segments: Path | None, clock: Clock):
        self.store, self.segments, self.clock = store, segments, clock
        self._writer = Writer(store, segments, clock)

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
            ledger._writer.catch_up()
        return ledger

    def append(self, events: Iterable[AnyEvent]) -> list[Receipt]:
        """Stores events durably in one transaction; one receipt each, in order. Nothing is stored where it raises."""
        return all_prepared(events, self.append_prepared)

    def append_prepared(self, ready: Sequence[Prepared]) -> list[Receipt]:
        rest = [ready] if ready else []
        receipts = self.commit_from(lambda: rest.pop() if rest else ())
        if receipts:
            self.store.sync()  # duplicates, too, may have been committed a moment ago by somebody who still syncs
        return receipts

    def commit_from(self, more: Callable[[], Sequence[Prepared]]) -> list[Receipt]:
        """One group of all that ``more`` hands over until it hands over nothing. Sync before you tell anybody."""
        return self._writer.commit_from(more)

    def writing(self, events: Sequence[Prepared] = ()) -> AbstractContextManager[list[Receipt]]:
        """A transaction for what is no group of events; the roll-ups then cover everything before it. ``events`` go before
        the rest, in the same transaction; it hands over their receipts."""
        return self._writer.writing(events)

    def snapshot(self) -> AbstractContextManager[None]:
        """What reads more than once sees one state in here. Not for use inside ``writing``."""
        return self._writer.snapshot()

    def link(self, kind: str, count: int, body: bytes, note: str) -> Batch:
        """Adds a link that is no group of events; call it inside ``writing``."""
        return self._writer.link(kind, count, body, note)

    def head(self) -> Batch | None:
        """The last link of the chain; None in an empty ledger."""
        return links.head(self.store)

    def batches(self) -> Iterator[Batch]:
        """The chain from its first link."""
        return links.batches(self.store)

    def probe(self) -> None:
        """Returns where events could be stored now: a commit that changes nothing is durable. OutputError where it fails."""
        self._writer.probe()

    def tidy(self) -> None:
        """Housekeeping that a writer under load should not have to wait for; call it from a thread now and then."""
        self._writer.tidy()

    def close_period(self, from_us: int, to_us: int, tenant: str = "") -> Period:
        """Fixes the ledger range and hash of [from_us, to_us), µs UTC, of one tenant or all ("")."""
        return close_period(self, from_us, to_us, tenant)

    def periods(self) -> list[Period]:
        """The closed ones, in the order of closing."""
        return periods.closed(self.store)

    def marks(self) -> list[tuple[int, str, int | None, int]]:
        """What was unusual: (seq, mark, closed period, events), in ledger order. A mark is ``late``, ``ahead``, or of a bulk
        segment ``late 3``, 3 being the period: a segment may be late in several."""
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

    def append_run(self, run_key: str, tables: Iterable[pa.Table], events: Iterable[AnyEvent] = ()) -> Receipt:
        """Stores the usage events of a run as segments, with its single events, all or none; see ``bulk_run.append_run``."""
        from tokenworks.ledger.bulk_run import append_run

        return append_run(self, run_key, tables, events)

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

    def close(self) -> None:
        self._writer.close()
        self.store.close()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
