"""Running sums by tenant, run, model and hour, and of other costs by meter.

A sole writer writes them for some thousand events at once: what its roll-ups do not cover yet are the events after the
position ``rolled`` of the table ``meta``, which readers add and the next opening makes up for. Where that position is
missing (many writers, or a sum that comes near int64) they are written with every group.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, TypeAlias

from tokenworks.ledger.prepare import Cell
from tokenworks.ledger.store import Row, Store
from tokenworks.ledger.sums import COST_CELL, COST_SUMS, USAGE_CELL, USAGE_SUMS, Sums
from tokenworks.ledger.tail import rolled, tail_pairs

Pair: TypeAlias = tuple[Cell, Sums]  # what one event adds, and where

EVENTS_AT_ONCE = 4096  # whose sums wait in memory
LARGE = 2**40  # a number of one event from which sums are written at once: 2**23 smaller ones do not leave int64


class Rollups:
    """Of one writer. ``take`` and ``settle`` inside a transaction, then ``committed`` or ``undone``."""

    def __init__(self, store: Store):
        self._store = store
        self._rolled = rolled(store)  # None: nothing waits, ever
        self._waiting: dict[Cell, list[int]] = {}  # numbers since ``rolled``, one event's after the other's
        self._new: Sequence[Pair] = ()
        self._done: int | None = None  # position up to which this transaction writes
        self._stop = False

    def take(self, pairs: Sequence[Pair], last_seq: int) -> None:
        """A group's sums. OverflowError where one leaves int64."""
        self._new = pairs
        if self._rolled is None:
            write(self._store, sum_up(pairs))
            self._done = last_seq
        elif _large(pairs):
            self.settle(last_seq)
            self._store.run("DELETE FROM meta WHERE name = 'rolled'")
            self._stop = True
        elif last_seq - self._rolled >= EVENTS_AT_ONCE:
            self.settle(last_seq)

    def settle(self, last_seq: int) -> None:
        """Writes all that waits; the roll-ups then cover the ledger up to ``last_seq``."""
        if self._rolled is None:
            return
        write(self._store, _totals(_gather({cell: [*row] for cell, row in self._waiting.items()}, self._new)))
        self._store.run("UPDATE meta SET value = ? WHERE name = 'rolled'", (str(last_seq),))
        self._done = last_seq

    def committed(self) -> None:
        if self._done is None:
            _gather(self._waiting, self._new)
        else:
            self._waiting = {}
            self._rolled = None if self._rolled is None or self._stop else self._done
        self.undone()

    def undone(self) -> None:
        self._new, self._done, self._stop = (), None, False

    @property
    def waiting(self) -> bool:
        return bool(self._waiting)

    def catch_up(self) -> None:
        """Makes up for what a killed writer left, inside a transaction."""
        pairs = tail_pairs(self._store)
        if pairs:
            self._new = pairs
            self.settle(self._store.rows("SELECT max(last_seq) FROM batches")[0][0])


def _large(pairs: Sequence[Pair]) -> bool:
    every = list(chain.from_iterable([sums for _, sums in pairs]))
    return max(every, default=0) > LARGE or min(every, default=0) < -LARGE


def sum_up(pairs: Iterable[Pair]) -> dict[Cell, Sums]:
    """The sums of each cell that occurs."""
    return _totals(_gather({}, pairs))


def _gather(cells: dict[Cell, list[int]], pairs: Iterable[Pair]) -> dict[Cell, list[int]]:
    """Adds to cells, in place. Plain numbers in a list a cell: kept tuples would wake the garbage collector."""
    for cell, sums in pairs:
        row = cells.get(cell)
        if row is None:
            cells[cell] = list(sums)
        else:
            row += sums
    return cells


def _totals(cells: dict[Cell, list[int]]) -> dict[Cell, Sums]:
    return {
        cell: tuple(sum(row[place :: _width(cell)]) for place in range(_width(cell))) for cell, row in cells.items()
    }


def _width(cell: Cell) -> int:
    return len(USAGE_SUMS) if len(cell) == len(USAGE_CELL) else len(COST_SUMS)


def _conflict(table: str, cell: tuple[str, ...], sums: tuple[str, ...]) -> str:
    adding = ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in sums)
    return f"ON CONFLICT ({', '.join(cell)}) DO UPDATE SET {adding}"


_USAGE = _conflict("usage_sums", USAGE_CELL, USAGE_SUMS)
_COST = _conflict("cost_sums", COST_CELL, COST_SUMS)


def write(store: Store, cells: dict[Cell, Sums]) -> None:
    """Adds sums, one row per cell. OverflowError where a sum leaves int64."""
    for table, cell, sums, conflict in (
        ("usage_sums", USAGE_CELL, USAGE_SUMS, _USAGE),
        ("cost_sums", COST_CELL, COST_SUMS, _COST),
    ):
        flat: list[Any] = []
        for row in _of_width(cells, len(cell)):
            flat += row
        if flat:
            store.upsert(table, len(cell) + len(sums), flat, conflict)


def _of_width(cells: dict[Cell, Sums], width: int) -> list[Row]:
    return [(*cell, *sums) for cell, sums in cells.items() if len(cell) == width]


def rows_of(store: Store, table: str, cell: tuple[str, ...], sums: tuple[str, ...]) -> list[Row]:
    """Roll-up rows as they stand now; a cell may come twice, once with what waits."""
    stored = store.rows(f"SELECT {', '.join((*cell, *sums))} FROM {table}")
    return stored + _of_width(sum_up(tail_pairs(store)), len(cell))
