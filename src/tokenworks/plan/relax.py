"""Infeasible demands: which limits exclude each other, and the nearest ones that do not, with their price."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from tokenworks.plan.ask import Array
from tokenworks.plan.candidates import Ints
from tokenworks.plan.limits import Mask, Need, all_kept

SHOWN = 6


@dataclass(frozen=True)
class Way:
    """Limits that are moved, and the fleet (a row) that keeps them and all others at the least price."""

    moved: tuple[tuple[Need, float], ...]  # (limit, what it takes)
    row: int


def conflict(needs: Sequence[Need], count: int) -> tuple[Need, ...]:
    """A minimal set of limits that no fleet keeps all of: without any one of them some fleet does. Limits are taken out one
    by one (deletion filter); what can be left out without making a fleet possible is left out."""
    kept = list(needs)
    for need in needs:
        rest = [n for n in kept if n is not need]
        if not all_kept(rest, count).any():
            kept = rest
    return tuple(kept)


def impossible(needs: Sequence[Need]) -> tuple[Need, ...]:
    """Limits that no fleet keeps, whatever the others are."""
    return tuple(need for need in needs if not need.kept.any())


def ways_out(needs: Sequence[Need], price: Array) -> list[Way]:
    """The nearest relaxations: one limit moved, each as little as possible; two of them where one is not enough. The
    cheapest first. ``price``: dollars an hour of every row."""
    found = [way for need in needs if (way := _alone(need, needs, price))]
    if not found:
        clash = conflict(needs, len(price))
        found = [way for pair in combinations(clash, 2) if (way := _pair(pair, needs, price))]
    if not found:
        found = [_nearest(needs, price)] if len(price) else []
    return sorted(found, key=lambda way: float(price[way.row]))[:SHOWN]


def _others(needs: Sequence[Need], without: Sequence[Need], count: int) -> Mask:
    return all_kept([n for n in needs if all(n is not w for w in without)], count)


def _alone(need: Need, needs: Sequence[Need], price: Array) -> Way | None:
    rows = np.flatnonzero(_others(needs, (need,), len(price)))
    if not len(rows) or not need.field:
        return None
    least = float(need.needs[rows].min())
    near = rows[need.needs[rows] <= least * (1 + 1e-9)]
    return Way(((need, least),), int(near[np.argmin(price[near])]))


def _pair(
    pair: Sequence[Need], needs: Sequence[Need], price: Array
) -> Way | None:
    if not all(n.field for n in pair):
        return None
    rows = np.flatnonzero(_others(needs, pair, len(price)))
    return _least(pair, rows, price) if len(rows) else None


def _nearest(needs: Sequence[Need], price: Array) -> Way:
    """The fleet that breaks its limits by the smallest factor, whichever they are; only what the file says can move."""
    hard = [n for n in needs if not n.field]
    rows = np.flatnonzero(all_kept(hard, len(price)))
    return _least([n for n in needs if n.field], rows if len(rows) else np.arange(len(price)), price)


def _least(moved: Sequence[Need], rows: Ints, price: Array) -> Way:
    """The row whose largest excess over the moved limits is smallest; of equal ones the cheapest."""
    over = np.max([np.maximum(1.0, n.needs[rows] / n.limit) for n in moved], axis=0)
    row = int(rows[np.lexsort((price[rows], over.round(6)))[0]])
    broken = tuple((n, float(n.needs[row])) for n in moved if n.needs[row] > n.limit)
    return Way(broken, row)
