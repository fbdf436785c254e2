"""From a chosen configuration to a factory file that `tokenworks run` takes as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import yaml

from tokenworks.physics.deployment import Deployment
from tokenworks.plan.candidates import NONE, Space
from tokenworks.plan.cost import Between, between, system_entry
from tokenworks.plan.demand import busiest, peak_of
from tokenworks.plan.market import Market
from tokenworks.plan.network import crosses
from tokenworks.plan.pairing import together
from tokenworks.plan.sample import Asked, rate_of
from tokenworks.plan.spares import spares_of
from tokenworks.plan.systems import Kind
from tokenworks.spec.factory import Factory, Run
from tokenworks.spec.loading import as_dict, loads
from tokenworks.spec.service import Service


@dataclass(frozen=True)
class Layout:
    """How one service is served: what a row of its table means."""

    service: int
    kind: int
    main: Deployment  # aggregated or decode
    prefill: Deployment | None
    max_seqs: int
    workers: int
    prefill_workers: int
    capacity_s: float  # requests per second by the wide pass
    rate_s: float
    ttft_s: float  # means of the wide pass at the planned batch
    tpot_s: float
    routing: str = ""  # "": what suits the workload

    @property
    def mode(self) -> str:
        return "disaggregated" if self.prefill else "aggregated"

    @property
    def deployments(self) -> tuple[Deployment, ...]:
        """Of all its pools."""
        return (self.main,) if self.prefill is None else (self.prefill, self.main)

    @property
    def gpus(self) -> int:
        return self.workers * self.main.gpus + self.prefill_workers * (self.prefill.gpus if self.prefill else 0)

    def systems(self, size: int) -> float:
        """Systems of so many GPUs that it needs."""
        if self.prefill is None:
            return self.workers / max(1, size // self.main.gpus)
        sizes = [np.array([float(v)]) for v in (self.prefill.gpus, self.prefill_workers, self.main.gpus, self.workers)]
        return float(together(size, *sizes)[0])


def layout(market: Market, service: int, row: int) -> Layout:
    """A row of a service's table, read."""
    space, t = market.spaces[service], market.tables[service]
    main, prefill = int(t.main[row]), int(t.prefill[row])
    shape = space.shapes[space.wide.shape[main]]
    before = None if prefill == NONE else space.shapes[space.wide.shape[prefill]].deployment
    return Layout(
        service,
        int(t.kind[row]),
        shape.deployment,
        before,
        largest_batch(market, service, main),
        int(t.workers[row]),
        int(t.prefill_workers[row]),
        float(t.capacity_s[row]),
        float(t.rate_s[row]),
        float(t.ttft_s[row]),
        float(t.tpot_s[row]),
    )


def largest_batch(market: Market, service: int, main: int) -> int:
    """Sequences of a rank that the configuration may run: the largest batch of the same shape that keeps TPOT."""
    space, tails = market.spaces[service], market.tails[service]
    wide = space.wide
    same = np.flatnonzero(wide.shape == wide.shape[main])
    limit = space.asked.ask.tpot_s
    kept = same if limit is None else same[wide.tpot_s[same] * tails.tpot <= limit]
    return int(max(wide.batch[main], wide.batch[kept].max() if len(kept) else 0))


def counts_of(market: Market, layouts: Sequence[Layout]) -> dict[int, int]:
    """Systems of every kind, spares among them."""
    found: dict[int, int] = {}
    wanted = market.demand.limits.availability
    for number in dict.fromkeys(one.kind for one in layouts):
        kind = market.prices[number].kind
        needed = np.ceil(sum(one.systems(kind.gpus) for one in layouts if one.kind == number) - 1e-9)
        more = spares_of(np.array([needed]), kind.gpus, wanted.share if wanted else None)[0]
        found[number] = int(needed + more)
    return found


def between_of(market: Market, layouts: Sequence[Layout], number: int, count: int) -> Between:
    """What joins so many systems of a kind, for the layouts on it."""
    of, systems = market.prices[number], np.array([float(count)])
    crossed = np.zeros(1, bool)
    for one in layouts:
        if one.kind == number:
            apart = np.array([one.prefill is not None])
            crossed |= crosses(of.kind.system, systems, np.array([float(one.main.gpus)]), apart)
    return between(of, systems, crossed)


def grown(one: Layout, workers: int, prefill_workers: int) -> Layout:
    """The same with other numbers of workers."""
    factor = workers / one.workers
    if one.prefill:
        factor = min(factor, prefill_workers / one.prefill_workers)
    return replace(one, workers=workers, prefill_workers=prefill_workers, capacity_s=one.capacity_s * factor)


def factory_of(market: Market, layouts: Sequence[Layout], name: str, run: Run) -> Factory:
    """The factory; validated by reading its own file again. Raises SpecError for what a factory cannot be."""
    demand = market.demand
    names = {number: entry_id(market.prices[number].kind) for number in dict.fromkeys(one.kind for one in layouts)}
    counts = counts_of(market, layouts)
    systems = tuple(
        system_entry(
            demand, market.prices[number].kind, count, names[number], between_of(market, layouts, number, count)
        )
        for number, count in counts.items()
    )
    workload = tuple(
        busiest(load, rate_of(load) * peak_of(load) * one.rate_s / market.spaces[one.service].asked.rate_s)
        for one in layouts
        for _, load in demand.loads_of(market.spaces[one.service].asked.service.name)
    )
    made = Factory.model_construct(
        name=name,
        site=demand.planned_site,
        systems=systems,
        services=tuple(_service(market.spaces[one.service], one, names[one.kind]) for one in layouts),
        workload=workload,
        run=run,
        calibration=demand.calibration,
        source_file="",
    )
    return loads(yaml.safe_dump(as_dict(made), sort_keys=False, allow_unicode=True), f"{name} (planned)")


def entry_id(kind: Kind) -> str:
    """What the factory file calls the systems of a kind."""
    return f"{kind.system}-rented" if kind.pay == "rent" else kind.system


def routing_of(asked: Asked, one: Layout) -> str:
    """Which worker takes a request: where prefixes are shared the one that knows most of them, else the least loaded."""
    return one.routing or ("kv-aware" if asked.cached else "least-loaded")


def _service(space: Space, one: Layout, on: str) -> Service:
    """The service with every setting that was chosen."""
    asked, d = space.asked.service, one.main
    fields: dict[str, Any] = {
        "name": asked.name,
        "model": d.model,
        "precision": d.weights,
        "kv_precision": d.kv,
        "engine": d.engine,
        "on": on,
        "slo": asked.slo,
        "routing": routing_of(space.asked, one),
    }
    if space.asked.cached:
        fields["prefix_cache"] = True
    if d.draft_tokens:
        fields["speculative"] = {"kind": "mtp", "draft_tokens": d.draft_tokens, "tokens_per_step": d.tokens_per_step}
    if d.tiers:
        fields["kv_tiers"] = [{"name": t.name, "capacity": f"{t.capacity_gb:.12g} GB"} for t in d.tiers]
    if one.prefill is None:
        fields |= {**_degrees(d), "workers": one.workers, "max_seqs": one.max_seqs}
    else:
        fields["prefill"] = {**_degrees(one.prefill), "workers": one.prefill_workers}
        fields["decode"] = {**_degrees(d), "workers": one.workers, "max_seqs": one.max_seqs}
    return Service.model_validate(fields)


def _degrees(d: Deployment) -> dict[str, Any]:
    degrees = {"tp": d.tp, "pp": d.pp, "dp_attention": d.dp, "ep": d.ep, "token_budget": d.token_budget}
    return {**degrees, "clock": d.clock} if d.clock < 1 else degrees
