"""Who spent what, shown back: usage and costs by place along a hierarchy, exact to the micro-unit.

A cost centre is a path of names, "engineering/platform/search"; what belongs to a place counts for it and for every
place above it. What names no place is a place of its own, so that the sum of the top places is always the total.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, replace

from tokenworks.errors import InputError

UNTAGGED = "(untagged)"


@dataclass(frozen=True)
class Spent:
    """Sums, all but carbon exact. ``uncosted``, ``unpowered``, ``unmeasured``: events whose cost, energy or tokens nobody
    knows."""

    calls: int = 0
    tokens: int = 0
    energy_uj: int = 0
    usage_micro: int = 0  # of model calls
    other_micro: int = 0  # of tools and other cost events
    commitment_micro: int = 0  # its share of what was paid ahead
    uncosted: int = 0
    unpowered: int = 0
    unmeasured: int = 0
    carbon_ug: float = 0.0

    @property
    def micro(self) -> int:
        return self.usage_micro + self.other_micro + self.commitment_micro

    def __add__(self, other: Spent) -> Spent:
        return Spent(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


@dataclass(frozen=True)
class Place:
    """One place of the hierarchy: what was spent in it and below it, and in it alone."""

    path: tuple[str, ...]
    total: Spent
    own: Spent


def showback(rows: Iterable[tuple[tuple[str, ...], Spent]]) -> list[Place]:
    """Places in the order of their paths.

    >>> rows = [(("a", "b"), Spent(usage_micro=7)), (("a",), Spent(usage_micro=2)), ((UNTAGGED,), Spent(usage_micro=1))]
    >>> [(p.path, p.total.micro) for p in showback(rows)]
    [(('(untagged)',), 1), (('a',), 9), (('a', 'b'), 7)]
    """
    own: dict[tuple[str, ...], Spent] = {}
    for path, spent in rows:
        own[path] = own.get(path, Spent()) + spent
    total: dict[tuple[str, ...], Spent] = {}
    for path, spent in own.items():
        for above in _and_above(path):
            total[above] = total.get(above, Spent()) + spent
    return [Place(path, total[path], own.get(path, Spent())) for path in sorted(total)]


def place_of(name: str | None) -> tuple[str, ...]:
    """The path that a tag's value names; empty parts are left out.

    >>> place_of("/a//b/"), place_of(None)
    (('a', 'b'), ('(untagged)',))
    """
    return tuple(part.strip() for part in (name or "").split("/") if part.strip()) or (UNTAGGED,)


def with_commitments(
    rows: Sequence[tuple[tuple[str, ...], Spent]], amount_micro: int, weights: Sequence[int]
) -> list[tuple[tuple[str, ...], Spent]]:
    """Adds to each row its share of an amount, by weight. Raises InputError where no row has a weight."""
    if amount_micro and sum(weights) <= 0:
        raise InputError("commitments cannot be spread: nothing has a weight; spread them by cost, tokens or calls")
    parts = in_parts(amount_micro, weights)
    return [
        (path, replace(spent, commitment_micro=spent.commitment_micro + part))
        for (path, spent), part in zip(rows, parts, strict=True)
    ]


def in_parts(amount: int, weights: Sequence[int]) -> list[int]:
    """Whole parts in proportion that sum to the amount: each is ⌊amount·W⌋ up to it less that before it.

    >>> in_parts(100, [1, 1, 1]), in_parts(0, [])
    ([33, 33, 34], [])
    """
    whole, until, parts = sum(weights), 0, []
    for weight in weights:
        before, until = until, until + weight
        parts.append(amount * until // whole - amount * before // whole if whole else 0)
    return parts


def _and_above(path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for length in range(1, len(path) + 1):
        yield path[:length]
