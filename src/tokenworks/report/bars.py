"""Stacked bars of text: parts of a whole as blocks that differ without colour, and their labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tokenworks.events.results import Share
from tokenworks.report.figures import percent

BLOCKS = "█▓▒░▚▞"


@dataclass(frozen=True)
class Part:
    """One part of a whole, with its amount in words."""

    label: str
    value: float
    amount: str = ""


def leaves(parts: Sequence[Share]) -> list[Share]:
    """The parts of a tree that nothing divides further; they sum to the root."""
    parents = {p.parent for p in parts}
    return [p for p in parts if p.label not in parents]


def largest(parts: Sequence[Part]) -> list[Part]:
    """In falling order; from the sixth on together, so that every part has a block of its own."""
    ordered = sorted(parts, key=lambda p: -p.value)
    if len(ordered) <= len(BLOCKS):
        return ordered
    kept = len(BLOCKS) - 1
    return [*ordered[:kept], Part("other", math.fsum(p.value for p in ordered[kept:]))]


def cells(values: Sequence[float], room: int) -> list[int]:
    """Whole cells in proportion that fill the room exactly.

    >>> cells([1.0, 1.0, 1.0], 10)
    [4, 3, 3]
    """
    total = math.fsum(values) or 1.0
    exact = [v / total * room for v in values]
    counts = [math.floor(v) for v in exact]
    order = sorted(range(len(values)), key=lambda i: (counts[i] - exact[i], i))
    for i in order[: room - sum(counts)]:
        counts[i] += 1
    return counts


def stacked(parts: Sequence[Part], room: int, colours: Sequence[str]) -> list[tuple[str, int, str]]:
    """(block, cells, colour) from left to right."""
    kept = largest(parts)
    counts = cells([p.value for p in kept], room)
    return list(zip(BLOCKS, counts, colours, strict=False))


def labels(parts: Sequence[Part], room: int) -> list[list[tuple[str, str, int]]]:
    """Rows of (block, label with share and amount, index) that fit the room, broken between labels."""
    kept, used = largest(parts), room + 1
    rows: list[list[tuple[str, str, int]]] = []
    total = math.fsum(p.value for p in kept) or 1.0
    for i, part in enumerate(kept):
        said = f"{part.label} {percent(part.value / total)}" + (f" {part.amount}" if part.amount else "")
        if used + len(said) + 4 > room:
            rows.append([])
            used = 0
        rows[-1].append((BLOCKS[i], said, i))
        used += len(said) + 4
    return rows
