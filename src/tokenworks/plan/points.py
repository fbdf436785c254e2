"""Points of the charts on which the industry argues: tokens/s/user against tokens/s/MW and against $/Mtok, for every kind of
system and way to serve the configurations that no other of the same beats."""

from __future__ import annotations

import numpy as np

from tokenworks.plan.ask import Array
from tokenworks.plan.candidates import NONE, Ints
from tokenworks.plan.describe import text_of
from tokenworks.plan.limits import all_kept
from tokenworks.plan.market import Market, Picks, columns, needs_of
from tokenworks.plan.result import Point

MOST = 24  # of a series


def points(market: Market) -> tuple[Point, ...]:
    """Of the first service at its demand, latency objectives left aside."""
    one = Market(
        market.demand,
        market.spaces[:1],
        market.prices,
        market.tails[:1],
        market.slower[:1],
        market.robust,
        market.tables[:1],
    )
    t = one.tables[0]
    rows = np.flatnonzero((t.kv_share <= 1.0) & (t.tpot_s > 0))
    if not len(rows):
        return ()
    found = columns(one, one.tables, rows[:, None])
    users, mega, price = 1.0 / t.tpot_s[rows], found["tokens_s"] / found["facility_w"] * 1e6, found["usd_per_mtok"]
    kept = all_kept(needs_of(one, Picks(rows[:, None], found)), len(rows))
    drawn = list[Point]()
    for kind in np.unique(t.kind[rows]):
        for apart in (False, True):
            mine = np.flatnonzero((t.kind[rows] == kind) & ((t.prefill[rows] != NONE) == apart))
            for i in _shown(users, mega, price, mine):
                name = one.prices[int(kind)].kind.said + (", disaggregated" if apart else "")
                text = text_of(one, Picks(rows[:, None], found), int(i))
                drawn.append(Point(name, float(users[i]), float(mega[i]), float(price[i]), text, bool(kept[i])))
    return tuple(drawn)


def _shown(users: Array, mega: Array,
           price: Array, mine: Ints) -> Ints:  # fmt: skip
    """The upper edge of both charts, thinned."""
    edges = [_edge(users, value, mine) for value in (mega, -price)]
    found = [
        e[np.unique(np.linspace(0, len(e) - 1, min(MOST // 2, len(e))).round().astype(int))] for e in edges if len(e)
    ]
    return np.unique(np.concatenate(found)) if found else mine[:0]


def _edge(users: Array, value: Array,
          mine: Ints) -> Ints:  # fmt: skip
    """Rows that no other beats in both, the fastest user first."""
    order = mine[np.lexsort((-value[mine], -users[mine]))]
    if not len(order):
        return order
    best = np.maximum.accumulate(np.concatenate([[-np.inf], value[order][:-1]]))
    return order[value[order] > best]
