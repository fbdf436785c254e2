"""Rehearses the points of a sweep, those that a journal holds already taken from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from tokenworks.plan.sweep.figures import IMPOSSIBLE, OK, RANKS, Row, row_of
from tokenworks.plan.sweep.journal import Journal, keys_of
from tokenworks.plan.sweep.points import Changes
from tokenworks.spec.factory import Factory
from tokenworks.spec.paths import refuse_unknown
from tokenworks.twin.spread import Crew, Stop, spread


@dataclass(frozen=True)
class Sweep:
    """Points in their order, each with its figures; after an interruption only those that are done."""

    factory: str
    axes: tuple[str, ...]
    points: tuple[Changes, ...]
    rows: tuple[Row, ...]
    asked: int  # points of the whole sweep
    by: str
    sampled: bool = False

    @property
    def best(self) -> int | None:
        """The first best point of those that do what is asked of them; None where none does."""
        sign = -1.0 if RANKS[self.by] else 1.0
        fit = [
            (sign * row[self.by], i)
            for i, row in enumerate(self.rows)
            if row["state"] == OK and row[self.by] is not None
        ]
        return min(fit)[1] if fit else None

    @property
    def columns(self) -> tuple[str, ...]:
        """Figures that a row has, in the order in which they first occur."""
        return tuple(dict.fromkeys(name for row in self.rows for name in row))

    def built(self) -> list[int]:
        return [i for i, row in enumerate(self.rows) if row["state"] != IMPOSSIBLE]

    def value(self, number: int, path: str) -> str:
        return dict(self.points[number])[path]

    def figure(self, number: int, name: str) -> Any:
        return self.rows[number].get(name)


def sweep(
    factory: Factory,
    points: Sequence[Changes],
    crew: Crew,
    journal: Journal,
    by: str = "usd_per_mtok",
    sampled: bool = False,
    say: Callable[[str], None] = lambda _: None,
    stop: Stop = lambda: False,
) -> Sweep:
    """All points rehearsed. The same on any number of processes, on Ray, and after any number of interruptions.

    Raises SpecError for a path that the factory does not have, before anything is rehearsed.
    """
    paths = tuple(path for path, _ in points[0])
    for path in paths:
        refuse_unknown(factory, path)
    keys = keys_of(factory, list(points))
    left = [i for i, key in enumerate(keys) if key not in journal.rows]
    done = len(points) - len(left)
    say(f"rehearsed {done:,} of {len(points):,} points")
    for number, row in spread(partial(row_of, factory), [points[i] for i in left], crew, stop):
        journal.add(keys[left[number]], row)
        done += 1
        say(f"rehearsed {done:,} of {len(points):,} points")
    held = [i for i, key in enumerate(keys) if key in journal.rows]
    rows = tuple(journal.rows[keys[i]] for i in held)
    return Sweep(factory.name, paths, tuple(points[i] for i in held), rows, len(points), by, sampled)
