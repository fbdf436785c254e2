"""Requests in the order in which they leave: taken from the kernel in chunks, handed over at once or kept to the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from typing import TypeVar

import numpy as np

from tokenworks.errors import ConservationError
from tokenworks.twin import columns as c
from tokenworks.twin.allocation import Division, with_workers
from tokenworks.twin.cell import (
    FINISHED,
    IN_SYSTEM,
    WAITING,
    Allocation,
    Cell,
    Departed,
    RequestLog,
    TwinOptions,
    TwinResult,
    WorkerStats,
)
from tokenworks.twin.layout import Ints
from tokenworks.twin.memory import State
from tokenworks.twin.unpacking import produced

Sink = Callable[[Departed], None]
Columns = TypeVar("Columns", RequestLog, Allocation)


@dataclass(frozen=True)
class Whole:
    """All requests of a run, in order of the input."""

    log: RequestLog | None
    order: Ints | None
    shares: Allocation | None  # without rows of workers


class Departures:
    """Chunks have ``options.chunk_rows`` requests, the last one fewer. Where the draw of a stepping worker is known at the end
    only (several clock levels), a sink gets them all then."""

    def __init__(self, cell: Cell, options: TwinOptions, sink: Sink | None):
        self._options, self._sink = options, sink
        self.division = Division(cell)
        self._kept: list[Ints] = []
        self._streams = sink is not None and not (options.allocate and self.division.waits)

    @property
    def wanted(self) -> bool:
        return self._options.record or self._options.allocate or self._sink is not None

    def take(self, rows: Ints) -> None:
        """A full chunk of LOG_COLUMNS; it is nobody else's from here on."""
        if self._streams:
            self._hand_over(rows, 0)
        if self._options.record or not self._streams:
            self._kept.append(rows)

    def finish(self, rows: Ints, st: State, stats: WorkerStats, count: int, end: int) -> Whole:
        """``rows``: the last that left. Raises ConservationError where shares and meters differ."""
        self.division.know(st)
        last = [rows, inside(st, self._options.allocate)]
        whole = self._whole(np.concatenate([*self._kept, *last]), st, count)
        if self._sink is not None:
            for chunk in cut(np.concatenate(last if self._streams else [*self._kept, *last]), self._options.chunk_rows):
                self._hand_over(chunk, end)
        self._kept = []
        if not self._options.allocate:
            return whole
        rest = self.division.rest(st, stats, end)
        return replace(whole, shares=rest if whole.shares is None else with_workers(whole.shares, rest))

    def _hand_over(self, rows: Ints, end: int) -> None:
        assert self._sink is not None
        shares = self.division.divide(rows) if self._options.allocate else None
        self._sink(Departed(rows[:, c.L_ID].copy(), log_of(rows), shares, end))

    def _whole(self, rows: Ints, st: State, count: int) -> Whole:
        """By number; divided in the order of leaving."""
        number = rows[:, c.L_ID].copy()
        divides = self._options.allocate and self._sink is None
        shares = placed(self.division.divide(rows), number, count) if divides else None
        if not self._options.record:
            return Whole(None, None, shares)
        log = placed(log_of(rows), number, count)
        pending = st.slot[st.slot[:, c.PHASE] == c.PENDING]
        log.arrival[pending[:, c.ID]] = pending[:, c.ARRIVAL]
        return Whole(log, number, shares)


def departed(result: TwinResult, most: int) -> Iterator[Departed]:
    """The same chunks from a result that has a log of all requests."""
    assert result.log is not None
    assert result.order is not None
    for number in cut(result.order, most):
        shares = None if result.allocation is None else _chosen(result.allocation, number, ("idle_", "lost_"))
        yield Departed(number, _chosen(result.log, number), shares, result.end_ticks)


def _chosen(columns: Columns, number: Ints, without: tuple[str, ...] = ("-",)) -> Columns:
    """Rows of some requests, in this order; columns that begin with one of ``without`` are left empty."""
    names = [field.name for field in fields(columns)]
    return replace(
        columns, **{n: getattr(columns, n)[number[:0] if n.startswith(without) else number] for n in names}
    )


def cut(rows: Ints, most: int) -> Iterator[Ints]:
    for start in range(0, len(rows), most):
        yield rows[start : start + most]


def inside(st: State, allocates: bool) -> Ints:
    """LOG_COLUMNS of the requests that came and have not left, by number."""
    there = np.flatnonzero(st.slot[:, c.PHASE] > c.PENDING)
    there = there[np.argsort(st.slot[there, c.ID])]
    slots, rows = st.slot[there], np.zeros((len(there), c.LOG_COLUMNS), np.int64)
    for to, column in ((c.L_ID, c.ID), (c.L_ARRIVAL, c.ARRIVAL), (c.L_FIRST, c.FIRST), (c.L_PREEMPTED, c.PREEMPTED)):
        rows[:, to] = slots[:, column]
    rows[:, c.L_FINISH], rows[:, c.L_STATUS] = -1, IN_SYSTEM
    rows[:, c.L_PRODUCED], rows[:, c.L_CACHED] = produced(slots, st), np.maximum(0, slots[:, c.CACHED])
    rows[:, c.L_WORKER] = st.rank[slots[:, c.RANK], c.RANK_WORKER]
    if allocates:
        rows[:, c.L_SHARE : c.L_SHARE + c.SHARE_COLUMNS] = st.own[there, c.O_SHARE :]
    return rows


def log_of(rows: Ints) -> RequestLog:
    if (rows[rows[:, c.L_STATUS] == FINISHED, c.L_FIRST] < 0).any():
        raise ConservationError("a request finished without a first token")
    small = lambda k: rows[:, k].astype(np.int32)  # noqa: E731
    return RequestLog(
        arrival=rows[:, c.L_ARRIVAL].copy(),
        first_token=rows[:, c.L_FIRST].copy(),
        finish=rows[:, c.L_FINISH].copy(),
        status=rows[:, c.L_STATUS].astype(np.int8),
        produced=small(c.L_PRODUCED),
        cached=small(c.L_CACHED),
        preemptions=small(c.L_PREEMPTED),
        worker=small(c.L_WORKER),
    )


NEVER_CAME = {"arrival": -1, "first_token": -1, "finish": -1, "worker": -1, "prefill_worker": -1, "status": WAITING}


def placed(rows: Columns, number: Ints, count: int) -> Columns:
    """Columns of a log or of shares by the numbers of the requests, of ``count`` requests; rows of workers stay."""
    made = {}
    for field in fields(rows):
        values = getattr(rows, field.name)
        if len(values) == len(number):
            made[field.name] = np.full(count, NEVER_CAME.get(field.name, 0), values.dtype)
            made[field.name][number] = values
    return replace(rows, **made)
