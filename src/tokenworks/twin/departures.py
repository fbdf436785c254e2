"""Requests in the order in which they leave: taken from the kernel in chunks, handed over at once or kept to the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
        self._waits = options.allocate and self.division.waits
        self._waiting: list[Ints] = []  # rows that cannot be divided yet
        self._kept: list[tuple[Ints, RequestLog | None, Allocation | None]] = []  # for the result

    @property
    def wanted(self) -> bool:
        return self._options.record or self._options.allocate or self._sink is not None

    def take(self, rows: Ints) -> None:
        """A full chunk of LOG_COLUMNS; it is nobody else's from here on."""
        if self._waits:
            self._waiting.append(rows)
        else:
            self._pass_on(rows, 0)

    def finish(self, rows: Ints, st: State, stats: WorkerStats, count: int, end: int) -> Whole:
        """``rows``: the last that left. Raises ConservationError where shares and meters differ."""
        self.division.know(st)
        self._pass_on(np.concatenate([*self._waiting, rows, inside(st, self._options.allocate)]), end)
        whole = self._whole(st, count)
        self._waiting, self._kept = [], []
        if not self._options.allocate:
            return whole
        rest = self.division.rest(st, stats, end)
        return replace(whole, shares=rest if whole.shares is None else with_workers(whole.shares, rest))

    def _pass_on(self, rows: Ints, end: int) -> None:
        """Divided at once, whatever its length."""
        number, record = rows[:, c.L_ID].copy(), self._options.record
        log = log_of(rows) if record or self._sink else None
        shares = self.division.divide(rows) if self._options.allocate else None
        if record or self._sink is None:
            self._kept.append((number, log, None if self._sink else shares))
        if self._sink is None:
            return
        assert log is not None
        for part in cut(np.arange(len(rows)), self._options.chunk_rows):
            self._sink(Departed(number[part], _chosen(log, part), shares and _shares(shares, part), end))

    def _whole(self, st: State, count: int) -> Whole:
        """All that was kept, by number."""
        if not self._kept:
            return Whole(None, None, None)
        number = np.concatenate([number for number, _, _ in self._kept])
        logs = [log for _, log, _ in self._kept if log is not None]
        parts = [shares for _, _, shares in self._kept if shares is not None]
        shares = placed(joined(parts), number, count) if parts else None
        if not self._options.record:
            return Whole(None, None, shares)
        log = placed(joined(logs), number, count)
        pending = st.slot[st.slot[:, c.PHASE] == c.PENDING]
        log.arrival[pending[:, c.ID]] = pending[:, c.ARRIVAL]
        return Whole(log, number, shares)


def joined(parts: Sequence[Columns]) -> Columns:
    """Rows of requests one after the other."""
    names = [field.name for field in fields(parts[0])]
    return replace(parts[0], **{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def departed(result: TwinResult, most: int) -> Iterator[Departed]:
    """The same chunks from a result that has a log of all requests."""
    assert result.log is not None
    assert result.order is not None
    for number in cut(result.order, most):
        shares = None if result.allocation is None else _shares(result.allocation, number)
        yield Departed(number, _chosen(result.log, number), shares, result.end_ticks)


def _chosen(log: RequestLog, rows: Ints) -> RequestLog:
    """Rows of some requests, in this order."""
    return replace(log, **{field.name: getattr(log, field.name)[rows] for field in fields(log)})


def _shares(shares: Allocation, rows: Ints) -> Allocation:
    """The same, without rows of workers."""
    names = [field.name for field in fields(shares)]
    picked = {n: getattr(shares, n)[rows[:0] if n.startswith(("idle_", "lost_")) else rows] for n in names}
    return replace(shares, **picked)


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
    rows[:, c.L_WORKER] = np.where(slots[:, c.RANK] < 0, -1, st.rank[slots[:, c.RANK], c.RANK_WORKER])
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
