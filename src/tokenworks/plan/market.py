"""What a plan chooses among: each service's configurations as tables, and the columns of whole fleets made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from tokenworks.plan.ask import Array
from tokenworks.plan.candidates import NONE, Ints, Space, Table
from tokenworks.plan.cost import Fleet, Prices, between, fleet
from tokenworks.plan.demand import Demand
from tokenworks.plan.filling import filled
from tokenworks.plan.limits import Mask, Need, Tails, service_needs, shared_needs
from tokenworks.plan.network import crosses, joined_gpus
from tokenworks.plan.spares import spares_of
from tokenworks.plan.table import table

MAXIMISED = ("tokens_per_joule", "goodput")
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
    way: int = 0  # of sharing a robust plan's margin among metrics

    def laid(self) -> Market:
        """With the configurations of every service."""
        return replace(self, tables=tuple(self._table(i) for i in range(len(self.spaces))))

    def _table(self, service: int) -> Table:
        space, demand = self.spaces[service], self.demand
        if "goodput" not in demand.objectives:
            return table(space, space.asked.rate_s, demand.headroom, self.slower[service])
        unit = table(space, None, demand.headroom, self.slower[service])
        return filled(space, unit, self._shares, demand.headroom, self.slower[service])

    def _shares(self, t: Table) -> Array:
        """Of the limit of the whole that each configuration of the only service fills most."""
        needs = shared_needs(self.demand, columns(self, (t,), np.arange(len(t))[:, None]))
        return np.asarray(np.max([need.needs / need.limit for need in needs], axis=0))


@dataclass(frozen=True)
class Picks:
    """Fleets, one a row: which configuration of each service, and the columns of the whole."""

    rows: Ints  # (n, services) rows of the services' tables
    columns: dict[str, Array]

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, keep: NDArray[np.generic]) -> Picks:
        return Picks(self.rows[keep], {name: values[keep] for name, values in self.columns.items()})


def columns(market: Market, tables: Sequence[Table], rows: Ints) -> dict[str, Array]:
    """Everything that limits and objectives look at, for fleets given by rows of the tables, (n, services). Watts, joules
    and carbon are those of the busiest time; dollars an hour are paid for the tokens of the mean."""
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
    paid_s = sum(
        (p.rate_s / s.asked.peak * s.asked.output_tokens for p, s in zip(parts, market.spaces, strict=True)),
        np.zeros(len(rows)),
    )
    usd_s = total.usd_s
    return {
        "usd_h": usd_s * HOUR_S,
        "usd_per_mtok": usd_s / paid_s * 1e6,
        "tokens_per_joule": tokens_s / total.facility_w,
        "goodput": tokens_s,
        "tokens_s": tokens_s,
        "capex": total.capex_usd,
        "capex_usd": total.capex_usd,
        "network_usd": total.network_usd,
        "network_w": total.network_w,
        "carbon": total.carbon_g_s / tokens_s * 1e6,
        "gpus": total.gpus,
        "systems": total.systems,
        "board_w": total.board_w,
        "it_w": total.it_w,
        "facility_w": total.facility_w,
        "used_gpus": sum((p.gpus for p in parts), np.zeros(len(rows))),
        "hardware_usd_h": total.hardware_usd_s * HOUR_S,
        "network_usd_h": total.network_usd_s * HOUR_S,
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
    crossed = np.zeros(len(there), bool)
    for used, part in zip(uses, parts, strict=True):
        crossed |= used & crossing(of, part, there)
    joins = between(of, there, crossed)
    return fleet(of, there, watts + free * of.idle_w, busy / np.maximum(1.0, there * of.kind.gpus), joins)


def crossing(of: Prices, t: Table, systems: Array) -> Mask:
    """(n,) which configurations need a scale-out network among so many systems of a kind. Workers of an aggregated one are
    all alike; what has pools apart needs one wherever a large worker of it would. No worker is larger than its system."""
    if of.kind.gpus <= joined_gpus(of.kind.system):
        return crosses(of.kind.system, systems, np.zeros(1), t.prefill != NONE)
    return crosses(of.kind.system, systems, t.gpus / (t.workers + t.prefill_workers), t.prefill != NONE)


def one_row(figures: Mapping[str, float]) -> dict[str, Array]:
    """Columns of one fleet by its figures."""
    return {name: np.array([value]) for name, value in figures.items()}


def worth(demand: Demand, found: dict[str, Array]) -> Array:
    """(n, objectives), less is better."""
    return np.stack([-found[o] if o in MAXIMISED else found[o] for o in demand.objectives], axis=1)


def needs_of(market: Market, picks: Picks) -> list[Need]:
    """Every limit with what these fleets need of it."""
    own = [
        need
        for i, t in enumerate(market.tables)
        for need in service_needs(market.spaces[i].asked, t.take(picks.rows[:, i]), market.tails[i])
    ]
    return own + shared_needs(market.demand, picks.columns)
