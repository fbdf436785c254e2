"""A factory compiled: worker models laid out on the systems, with the board power that the site leaves them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tokenworks import catalog
from tokenworks.economics.facts import facts_of
from tokenworks.errors import InputError
from tokenworks.physics.compile import compile_worker
from tokenworks.physics.fleet import Group, Replicas, fleet
from tokenworks.physics.terms import resolve
from tokenworks.physics.worker_model import TICKS_PER_S, WorkerModel
from tokenworks.rehearsal.scaling import scaling_of, scaling_plans
from tokenworks.rehearsal.supply import Draw, begun, budget_of, draws
from tokenworks.spec.factory import ROUTING, Factory, Service, System
from tokenworks.spec.hours import DAY_S
from tokenworks.twin.cell import Cell, PowerCap, ServicePlan

BUCKETS = 240  # of a timeline: enough for a chart, few enough for a file


@dataclass(frozen=True)
class Plant:
    """A factory compiled: everything that does not depend on the requests."""

    factory: Factory
    replicas: tuple[Replicas, ...]
    models: tuple[WorkerModel, ...]
    cell: Cell
    ingress_s: tuple[float, ...]  # a request's way to the engine and its first token's way back, by service
    draws: tuple[Draw, ...] = ()  # of a replica of each model, where a power budget steers how many are up

    def model_of(self, service: int) -> WorkerModel:
        """The worker model that decodes."""
        return self.models[self.cell.workers[workers_of(self, service)[-1]]]

    @property
    def gpus(self) -> int:
        return sum(int(catalog.load("systems", s.system)["gpus"]) * s.count for s in self.factory.systems)


def plant(factory: Factory, clocks: bool = True) -> Plant:
    """Compile worker models and lay out the cell. ``clocks``: a controller lowers them under the site's power budget, as the
    twin's does. Raises CapacityError or UnsupportedError."""
    replicas = fleet(factory)
    groups = [(r, group) for r in replicas for group in r.groups]
    budgets = site_budgets(factory, replicas) if clocks else ()
    models = tuple(_model(r.service, group, bool(budgets)) for r, group in groups)
    workers = tuple(i for i, (_, group) in enumerate(groups) for _ in range(group.count))
    ingress = tuple(resolve(r.deployment).ingress_s for r in replicas)
    plans, start = [], 0
    for r, way_s in zip(replicas, ingress, strict=True):
        plans.append(_plan(r, start, way_s))
        start += r.count
    caps = (PowerCap("site", tuple(range(len(workers))), budgets[0][1], steps=budgets[1:]),) if budgets else ()
    scaling = scaling_plans(factory, replicas, models)
    boards = day_budgets(factory, replicas) if scaling else ()
    if not boards:
        cell = Cell(models, workers, tuple(plans), caps, factory.run.seed, scaling)
        return Plant(factory, replicas, models, cell, ingress)
    drawn = draws(factory, replicas, models, clocks)
    budget = budget_of(factory, replicas, scaling, drawn, boards)
    cell = Cell(models, workers, tuple(plans), caps, factory.run.seed, begun(scaling, budget), budget)
    return Plant(factory, replicas, models, cell, ingress, tuple(drawn))


def _model(service: Service, group: Group, all_clocks: bool) -> WorkerModel:
    """A start of a pool that is scaled takes what the file says besides loading the weights."""
    model = compile_worker(group.deployment, name=f"{service.name} {group.role}", all_clocks=all_clocks)
    scaling = scaling_of(service, group.role)
    return replace(model, load_s=model.load_s + scaling.start_up_s) if scaling else model


def site_budgets(factory: Factory, replicas: Sequence[Replicas]) -> tuple[tuple[int, float], ...]:
    """(tick, watts that the boards in use may draw from then on) of the run; none where there is never a limit."""
    stated = factory.site.budgets(factory.run.start_s or 0.0, factory.run.horizon_s)
    boards = {watts: board_budget_w(factory, replicas, watts) for _, watts in stated if watts}
    return tuple((ticks(at_s), boards.get(watts, math.inf)) for at_s, watts in stated) if boards else ()


def day_budgets(factory: Factory, replicas: Sequence[Replicas]) -> tuple[tuple[float, float], ...]:
    """(second of the day, watts that the boards in use may draw from then on); none where there is never a limit."""
    stated = factory.site.budgets(0.0, DAY_S)
    if not any(watts for _, watts in stated):
        return ()
    return tuple((at_s, board_budget_w(factory, replicas, watts) if watts else math.inf) for at_s, watts in stated)


def board_budget_w(factory: Factory, replicas: Sequence[Replicas], budget_w: float) -> float:
    """Watts that the boards in use may draw under a budget of the site: what hosts, fans, supplies, losses and cooling
    take at full activity is taken off first, then what idle boards draw."""
    power, facts = factory.site.power, facts_of(factory)
    spare = sum(idle_w(s.system) * free_gpus(replicas, s) for s in factory.systems)
    top = sum(float(catalog.load("accelerators", r.deployment.accelerator)["tdp_w"]) * r.gpus for r in replicas)
    boards = np.linspace(0.0, top, 2001)
    drawn = boards + spare
    if power.scope != "board":
        drawn = facts.hosts.it_w(drawn, np.ones_like(drawn))
    if power.scope == "facility":
        drawn = facts.site.facility_w(drawn)
    if drawn[0] >= budget_w:
        raise InputError(
            f"the site's budget of {budget_w / 1e3:,.0f} kW ({power.scope}) does not feed the servers without "
            f"their GPUs ({drawn[0] / 1e3:,.0f} kW)"
        )
    return float(boards[drawn <= budget_w][-1])


def _plan(replicas: Replicas, start: int, ingress_s: float) -> ServicePlan:
    """The twin sees a request when the engine does: objectives at the caller are that much tighter there."""
    service, slo = replicas.service, replicas.service.slo
    inside = lambda objective: max(1e-9, objective - ingress_s) if objective else None  # noqa: E731
    pools: dict[str, tuple[int, ...]] = {}
    for group in replicas.groups:
        pools[group.role] = tuple(range(start, start + group.count))
        start += group.count
    return ServicePlan(
        service.name,
        workers=pools.get("serve", ()),
        prefill=pools.get("prefill", ()),
        decode=pools.get("decode", ()),
        policy=ROUTING.index(service.routing),
        kv_weight_256=round(service.kv_weight * 256),
        max_waiting=service.max_waiting,
        slo_ttft_ticks=ticks(inside(slo.ttft_p95_s)),
        slo_tpot_ticks=ticks(slo.tpot_p95_s),
        slo_e2e_ticks=ticks(inside(slo.e2e_p95_s)),
    )


def ticks(seconds: float | None) -> int:
    return round((seconds or 0.0) * TICKS_PER_S)


def workers_of(made: Plant, service: int) -> list[int]:
    plan = made.cell.services[service]
    return [*plan.workers, *plan.prefill, *plan.decode]


def blocks_of(made: Plant, service: int) -> int:
    """KV blocks of all workers of a service."""
    models = (made.models[made.cell.workers[w]] for w in workers_of(made, service))
    return sum(m.kv_blocks * m.ranks for m in models)


def idle_w(system: str) -> float:
    return float(catalog.load("accelerators", catalog.load("systems", system)["accelerator"])["idle_w"])


def free_gpus(replicas: Sequence[Replicas], system: System) -> int:
    """GPUs of a system that no service uses."""
    have = int(catalog.load("systems", system.system)["gpus"]) * system.count
    return have - sum(r.gpus for r in replicas if r.system.id == system.id)
