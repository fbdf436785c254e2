"""Replicas under a power budget: how many of those that are wanted may be up. No clock of its own; all state passed in and out.

Pools look at times of their own. Each gives replicas up at its look and starts one only where the watts are free by then: no
start ever breaks the budget, and a lower one is met once all have looked (at the second look where wishes change meanwhile).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

DAY_S = 86400.0
SLACK = 1e-9  # watts of rounding, relative
LEARNED = 0.1  # weight of a look's measurement
MOST_WRONG = 2.0  # of a worker model's watts, either way


class Pool(NamedTuple):
    """One pool of replicas, among those that share the budget."""

    rank: int  # of its service: 0 keeps its replicas longest
    least: int
    replica_w: float  # a replica at the load for which it is meant


class Budget(NamedTuple):
    """What the boards of all pools may draw."""

    day: tuple[tuple[float, float], ...]  # (second of the day, watts from then on; inf: no limit), the first at 0
    begins_s: float  # time of the day at which the virtual clock begins
    fixed_w: float  # of pools that are not scaled
    pools: tuple[Pool, ...]


class Standing(NamedTuple):
    """Replicas of each pool, carried from look to look."""

    wanted: tuple[int, ...]  # by the load
    told: tuple[int, ...]  # by the load and the budget


def standing_of(start: Sequence[int]) -> Standing:
    """At the beginning."""
    return Standing(tuple(start), tuple(start))


def watts_of(budget: Budget) -> tuple[float, ...]:
    """Of a replica of each pool, by its worker model."""
    return tuple(pool.replica_w for pool in budget.pools)


def grant(
    budget: Budget, standing: Standing, pool: int, wanted: int, limit_w: float, watts: Sequence[float]
) -> Standing:
    """At a look of one pool that wants so many replicas. ``watts``: of a replica of each pool, ``limit_w``: in all.

    Fewer at once, as all pools share the budget; more only where the others have already left it.
    """
    wishes = tuple(wanted if i == pool else n for i, n in enumerate(standing.wanted))
    share = allowed(budget, wishes, limit_w, watts)[pool]
    others_w = sum(n * w for i, (n, w) in enumerate(zip(standing.told, watts, strict=True)) if i != pool)
    room_w = limit_w - budget.fixed_w - others_w
    may = share if share <= standing.told[pool] else min(share, max(standing.told[pool], _fit(room_w, watts[pool])))
    replicas = max(budget.pools[pool].least, may)
    return Standing(wishes, tuple(replicas if i == pool else n for i, n in enumerate(standing.told)))


def allowed(budget: Budget, wanted: Sequence[int], limit_w: float, watts: Sequence[float]) -> tuple[int, ...]:
    """Replicas of each pool where all follow at once: the fewest, then by rank; pools of one service keep their ratio."""
    count = [pool.least for pool in budget.pools]
    left_w = limit_w - budget.fixed_w - sum(n * w for n, w in zip(count, watts, strict=True))
    for rank in sorted({pool.rank for pool in budget.pools}):
        peers = [i for i, pool in enumerate(budget.pools) if pool.rank == rank]
        while peers:
            i = min(peers, key=lambda p: (count[p] / max(1, wanted[p]), p))
            if count[i] >= wanted[i] or not _fit(left_w, watts[i]):
                peers.remove(i)
                continue
            count[i] += 1
            left_w -= watts[i]
    return tuple(count)


def _fit(room_w: float, replica_w: float) -> int:
    """Replicas that a room of watts feeds."""
    if math.isinf(room_w):
        return 1 << 40
    return max(0, math.floor(room_w / replica_w + SLACK))


def least_w(day: Sequence[tuple[float, float]], time_s: float, ahead_s: float) -> float:
    """The lowest budget from a time of the day on, for so long: what begins before the next look counts at this one."""
    now_s = time_s % DAY_S
    begin = max(i for i, (from_s, _) in enumerate(day) if from_s <= now_s)
    found = day[begin][1]
    for turn in range(1, len(day) + 1):
        place = begin + turn
        from_s = day[place % len(day)][0] + DAY_S * (place // len(day))
        if from_s > now_s + ahead_s:
            break
        found = min(found, day[place % len(day)][1])
    return found


def corrected(factor: float, measured_w: float, modelled_w: float) -> float:
    """By what a worker model's watts are to be multiplied, after one more look at what boards say they draw."""
    seen = min(MOST_WRONG, max(1.0 / MOST_WRONG, measured_w / modelled_w))
    return (1.0 - LEARNED) * factor + LEARNED * seen
