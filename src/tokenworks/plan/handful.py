"""Which fleets of the wide pass are worth a rehearsal: a handful that differ."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tokenworks.plan.ask import Array
from tokenworks.plan.candidates import NONE
from tokenworks.plan.fronts import pareto
from tokenworks.plan.market import Market, Picks, worth

FRONT = 8  # of a Pareto front, spread over it
WITHIN = 3.0  # times the best: what costs more is not rehearsed


def handful(market: Market, picks: Picks, most: int) -> list[int]:
    """Rows of ``picks`` (sorted by the first objective): the best of every way to serve on every kind of system, the best
    first; of several objectives their front."""
    values = worth(market.demand, picks.columns)
    if values.shape[1] > 1:
        front = pareto(values)
        at = np.unique(np.linspace(0, len(front) - 1, min(FRONT, len(front))).round().astype(int))
        spread = [int(front[i]) for i in at]
        return [*spread, *(row for row in _differing(market, picks, values, most) if row not in spread)][
            : max(most, len(spread))
        ]
    return _differing(market, picks, values, most)


def _differing(market: Market, picks: Picks, values: Array, most: int) -> list[int]:
    """The best of every way, by the first objective."""
    best, found = float(values[0, 0]), dict[tuple[object, ...], int]()
    for row in _heads(market, picks):
        far = values[row, 0] > best * WITHIN if best > 0 else values[row, 0] > best / WITHIN
        key = _way(market, picks, row)
        if key not in found and not far:
            found[key] = row
    return sorted(found.values())[:most]


def other_degrees(market: Market, picks: Picks, most: int) -> list[int]:
    """The best row of every combination of degrees, the best first: for where the best of every way do not hold."""
    found: dict[tuple[object, ...], int] = {}
    for row in range(len(picks)):
        degrees: list[object] = []
        for i, t in enumerate(market.tables):
            r, space = picks.rows[row, i], market.spaces[i]
            used = [t.main[r]] + ([t.prefill[r]] if t.prefill[r] != NONE else [])
            cuts = [space.shapes[space.wide.shape[u]].deployment for u in used]
            degrees += [int(t.kind[r]), *((d.tp, d.pp, d.dp, d.ep) for d in cuts)]
        found.setdefault(tuple(degrees), row)
        if len(found) == most:
            break
    return list(found.values())


def _heads(market: Market, picks: Picks) -> Iterator[int]:
    """The first row of every combination of kinds and modes."""
    keys = np.concatenate(
        [
            np.stack([t.kind[picks.rows[:, i]], t.prefill[picks.rows[:, i]] == NONE], axis=1)
            for i, t in enumerate(market.tables)
        ],
        axis=1,
    )
    _, first = np.unique(keys, axis=0, return_index=True)
    yield from sorted(first.tolist())


def _way(market: Market, picks: Picks, row: int) -> tuple[object, ...]:
    """System and mode of every service: the same hardware on other terms behaves the same, the cheaper terms stand for it."""
    found: list[object] = []
    for i, t in enumerate(market.tables):
        r = picks.rows[row, i]
        found += [market.prices[int(t.kind[r])].kind.system, bool(t.prefill[r] == NONE)]
    return tuple(found)
