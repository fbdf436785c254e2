"""Several services, too many combinations to look at them all: descent from several starts.

What makes such fleets good is sharing: a server half used by one service is cheap for another. No service leaves a kind of
system by itself while the others stay on it, so descent starts once from the best of each service alone and once from
every kind of system with all services on it that it can serve; services then move one by one until none does, and from the
best of these ends two by two. A fleet over a limit counts as worse by how far it is over.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

import numpy as np

from tokenworks.plan.candidates import Ints
from tokenworks.plan.limits import shared_needs
from tokenworks.plan.market import Market, columns, worth

ROUNDS = 20  # over the services
VISITED = 50  # fleets kept of each step
ENDS = 3  # of single moves, from which pairs are moved
PAIR = 32  # configurations of a service in moves of two, the best alone


@dataclass
class Visits:
    """Fleets that a descent came by: those worth keeping, and how many it evaluated."""

    kept: list[Ints] = field(default_factory=list)
    seen: int = 0

    def best(self, market: Market, rows: Ints) -> Ints:
        """The best of these fleets, which are remembered."""
        order = by_excess(market, rows)
        self.kept.append(rows[order[:VISITED]])
        self.seen += len(rows)
        return np.asarray(rows[order[0]])


def descend(market: Market, fronts: Sequence[Ints]) -> tuple[Ints, int]:
    """(distinct fleets worth ranking, fleets evaluated), each service's configurations given."""
    ranked = [front[_alone(market, i, front)] for i, front in enumerate(fronts)]
    visits = Visits()
    ends = [_moved(market, visits, start, ranked, 1) for start in _starts(market, ranked)]
    distinct = np.unique(np.array(ends), axis=0)
    short = [front[:PAIR] for front in ranked]
    for end in distinct[by_excess(market, distinct)[:ENDS]]:
        _moved(market, visits, end, short, 2)
    return np.unique(np.concatenate(visits.kept), axis=0), visits.seen


def _starts(market: Market, ranked: Sequence[Ints]) -> Iterator[Ints]:
    """The best of each service, anywhere and on every kind of system; fronts are ordered by what is best alone."""
    yield np.array([front[0] for front in ranked], np.int64)
    for kind in range(len(market.prices)):
        here = [front[market.tables[i].kind[front] == kind] for i, front in enumerate(ranked)]
        yield np.array([(own if len(own) else front)[0] for own, front in zip(here, ranked, strict=True)], np.int64)


def _moved(market: Market, visits: Visits, start: Ints, fronts: Sequence[Ints], together: int) -> Ints:
    """The fleet from which no ``together`` services can move to a better one."""
    now = start
    for _ in range(ROUNDS):
        before = now
        for moving in combinations(range(len(fronts)), together):
            grid = np.meshgrid(*(fronts[i] for i in moving), indexing="ij")
            rows = np.repeat(now[None, :], grid[0].size + 1, axis=0)  # the last one: nothing moves
            rows[:-1, list(moving)] = np.stack([g.ravel() for g in grid], axis=1)
            now = visits.best(market, rows)
        if (now == before).all():
            break
    return now


def _alone(market: Market, service: int, front: Ints) -> Ints:
    """Places in the front by what is best for the service alone."""
    one = only(market, service)
    found = columns(one, one.tables, front[:, None])
    return np.argsort(worth(market.demand, found)[:, 0], kind="stable")


def only(market: Market, service: int) -> Market:
    """The market of one of its services."""
    return replace(market, spaces=(market.spaces[service],), tables=(market.tables[service],))


def by_excess(market: Market, rows: Ints) -> Ints:
    """Rows by how far they are over limits, then by the first objective."""
    found = columns(market, market.tables, rows)
    over = np.zeros(len(rows))
    for need in shared_needs(market.demand, found):
        over += np.maximum(0.0, need.needs / need.limit - 1)
    return np.lexsort((worth(market.demand, found)[:, 0], over))
