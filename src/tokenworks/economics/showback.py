"""Who spent what, shown back: costs by cost centre along its hierarchy, exact to the micro-unit.

A cost centre is a path of names, "engineering/platform/search"; each row's amount counts for its own place and for
every place above it. Rows without a tag are a place of their own, so that the sum of the top places is always the total.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

UNTAGGED = "(untagged)"


@dataclass(frozen=True)
class Place:
    """One place of the hierarchy: what was spent in it and below it, and in it alone, in micro-units."""

    path: tuple[str, ...]
    total_micro: int
    own_micro: int


def showback(rows: Iterable[tuple[str, int]], tag: str = "cost_centre") -> list[Place]:
    """Places in the order of their paths. ``rows``: (tags as a JSON object or "", micro-units).

    >>> [(p.path, p.total_micro) for p in showback([('{"cost_centre":"a/b"}', 7), ('{"cost_centre":"a"}', 2), ("", 1)])]
    [(('(untagged)',), 1), (('a',), 9), (('a', 'b'), 7)]
    """
    own: Counter[tuple[str, ...]] = Counter()
    known: dict[str, tuple[str, ...]] = {}
    for tags, micro in rows:
        path = known.get(tags)
        if path is None:
            path = known[tags] = place_of(tags, tag)
        own[path] += micro
    total: Counter[tuple[str, ...]] = Counter()
    for path, micro in own.items():
        for above in _and_above(path):
            total[above] += micro
    return [Place(path, total[path], own[path]) for path in sorted(total)]


def place_of(tags: str, tag: str) -> tuple[str, ...]:
    """The path that a row's tags name; empty parts are left out.

    >>> place_of('{"cost_centre":"/a//b/"}', "cost_centre")
    ('a', 'b')
    """
    named = json.loads(tags).get(tag, "") if tags else ""
    return tuple(part.strip() for part in str(named).split("/") if part.strip()) or (UNTAGGED,)


def _and_above(path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for length in range(1, len(path) + 1):
        yield path[:length]
