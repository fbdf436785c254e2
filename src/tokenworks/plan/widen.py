"""For a demand that nothing satisfies: the settings that refinement tries, all of them together, in the wide pass.

Speculation at all degrees comes first, then token budgets halved and doubled with and without it. Spaces of such replicas are
laid out one kind of system and one draft length at a time, so that memory stays that of a small demand, and of each those are
kept that could be the answer: whatever is best under all limits, and where nothing keeps them, the nearest ways out. So what
one kind of replica makes possible alone is never called infeasible; fleets of several services are made of those that no
other beats in systems and watts, as in `choose.shortlist`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from tokenworks.plan.allowed import Draft
from tokenworks.plan.candidates import NONE, Ints, Space
from tokenworks.plan.choose import Search, search, shortlist
from tokenworks.plan.drafts import drafts_of
from tokenworks.plan.limits import all_kept, service_needs
from tokenworks.plan.market import Market, Picks, columns, needs_of, worth
from tokenworks.plan.refine.small import joined
from tokenworks.plan.relax import ways_out
from tokenworks.plan.robust import WAYS, pessimistic
from tokenworks.plan.shapes import Shape, survey
from tokenworks.plan.survey import bare_market, measured_here, slowed
from tokenworks.plan.systems import allowed
from tokenworks.plan.wide import Wide, wide

SPECULATION, BUDGETS = (1.0,), (1.0, 0.5, 2.0)  # times the engine's token budget
BEST = 50  # configurations of a kind of system and draft length, by the first objective
Say = Callable[[str], None]


def widened(market: Market, say: Say) -> tuple[Market, Search]:
    """The first market in which something keeps all limits, else the last one; with what was found in it. ``market``: with
    the tails that its fleets are held to."""
    found = search(market)
    for name, times in (("speculation", SPECULATION), ("token budgets", BUDGETS)):
        say(f"nothing keeps the limits: looking at {name}")
        if times == SPECULATION and not any(_drafts(market, i) for i in range(len(market.spaces))):
            continue
        for way in _ways(market):
            more = _with_more(way, times)
            again = search(more)
            if again.feasible or way.way == market.way:
                market, found = more, again
            if again.feasible:
                return market, found
    return market, found


def _ways(market: Market) -> Iterator[Market]:
    """The market under every way of sharing a robust plan's margins, its own first."""
    yield market
    if market.robust:
        bare, _ = bare_market(market.demand)
        for way in range(len(WAYS)):
            if way != market.way:
                yield slowed(replace(bare, tails=market.tails, robust=True), way)


def _with_more(market: Market, times: tuple[float, ...]) -> Market:
    spaces = []
    for service, space in enumerate(market.spaces):
        for system in dict.fromkeys(kind.system for kind in space.kinds):
            for draft in (None, *_drafts(market, service)):
                space = _with_kind(market, service, space, system, draft, times)
        spaces.append(space)
    return replace(market, spaces=tuple(spaces)).laid()


def _drafts(market: Market, service: int) -> tuple[Draft, ...]:
    asked = market.spaces[service].asked
    return drafts_of(asked.service.model, asked.output_tokens)


def _with_kind(
    market: Market, service: int, space: Space, system: str, draft: Draft | None, times: tuple[float, ...]
) -> Space:
    """The space with replicas of one kind of system and draft length that are worth having."""
    if draft is None and times == SPECULATION:
        return space
    asked = space.asked
    may = replace(allowed(market.demand, asked.service, (system,)), drafts=(draft,), budget_times=times)
    shapes = measured_here(market.demand, survey(asked.service.model, asked.ask, may).shapes)
    if not shapes:
        return space
    more = replace(space, shapes=shapes, wide=wide(shapes, asked.ask))
    more = pessimistic(more, market.way, market.demand.headroom) if market.robust else more
    alone = replace(market, spaces=(more,), tails=(market.tails[service],), slower=(market.slower[service],)).laid()
    new = _only(more, _chosen(alone), set(space.shapes))
    return joined(space, new) if new.shapes else space


def _chosen(alone: Market) -> Ints:
    """Shapes of the configurations that could be the answer."""
    table, space = alone.tables[0], alone.spaces[0]
    if not len(table):
        return np.zeros(0, np.int64)
    rows = np.arange(len(table))[:, None]
    picks = Picks(rows, columns(alone, (table,), rows))
    own = np.flatnonzero(all_kept(service_needs(space.asked, table, alone.tails[0]), len(table)))
    needs = needs_of(alone, picks)
    kept = np.flatnonzero(all_kept(needs, len(table)))
    best = kept[np.argsort(worth(alone.demand, picks.take(kept).columns)[:, 0], kind="stable")[:BEST]]
    near = [] if len(kept) else [way.row for way in ways_out(needs, picks.columns["usd_h"])]
    chosen = np.unique(np.concatenate([shortlist(alone, 0, own) if len(own) else own, best, np.array(near, np.int64)]))
    used = np.concatenate([table.main[chosen], table.prefill[chosen]])
    return np.unique(space.wide.shape[used[used != NONE]])


def _only(space: Space, wanted: Ints, known: set[Shape]) -> Space:
    """The space with these shapes, those that are known left out."""
    new = np.array([i for i in wanted if space.shapes[i] not in known], np.int64)
    rows = np.flatnonzero(np.isin(space.wide.shape, new))
    columns_of = {name: getattr(space.wide, name)[rows] for name in Wide.__dataclass_fields__}
    columns_of["shape"] = np.searchsorted(new, columns_of["shape"])
    return replace(space, shapes=tuple(space.shapes[i] for i in new), wide=Wide(**columns_of))
