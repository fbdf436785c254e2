"""From configurations to fleets: columns of what counts, the best under all limits, fronts of two or three objectives.

One service: every configuration is looked at. Several services share systems, power and dollars: each service's
configurations are reduced to those that no other beats in everything that is shared (GPUs by kind of system, watts of its
boards, the network between systems); their product is evaluated whole where it is small. Where it is large, fleets are
improved step by step (`plan.descent`), and a bound says how far from the best that can be: no fleet costs less than the sum
of what each service alone would need of systems that may be cut to fractions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from tokenworks.plan.candidates import Ints
from tokenworks.plan.descent import descend, only
from tokenworks.plan.fronts import pareto
from tokenworks.plan.limits import Mask, all_kept, service_needs, shared_needs
from tokenworks.plan.market import Market, Picks, columns, crossing, worth

EXACT = 200_000  # combinations that are evaluated whole
KEPT = 400  # configurations of a service in a combination, the best of them
NO_BOUND = -1.0


@dataclass(frozen=True)
class Search:
    """What was found: feasible fleets, the best first; of infeasible demands all fleets that were looked at."""

    picks: Picks
    feasible: bool
    seen: int  # fleets that were evaluated
    exact: bool
    gap: float  # the best found costs at most this share more than any fleet, by the bound; 0 where exact, −1: no bound


def search(market: Market) -> Search:
    """Fleets that keep all limits, the best by the first objective first."""
    kept = [own_kept(market, i) for i in range(len(market.tables))]
    if any(not k.any() for k in kept):
        return Search(
            Picks(np.zeros((0, len(kept)), np.int64), {}), False, int(sum(len(t) for t in market.tables)), True, 0.0
        )
    if len(kept) == 1:
        rows = np.flatnonzero(kept[0])[:, None]
        return ranked(market, rows, len(market.tables[0]), True, 0.0)
    fronts = [shortlist(market, i, np.flatnonzero(k)) for i, k in enumerate(kept)]
    if np.prod([float(len(f)) for f in fronts]) <= EXACT:
        rows = np.array(list(product(*(f.tolist() for f in fronts))), np.int64)
        return ranked(market, rows, len(rows), True, 0.0)
    return _in_turn(market, fronts)


def own_kept(market: Market, service: int) -> Mask:
    """Configurations of a service that keep its own limits: latency and memory."""
    needs = service_needs(market.spaces[service].asked, market.tables[service], market.tails[service])
    return all_kept(needs, len(market.tables[service]))


def ranked(market: Market, rows: Ints, seen: int, exact: bool, gap: float) -> Search:
    """Fleets by rows of the services' tables: those that keep the shared limits, the best first; all where none does."""
    found = columns(market, market.tables, rows)
    kept = all_kept(shared_needs(market.demand, found), len(rows))
    picks = Picks(rows, found)
    if not kept.any():
        return Search(picks, False, seen, exact, gap)
    return Search(ordered(market, picks.take(np.flatnonzero(kept))), True, seen, exact, gap)


def ordered(market: Market, picks: Picks) -> Picks:
    """By the first objective, then with the fewest GPUs."""
    first = worth(market.demand, picks.columns)[:, 0]
    return picks.take(np.lexsort((picks.columns["used_gpus"], picks.columns["gpus"], first)))


def shortlist(market: Market, service: int, rows: Ints) -> Ints:
    """Configurations of a service that no other of the same kind of system beats in systems, in watts and in doing without
    a scale-out network: nothing else of them is shared. Watts: those of its boards above idle, and of hosts above idle,
    which are linear in its busy GPU time; a limit on board watts is on the former alone. At most `KEPT`, those with the
    least of the first objective alone."""
    t = market.tables[service]
    kept: list[int] = []
    for kind in np.unique(t.kind[rows]):
        mine, of = rows[t.kind[rows] == kind], market.prices[int(kind)]
        boards = t.board_w[mine] - t.gpus[mine] * of.idle_w
        hosts = (of.hosts.active_w - of.hosts.idle_w) / of.kind.gpus * t.busy[mine] * t.gpus[mine]
        crossed = crossing(of, t.take(mine), np.full(len(mine), np.inf))
        values = [t.share[mine], boards + hosts, crossed.astype(float)]
        if market.demand.planned_site.power.scope == "board":
            values.append(boards)
        kept += mine[pareto(np.stack(values, axis=1))].tolist()
    found = np.array(kept, np.int64)
    if len(found) <= KEPT:
        return found
    alone = worth(market.demand, columns(only(market, service), (t,), found[:, None]))[:, 0]
    return found[np.argsort(alone, kind="stable")[:KEPT]]


def _in_turn(market: Market, fronts: Sequence[Ints]) -> Search:
    """The best that a descent came by, and how far from the best of all it can be."""
    rows, seen = descend(market, fronts)
    done = ranked(market, rows, seen, False, NO_BOUND)
    if not done.feasible or market.demand.objectives[0] != "usd_per_mtok":
        return done
    least = sum(least_usd_h(market, i, front) for i, front in enumerate(fronts))
    return replace(done, gap=max(0.0, float(done.picks.columns["usd_h"][0]) / least - 1))


def least_usd_h(market: Market, service: int, front: Ints) -> float:
    """A bound on what a service adds to any fleet: its dollars alone without the scale-out network, which others may pay
    for, its last system cut to the part that it fills."""
    one = only(market, service)
    one = replace(one, prices=tuple(replace(of, scale_out=False) for of in one.prices))
    share = market.tables[service].share[front]
    return float((columns(one, one.tables, front[:, None])["usd_h"] * share / np.ceil(share - 1e-9)).min())
