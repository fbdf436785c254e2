"""Survivors of the wide pass rehearsed in the twin under the real workload, their workers adjusted until objectives hold."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from tokenworks.events.results import RunResult
from tokenworks.plan.build import Layout, between_of, counts_of, factory_of
from tokenworks.plan.cost import Fleet, Prices, fleet
from tokenworks.plan.demand import Demand
from tokenworks.plan.limits import lowest_budget_w, shared_needs
from tokenworks.plan.market import Market, one_row
from tokenworks.plan.robust import Margins, errors_of, levels_of, margins
from tokenworks.rehearsal.demand import as_one, rate_of, stream_of
from tokenworks.rehearsal.plant import plant
from tokenworks.rehearsal.play import outcome, play
from tokenworks.spec.factory import Factory, Run

TOLERANCE = 0.05  # of headroom: a flood of three batches a replica has a beginning and an end, and reads a few % low
HOUR_S = 3600.0
LIVES = 2.0  # of a mean request, that a rehearsal lasts at least
MOST_REQUESTS = 200_000  # for which a rehearsal is longer than that
Stop = Callable[[], bool]


@dataclass(frozen=True)
class Trial:
    """One layout rehearsed."""

    layouts: tuple[Layout, ...]
    factory: Factory
    result: RunResult
    figures: dict[str, float]  # by the names of market.columns, measured after the warm-up
    missed: tuple[tuple[str, float, float], ...]  # (what, measured, limit)
    attempts: int
    confirmed: bool = False  # the layouts' capacity is what the twin sustains

    @property
    def holds(self) -> bool:
        return not self.missed

    def systems(self) -> dict[str, int]:
        return {s.id: s.count for s in self.factory.systems}


def run_for(demand: Demand, layouts: Sequence[Layout], output_tokens: Sequence[float], lives: float = LIVES) -> Run:
    """A horizon in which the stated number of requests is measured once every pool is full: warm-up lasts 1.5 mean
    requests, at least a fifth of the rest; what is measured, ``lives`` mean requests at least."""
    given = demand.run
    rate_s = sum(one.rate_s for one in layouts)
    life_s = max(one.ttft_s + one.tpot_s * n for one, n in zip(layouts, output_tokens, strict=True))
    if given.horizon_s is not None:
        horizon_s = given.horizon_s
        warmup_s = horizon_s / 5 if given.given_warmup_s is None else given.given_warmup_s
    else:
        longer = max(LIVES, min(lives, MOST_REQUESTS / (rate_s * life_s)))
        measured_s = max(given.requests / rate_s, longer * life_s, 1.0)
        warmup_s = max(measured_s / 4, 1.5 * life_s) if given.given_warmup_s is None else given.given_warmup_s
        horizon_s = math.ceil(measured_s + warmup_s)
    data = {"horizon": f"{horizon_s:g} s", "warmup": f"{math.floor(warmup_s * 10) / 10:g} s", "seed": given.seed}
    return Run.model_validate(data)


def rehearsed(
    market: Market, layouts: Sequence[Layout], name: str, stop: Stop = lambda: False, lives: float = LIVES
) -> Trial:
    """One layout in the twin. Raises InputError for a factory that cannot be."""
    outputs = [market.spaces[one.service].asked.output_tokens for one in layouts]
    factory = factory_of(market, layouts, name, run_for(market.demand, layouts, outputs, lives))
    made = plant(uncapped(market, layouts, factory))
    sources = [partial(stream_of, made, i, rate_of(load, 0.0)) for i, load in enumerate(factory.workload)]
    offered = as_one(sources)
    twin = play(made, offered.for_run(factory.run), stop)
    if stop():
        raise KeyboardInterrupt
    result = outcome(made, twin, offered.head, [one.capacity_s for one in layouts], [])
    figures = _figures(market, layouts, factory, result)
    return Trial(tuple(layouts), factory, result, figures, missed(market, layouts, result, figures), 1)


def uncapped(market: Market, layouts: Sequence[Layout], factory: Factory) -> Factory:
    """Without a power budget that even nameplates keep: nothing would be capped, and one clock level compiles faster."""
    budget_w = lowest_budget_w(market.demand)
    top = 0.0
    for of, systems in stock(market, layouts):
        one_w = of.facts.nameplate_w
        top += nameplate_w(of, systems) / one_w * float(of.site.facility_w(np.array([one_w]))[0])
    if not budget_w or top > budget_w:
        return factory
    site = factory.site.model_copy(
        update={"power": factory.site.power.model_copy(update={"budget_w": 0.0}), "curtailment": ()}
    )
    return factory.model_copy(update={"site": site})


def stock(market: Market, layouts: Sequence[Layout]) -> list[tuple[Prices, Fleet]]:
    """The systems of every kind with what joins them, at no load: what follows from their number alone."""
    found, none = [], np.zeros(1)
    for number, count in counts_of(market, layouts).items():
        of, joins = market.prices[number], between_of(market, layouts, number, count)
        found.append((of, fleet(of, np.array([float(count)]), none, none, joins)))
    return found


def nameplate_w(of: Prices, systems: Fleet) -> float:
    """IT watts provisioned for systems of one kind and their network."""
    return float(systems.systems[0]) * of.facts.nameplate_w + float(systems.network_w[0])


def _figures(market: Market, layouts: Sequence[Layout], factory: Factory, result: RunResult) -> dict[str, float]:
    """Of the time after the warm-up; tokens are those that are asked for, all of which are served where objectives hold."""
    line = result.timeline
    after = line.time_s >= factory.run.warmup_s
    board, it, facility = (float(v) for v in (line.board_w.sum(axis=0)[after].mean(), line.it_w[after].mean(),
                                              line.facility_w[after].mean()))  # fmt: skip
    asked = [market.spaces[one.service].asked for one in layouts]
    tokens_s = sum(one.rate_s * a.output_tokens for one, a in zip(layouts, asked, strict=True))
    paid_s = sum(one.rate_s / a.peak * a.output_tokens for one, a in zip(layouts, asked, strict=True))
    kinds = stock(market, layouts)
    total, of = sum((k for _, k in kinds[1:]), kinds[0][1]), market.prices[layouts[0].kind]
    owned_w, rented_w = (
        sum(nameplate_w(each, k) for each, k in kinds if each.facts.owned == own) for own in (True, False)
    )
    share = owned_w / (owned_w + rented_w)  # electricity of rented systems is in their rent
    fixed = {
        "hardware_usd_h": total.hardware_usd_s, "network_usd_h": total.network_usd_s,
        "rent_usd_h": total.rent_usd_s, "space_usd_h": total.space_usd_s,
    }  # fmt: skip
    by_cause = {name: float(usd_s[0]) * HOUR_S for name, usd_s in fixed.items()}
    by_cause["energy_usd_h"] = facility * share * of.usd_per_j * HOUR_S
    by_cause["demand_usd_h"] = facility * share * of.usd_per_w_s * HOUR_S
    usd_h, capex = sum(by_cause.values()), float(total.capex_usd[0])
    return {
        **by_cause, "usd_h": usd_h,
        "usd_per_mtok": usd_h / HOUR_S / paid_s * 1e6, "tokens_per_joule": tokens_s / facility, "goodput": tokens_s,
        "tokens_s": tokens_s, "capex": capex, "capex_usd": capex,
        "network_usd": float(total.network_usd[0]), "network_w": float(total.network_w[0]),
        "carbon": facility * of.g_per_j / tokens_s * 1e6, "gpus": float(total.gpus[0]), "systems": float(total.systems[0]),
        "board_w": board, "it_w": it, "facility_w": facility, "used_gpus": float(sum(one.gpus for one in layouts)),
    }  # fmt: skip


def margins_of(market: Market, one: Layout) -> Margins:
    """What a robust plan puts on measured latencies; 1 where the plan is not robust."""
    if not market.robust:
        return Margins()
    at = levels_of(market.spaces[one.service].asked, market.way)
    return margins(errors_of(one.deployments), at, market.demand.headroom)


def missed(
    market: Market, layouts: Sequence[Layout], result: RunResult, figures: dict[str, float]
) -> tuple[tuple[str, float, float], ...]:
    """Objectives and limits that a rehearsal breaks: (what, measured, limit)."""
    found = []
    for one, s in zip(layouts, result.services, strict=True):
        ask, m = market.spaces[one.service].asked.ask, margins_of(market, one)
        pairs = (("TTFT p95", s.ttft.p95_s * m.ttft, ask.ttft_s), ("TPOT p95", s.tpot.p95_s * m.tpot, ask.tpot_s),
                 ("E2E p95", s.e2e.p95_s * max(m.tpot, m.ttft), ask.e2e_s))  # fmt: skip
        found += [(f"{s.name}: {name}", v, limit) for name, v, limit in pairs if limit and not v <= limit]
        if s.saturated:
            found.append(
                (f"{s.name}: load over capacity", s.arrived / result.horizon_s / max(1e-9, one.capacity_s), 1.0)
            )
        lost = s.rejected_queue_full + s.rejected_too_long + s.timed_out
        if lost:
            found.append((f"{s.name}: requests lost", float(lost), 0.0))
    columns = one_row(figures)
    shared = shared_needs(market.demand, columns)
    found += [(need.name, float(need.needs[0]), need.limit) for need in shared if not need.kept[0]]
    return tuple(found)
