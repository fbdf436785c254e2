"""Lower clocks in the wide pass, for the kinds of replicas that could win by them.

All clocks of all kinds would be five times the configurations, and pairs of pools many times more. A lower clock makes no
step shorter, so that a configuration needs no fewer GPUs, is busy no less and keeps no latency that it missed (the estimate of
TTFT may fall by 1%); and what a request takes in joules does not fall below the share `least_joules` of that at full clock. So
a configuration at full clock whose boards drew that share of their watts is at least as good as any of its lower clocks. Kinds
whose best such bound keeps the limits and beats the best fleet at full clock are laid out at every clock, the most promising
`MOST` of them.

Of a service alone without pools apart nothing is lost but by that number. Pools that no plan at full clock would pair are not
looked at, and services that share systems are bounded one by one.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tokenworks.physics.clocks import levels
from tokenworks.plan.ask import Array
from tokenworks.plan.candidates import NONE, Ints, Space, Table
from tokenworks.plan.choose import Search, ordered, own_kept, ranked, search
from tokenworks.plan.demand import Demand
from tokenworks.plan.descent import only
from tokenworks.plan.limits import all_kept, shared_needs
from tokenworks.plan.market import Market, Picks, columns, worth
from tokenworks.plan.refine.small import joined
from tokenworks.plan.robust import pessimistic
from tokenworks.plan.shapes import Shape
from tokenworks.plan.table import appended
from tokenworks.plan.wide import wide

MOST = 48  # kinds of replicas of a service that are laid out at lower clocks


def least_joules() -> float:
    """Share of a request's joules at full clock that remains at any level: every term of the power law keeps at least this
    share, the sampling kernels exactly it, and no step gets shorter.

    >>> round(least_joules(), 4)
    0.3004
    """
    return min(level.switching for level in levels())


def with_lower_clocks(market: Market, found: Search) -> tuple[Market, Search]:
    """The market with lower clocks of what could win by them, and its best fleets. As it was where the demand says itself
    which clocks may be used."""
    if market.demand.may_use.clocks:
        return market, found
    laid = [_with(market, i, kinds_for(market, i, found)) for i in range(len(market.spaces))]
    if all(len(new) == 0 for _, new in laid):
        return market, found
    more = replace(
        market,
        spaces=tuple(space for space, _ in laid),
        tables=tuple(appended(t, new) for t, (_, new) in zip(market.tables, laid, strict=True)),
    )
    if len(laid) > 1:
        return more, search(more)
    before, new = len(market.tables[0]), laid[0][1]
    rows = before + np.flatnonzero(own_kept(replace(market, tables=(new,)), 0))
    return more, _both(more, found, rows) if len(rows) else found


def kinds_for(market: Market, service: int, found: Search) -> Ints:
    """Shapes of a service that could win at a lower clock, the most promising first, at most `MOST`."""
    t, space = market.tables[service], market.spaces[service]
    picks = _alone(market, service, found)
    if not len(picks):
        return np.zeros(0, np.int64)
    bound = _bound(market.demand, picks.columns)
    could = all_kept(shared_needs(market.demand, bound), len(picks))
    values = worth(market.demand, bound)
    if found.feasible and len(market.spaces) == 1:
        could &= (values < worth(market.demand, found.picks.columns).min(axis=0)).any(axis=1)
    rows, values = picks.rows[could, 0], values[could]
    best: dict[int, None] = {}
    for place in _in_turn(values):
        row = rows[place]
        used = [int(t.main[row]), *([int(t.prefill[row])] if t.prefill[row] != NONE else [])]
        best.update(dict.fromkeys(int(space.wide.shape[u]) for u in used))
        if len(best) >= MOST:
            break
    return np.array(list(best), np.int64)


def _alone(market: Market, service: int, found: Search) -> Picks:
    """All fleets of one service that keep its own limits, whatever they break of the shared ones."""
    rows = np.flatnonzero(own_kept(market, service))
    if len(market.spaces) == 1 and len(rows) == len(found.picks):
        return found.picks
    return Picks(rows[:, None], columns(only(market, service), (market.tables[service],), rows[:, None]))


def _bound(demand: Demand, found: dict[str, Array]) -> dict[str, Array]:
    """Columns that no lower clock of these fleets beats. Watts at the meter are concave in those of the boards, so that they
    fall by no larger share. Units that fill a limit may be as many more as each of them saves."""
    least = least_joules()
    saved = (1 - least) * (found["energy_usd_h"] + found["demand_usd_h"])
    more = {
        "usd_h": found["usd_h"] - saved,
        "usd_per_mtok": found["usd_per_mtok"] * (1 - saved / found["usd_h"]),
        "tokens_per_joule": found["tokens_per_joule"] / least,
        **{name: found[name] * least for name in ("carbon", "board_w", "it_w", "facility_w")},
    }
    if "goodput" in demand.objectives:
        more["goodput"] = found["goodput"] / least
    return {**found, **more}


def _in_turn(values: Array) -> Ints:
    """Places by the objectives in turn: the best of each, the second of each …"""
    order = np.argsort(values, axis=0, kind="stable")
    return np.asarray(order.ravel())


def _with(market: Market, service: int, kinds: Ints) -> tuple[Space, Table]:
    """The service's space with these kinds at lower clocks too, and the configurations that have one."""
    space, t = market.spaces[service], market.tables[service]
    slow = [
        Shape(s.system, s.role, replace(s.deployment, clock=level.clock))
        for s in (space.shapes[k] for k in kinds)
        for level in levels()[1:]
    ]
    if not slow:
        return space, t.take(np.zeros(0, np.int64))
    more = replace(space, shapes=tuple(slow), wide=wide(slow, space.asked.ask))
    if market.robust:
        more = pessimistic(more, market.way, market.demand.headroom)
    both = joined(space, more)
    keep = np.flatnonzero(np.isin(both.wide.shape, [*kinds, *range(len(space.shapes), len(both.shapes))]))
    part = replace(both, wide=both.wide.take(keep))
    new = replace(only(market, service), spaces=(part,), slower=(market.slower[service],)).laid().tables[0]
    return both, _slower(both, keep, new)


def _slower(space: Space, keep: Ints, new: Table) -> Table:
    """Rows of a table of a part of the wide pass, as of the whole, in which some pool runs at a lower clock."""
    clock = np.array([s.deployment.clock for s in space.shapes])[space.wide.shape]
    main, apart = keep[new.main], new.prefill != NONE
    prefill = np.where(apart, keep[np.where(apart, new.prefill, 0)], NONE)
    slow = (clock[main] < 1) | (apart & (clock[prefill] < 1))
    return replace(new, main=main, prefill=prefill).take(np.flatnonzero(slow))


def _both(market: Market, found: Search, rows: Ints) -> Search:
    """Fleets of one service with those in some more rows."""
    more = ranked(market, rows[:, None], found.seen + len(rows), found.exact, found.gap)
    if found.feasible != more.feasible:
        return more if more.feasible else replace(found, seen=more.seen)
    picks = Picks(
        np.concatenate([found.picks.rows, more.picks.rows]),
        {n: np.concatenate([v, more.picks.columns[n]]) for n, v in found.picks.columns.items()},
    )
    return replace(more, picks=ordered(market, picks) if found.feasible else picks)
