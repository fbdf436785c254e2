"""Fleets of the highest rate that the limits allow: what goodput is planned with.

No limit needs less at a higher rate (carbon per token apart, which falls as idle watts are shared), and a rate needs of each
pool the workers that carry it, rounded up. So a pair's highest rate is one that fills a pool: a multiple of what one of its
workers carries. The highest allowed multiple of the slower worker's is searched for; between it and the next one lies
at most one multiple of the faster worker's, and that is looked at too. No other number of workers of the two pools does more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from tokenworks.plan.ask import Array
from tokenworks.plan.candidates import NONE, Ints, Space, Table, aggregated
from tokenworks.plan.pairing import joined_pools

MOST = 2.0**20  # slower workers
FIRST = 1024.0  # of them are looked at first: many enough that limits grow in proportion
GUESSES = 8  # in proportion; then by halves
ROUNDING = 1e-9
Shares = Callable[[Table], Array]  # of the limit that a configuration fills most; above 1: it breaks it


def filled(space: Space, unit: Table, shares: Shares, headroom: float, slower: float) -> Table:
    """The configurations of a table, each at the highest rate at which it keeps the limits; at that of one slower worker where
    even this breaks them."""
    decode, prefill = _a_worker_carries(space, unit, headroom, slower)
    fine, coarse = np.fmin(decode, prefill), np.fmax(decode, prefill)

    def at(rows: Ints, rate_s: Array) -> tuple[Table, Array]:
        made = at_rates(space, unit.take(rows), rate_s, headroom, slower)
        return made, shares(made)

    count = _highest(len(unit), lambda rows, n: at(rows, n * fine[rows])[1])
    rate_s = np.maximum(1.0, count) * fine
    between = (np.floor(rate_s / coarse + ROUNDING) + 1) * coarse
    rows = np.flatnonzero((count > 0) & (between < (count + 1) * fine))
    better = rows[at(rows, between[rows])[1] <= 1 + ROUNDING] if len(rows) else rows
    rate_s[better] = between[better]
    return at_rates(space, unit, rate_s, headroom, slower)


def _highest(size: int, shares: Callable[[Ints, Array], Array]) -> Array:
    """(size,) the highest number of each row that breaks no limit, at most `MOST`; 0: one is too many. Guessed in proportion to
    what the last number filled, so that few are looked at."""
    low, high = np.zeros(size), np.full(size, MOST)
    guess, rows, turn = np.full(size, FIRST), np.arange(size), 0
    while len(rows):
        filled_by = shares(rows, guess[rows])
        kept = filled_by <= 1 + ROUNDING
        low[rows] = np.where(kept, guess[rows], low[rows])
        high[rows] = np.where(kept, high[rows], guess[rows] - 1)
        turn += 1
        middle = np.ceil((low + high) / 2)[rows]
        near = np.floor(guess[rows] / np.maximum(filled_by, 1 / MOST) + ROUNDING)
        guess[rows] = np.clip(near, low[rows] + 1, high[rows]) if turn <= GUESSES else middle
        rows = rows[low[rows] < high[rows]]
    return low


_COLUMNS = tuple(Table.__dataclass_fields__)


def at_rates(space: Space, t: Table, rate_s: Array, headroom: float, slower: float) -> Table:
    """The configurations of a table with as many workers as each one's rate needs."""
    columns = {name: np.array(getattr(t, name)) for name in _COLUMNS}
    for number, apart, rows in _alike(t):
        if apart:
            made = joined_pools(space, number, t.prefill[rows], t.main[rows], rate_s[rows], headroom, slower)
        else:
            made = aggregated(space, number, t.main[rows], rate_s[rows], headroom, slower)
        for name in _COLUMNS:
            columns[name][rows] = getattr(made, name)
    return Table(**columns)


def _alike(t: Table) -> Iterator[tuple[int, bool, Ints]]:
    """Rows of every kind of system, aggregated and apart."""
    for number in np.unique(t.kind).tolist():
        for apart in (False, True):
            rows = np.flatnonzero((t.kind == number) & ((t.prefill != NONE) == apart))
            if len(rows):
                yield number, apart, rows


def _a_worker_carries(space: Space, t: Table, headroom: float, slower: float) -> tuple[Array, Array]:
    """Requests per second of one worker that decodes (or does both), and of one that computes prompts; NaN: there is none."""
    able = space.wide.requests_s * slower * (1 - headroom)
    return able[t.main], np.where(t.prefill == NONE, np.nan, able[t.prefill])
