"""From configurations to fleets: columns of what counts, the best under all limits, fronts of two or three objectives.

One service: every configuration is looked at. Several services share systems, power and dollars: each service's
configurations are reduced to those that no other beats in everything that is shared (GPUs by kind of system, watts of its
boards); their product is evaluated whole where it is small. Where it is large, services are improved in turn from the best
of each (coordinate descent), and a bound says how far from the best that can be: no fleet costs less than the sum of what
each service alone would need of systems that may be cut to fractions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from tokenworks.plan.ask import Array
from tokenworks.plan.candidates import Ints, Space, Table, table
from tokenworks.plan.cost import Fleet, Prices, fleet
from tokenworks.plan.demand import Demand
from tokenworks.plan.limits import Mask, Need, Tails, all_kept, service_needs, shared_needs
from tokenworks.plan.spares import spares_of

EXACT = 200_000  # combinations that are evaluated whole
KEPT = 400  # configurations of a service in a combination, the best of them
MAXIMISED = ("tokens_per_joule", "goodput")
ROUNDS, VISITED = 20, 50  # of coordinate descent: rounds over the services; fleets kept of each step
NO_BOUND = -1.0
HOUR_S = 3600.0


@dataclass(frozen=True)
class Market:
    """What does not change while a plan is made: the demand, each service's space, prices of every kind."""

    demand: Demand
    spaces: tuple[Space, ...]
    prices: tuple[Prices, ...]  # by kind
    tails: tuple[Tails, ...]  # by service
    slower: tuple[float, ...]  # by service: share of the throughput that is counted on
    robust: bool = False  # spaces are pessimistic, and rehearsals are held to the same margins
    tables: tuple[Table, ...] = field(default=())

    def laid(self) -> Market:
        """With the configurations of every service."""
        return replace(self, tables=tuple(self._table(i) for i in range(len(self.spaces))))

    def _table(self, service: int) -> Table:
        space, demand = self.spaces[service], self.demand
        if "goodput" not in demand.objectives:
            return table(space, space.asked.rate_s, demand.headroom, self.slower[service])
        return filled(self, table(space, None, demand.headroom, self.slower[service]))


@dataclass(frozen=True)
class Picks:
    """Fleets, one a row: which configuration of each service, and the columns of the whole."""

    rows: Ints  # (n, services) rows of the services' tables
    columns: dict[str, Array]

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, keep: NDArray[np.generic]) -> Picks:
        return Picks(self.rows[keep], {name: values[keep] for name, values in self.columns.items()})


def filled(market: Market, unit: Table) -> Table:
    """Units repeated as often as the limits allow: what goodput is planned with. Every limit is linear in the number of
    systems but for the fixed cost of the first, so the count is found by bisection over whole units."""
    low, high = np.zeros(len(unit)), np.full(len(unit), 2.0**20)
    for _ in range(21):
        middle = np.ceil((low + high) / 2)
        grown = _times(unit, middle)
        rows = np.arange(len(unit))[:, None]
        kept = all_kept(shared_needs(market.demand, columns(market, (grown,), rows)), len(unit))
        low, high = np.where(kept, middle, low), np.where(kept, high, middle - 1)
    return _times(unit, np.maximum(1.0, low))


def _times(unit: Table, times: Array) -> Table:
    names = ("workers", "prefill_workers", "gpus", "share", "capacity_s", "rate_s", "board_w")
    return replace(unit, **{name: getattr(unit, name) * times for name in names})


def columns(market: Market, tables: Sequence[Table], rows: Ints) -> dict[str, Array]:
    """Everything that limits and objectives look at, for fleets given by rows of the tables, (n, services)."""
    parts = [t.take(rows[:, i]) for i, t in enumerate(tables)]
    total: Fleet | None = None
    for number, of in enumerate(market.prices):
        found = _of_kind(market, of, number, parts)
        if found is not None:
            total = found if total is None else total + found
    assert total is not None
    rates = [p.rate_s for p in parts]
    tokens_s = sum(
        (rate * space.asked.output_tokens for rate, space in zip(rates, market.spaces, strict=True)),
        np.zeros(len(rows)),
    )
    usd_s = total.usd_s
    return {
        "usd_h": usd_s * HOUR_S,
        "usd_per_mtok": usd_s / tokens_s * 1e6,
        "tokens_per_joule": tokens_s / total.facility_w,
        "goodput": tokens_s,
        "tokens_s": tokens_s,
        "capex": total.capex_usd,
        "capex_usd": total.capex_usd,
        "carbon": total.carbon_g_s / tokens_s * 1e6,
        "gpus": total.gpus,
        "systems": total.systems,
        "board_w": total.board_w,
        "it_w": total.it_w,
        "facility_w": total.facility_w,
        "used_gpus": sum((p.gpus for p in parts), np.zeros(len(rows))),
        "hardware_usd_h": total.hardware_usd_s * HOUR_S,
        "rent_usd_h": total.rent_usd_s * HOUR_S,
        "space_usd_h": total.space_usd_s * HOUR_S,
        "energy_usd_h": total.energy_usd_s * HOUR_S,
        "demand_usd_h": total.demand_usd_s * HOUR_S,
    }


def _of_kind(market: Market, of: Prices, number: int, parts: Sequence[Table]) -> Fleet | None:
    """The fleet of one kind: whole systems for what all services use of it, and its spares."""
    uses = [p.kind == number for p in parts]
    if not any(u.any() for u in uses):
        return None
    share = sum((np.where(u, p.share, 0.0) for u, p in zip(uses, parts, strict=True)), np.zeros(len(parts[0])))
    gpus = sum((np.where(u, p.gpus, 0.0) for u, p in zip(uses, parts, strict=True)), np.zeros(len(parts[0])))
    watts = sum((np.where(u, p.board_w, 0.0) for u, p in zip(uses, parts, strict=True)), np.zeros(len(parts[0])))
    busy = sum((np.where(u, p.busy * p.gpus, 0.0) for u, p in zip(uses, parts, strict=True)), np.zeros(len(parts[0])))
    needed = np.ceil(share - 1e-9)
    wanted = market.demand.limits.availability
    there = needed + spares_of(needed, of.kind.gpus, wanted.share if wanted else None)
    free = there * of.kind.gpus - gpus
    return fleet(of, there, watts + free * of.idle_w, busy / np.maximum(1.0, there * of.kind.gpus))


def worth(demand: Demand, found: dict[str, Array]) -> Array:
    """(n, objectives), less is better."""
    return np.stack([-found[o] if o in MAXIMISED else found[o] for o in demand.objectives], axis=1)


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
    kept = [_own(market, i) for i in range(len(market.tables))]
    if any(not k.any() for k in kept):
        return Search(
            Picks(np.zeros((0, len(kept)), np.int64), {}), False, int(sum(len(t) for t in market.tables)), True, 0.0
        )
    if len(kept) == 1:
        rows = np.flatnonzero(kept[0])[:, None]
        return _ranked(market, rows, len(market.tables[0]), True, 0.0)
    fronts = [shortlist(market, i, np.flatnonzero(k)) for i, k in enumerate(kept)]
    if np.prod([float(len(f)) for f in fronts]) <= EXACT:
        rows = np.array(list(product(*(f.tolist() for f in fronts))), np.int64)
        return _ranked(market, rows, len(rows), True, 0.0)
    return _in_turn(market, fronts)


def _own(market: Market, service: int) -> Mask:
    needs = service_needs(market.spaces[service].asked, market.tables[service], market.tails[service])
    return all_kept(needs, len(market.tables[service]))


def _ranked(market: Market, rows: Ints, seen: int, exact: bool, gap: float) -> Search:
    found = columns(market, market.tables, rows)
    kept = all_kept(shared_needs(market.demand, found), len(rows))
    picks = Picks(rows, found)
    if not kept.any():
        return Search(picks, False, seen, exact, gap)
    picks = picks.take(np.flatnonzero(kept))
    values = worth(market.demand, picks.columns)
    order = np.lexsort((picks.columns["used_gpus"], picks.columns["gpus"], values[:, 0]))
    return Search(picks.take(order), True, seen, exact, gap)


def shortlist(market: Market, service: int, rows: Ints) -> Ints:
    """Configurations of a service that no other of the same kind of system beats in systems and in watts: nothing else of
    them is shared. Watts: those of its boards above idle, and of hosts above idle, which are linear in its busy GPU time;
    a limit on board watts is on the former alone. At most `KEPT`, those with the least of the first objective alone."""
    t = market.tables[service]
    kept: list[int] = []
    for kind in np.unique(t.kind[rows]):
        mine, of = rows[t.kind[rows] == kind], market.prices[int(kind)]
        boards = t.board_w[mine] - t.gpus[mine] * of.idle_w
        hosts = (of.hosts.active_w - of.hosts.idle_w) / of.kind.gpus * t.busy[mine] * t.gpus[mine]
        values = [t.share[mine], boards + hosts]
        if market.demand.planned_site.power.scope == "board":
            values.append(boards)
        kept += mine[pareto(np.stack(values, axis=1))].tolist()
    found = np.array(kept, np.int64)
    if len(found) <= KEPT:
        return found
    alone = worth(market.demand, columns(_only(market, service), (t,), found[:, None]))[:, 0]
    return found[np.argsort(alone, kind="stable")[:KEPT]]


def _only(market: Market, service: int) -> Market:
    return replace(market, spaces=(market.spaces[service],), tables=(market.tables[service],))


def _in_turn(market: Market, fronts: Sequence[Ints]) -> Search:
    """Coordinate descent: each service in turn takes what is best beside the others, until none moves. It starts at the best
    of each service alone; a fleet over a limit counts as worse by how far it is over."""
    now = np.array([front[_best_alone(market, i, front)] for i, front in enumerate(fronts)], np.int64)
    visited, seen = [now[None, :]], 0
    for _ in range(ROUNDS):
        before = now
        for i, front in enumerate(fronts):
            rows = np.repeat(now[None, :], len(front), axis=0)
            rows[:, i] = front
            order = _by_excess(market, rows)
            now, seen = rows[order[0]], seen + len(rows)
            visited.append(rows[order[:VISITED]])
        if (now == before).all():
            break
    done = _ranked(market, np.unique(np.concatenate(visited), axis=0), seen, False, NO_BOUND)
    if not done.feasible or market.demand.objectives[0] != "usd_per_mtok":
        return done
    least = sum(_least_usd_h(market, i, front) for i, front in enumerate(fronts))
    return replace(done, gap=max(0.0, float(done.picks.columns["usd_h"][0]) / least - 1))


def _best_alone(market: Market, service: int, front: Ints) -> int:
    one = _only(market, service)
    return int(np.argmin(worth(market.demand, columns(one, one.tables, front[:, None]))[:, 0]))


def _by_excess(market: Market, rows: Ints) -> Ints:
    """Rows by how far they are over limits, then by the first objective."""
    found = columns(market, market.tables, rows)
    over = np.zeros(len(rows))
    for need in shared_needs(market.demand, found):
        over += np.maximum(0.0, need.needs / need.limit - 1)
    return np.lexsort((worth(market.demand, found)[:, 0], over))


def _least_usd_h(market: Market, service: int, front: Ints) -> float:
    """A bound on what a service adds to any fleet: its dollars alone, its last system cut to the part that it fills."""
    one = _only(market, service)
    share = market.tables[service].share[front]
    return float((columns(one, one.tables, front[:, None])["usd_h"] * share / np.ceil(share - 1e-9)).min())


def pareto(values: Array) -> Ints:
    """Rows that no other is at least as good as in all columns and better in one; less is better, by the first column.

    >>> pareto(np.array([[1.0, 3.0], [2.0, 2.0], [2.0, 3.0], [3.0, 1.0]])).tolist()
    [0, 1, 3]
    """
    order = np.lexsort(values.T[::-1])
    kept: list[int] = []
    best = np.zeros((0, values.shape[1]))
    for row in order.tolist():
        if len(best) and bool((best <= values[row]).all(axis=1).any()):
            continue
        kept.append(row)
        best = np.vstack([best, values[row]])
    return np.array(kept, np.int64)


def needs_of(market: Market, picks: Picks) -> list[Need]:
    """Every limit with what these fleets need of it."""
    own = [
        need
        for i, t in enumerate(market.tables)
        for need in service_needs(market.spaces[i].asked, t.take(picks.rows[:, i]), market.tails[i])
    ]
    return own + shared_needs(market.demand, picks.columns)
