"""Watts of replicas by their worker models, and the budget that autoscalers share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tokenworks.control.scaling.capacity import DECODE, PREFILL, SERVE, Capacity, load_of, prompt_s, steps_s
from tokenworks.control.scaling.power import DAY_S, Budget, Pool, allowed, least_w, watts_of
from tokenworks.errors import InputError
from tokenworks.physics.fleet import Replicas
from tokenworks.physics.worker_model import FINE, MICROJOULES_PER_J, WorkerModel
from tokenworks.rehearsal.scaling import ROLES, capacity_of, expected_lengths
from tokenworks.spec.factory import Factory
from tokenworks.twin.cell import ScalingPlan

Floats = NDArray[np.float64]


class Draw(NamedTuple):
    """What one replica draws."""

    by_requests_w: Floats  # in progress at it, from 0: idle
    replica_w: float  # at the load for which it is meant


def draw_of(model: WorkerModel, role: int, lengths: tuple[float, float], tpot_s: float, levels: int) -> Draw:
    """At the clock level, of the first so many, at which a replica serves most requests per joule: below it fewer replicas
    serve more under the same budget, above it more replicas."""
    isl, osl = lengths
    best, most = Draw(np.array([model.idle_w]), model.idle_w), 0.0
    for level in range(levels):
        one = capacity_of(model, level)
        load = load_of(one, role, isl, osl, tpot_s)
        curve = _curve_w(model, level, role, isl, osl)
        watts = float(np.interp(load.batch, np.arange(len(curve)), curve))
        if load.requests_s / watts > most:
            best, most = Draw(curve, watts), load.requests_s / watts
    return best


def _curve_w(model: WorkerModel, level: int, role: int, isl: float, osl: float) -> Floats:
    """Watts of a replica that has 0, 1, 2 … requests, evenly over its ranks, and steps without pause with any."""
    seconds, joules, ranks = capacity_of(model, level), joules_of(model, level), model.ranks
    active_w = model.levels[level].active_w
    fill_s, fill_j = (0.0, 0.0) if role == DECODE else (prompt_s(seconds, isl), prompt_s(joules, isl))
    if role == PREFILL or (role == SERVE and osl < 2):
        return np.array([model.idle_w, *[active_w + ranks * fill_j / fill_s] * ranks])
    n = np.arange(1, seconds.decode_s.shape[1])
    step_s, step_j = steps_s(seconds, isl + osl / 2) / n, steps_s(joules, isl + osl / 2) / n
    busy_w = active_w + ranks * (fill_j + osl * step_j) / (fill_s + osl * step_s)
    requests = np.arange(ranks * len(n) + 1)
    curve: Floats = np.interp(requests, [0, *(ranks * n)], [model.idle_w, *busy_w])
    return curve


def joules_of(model: WorkerModel, level: int) -> Capacity:
    """Joules in the place of seconds: they add up by the same sums."""
    table, joule = model.levels[level], FINE * MICROJOULES_PER_J
    batch, full, ranks = np.arange(len(table.joule_decode)), model.token_budget, model.ranks
    step = table.joule_decode + table.joule_shared_decode[ranks * batch] / ranks
    chunk = table.joule_mixed[full] + table.joule_shared_mixed[ranks * full] / ranks
    return Capacity(
        decode_s=step[None, :] / joule / model.tokens_per_step,
        key_s=table.joule_context[None, :] / joule / model.tokens_per_step,
        token_s=np.array([chunk / joule / full]),
        pair_s=table.joule_pair[None, :] / joule,
        limits=np.array([math.inf, *map(float, model.limits)]),
        kv_tokens=math.inf,
        ranks=ranks,
    )


def draws(factory: Factory, replicas: Sequence[Replicas], models: Sequence[WorkerModel], clocks: bool) -> list[Draw]:
    """One of each group of all services. ``clocks``: a controller lowers clocks; otherwise all run at the highest."""
    found: list[Draw] = []
    for r in replicas:
        lengths = expected_lengths(factory, r.service.name)
        for group in r.groups:
            model = models[len(found)]
            levels = len(model.levels) if clocks else 1
            found.append(draw_of(model, ROLES[group.role], lengths, r.service.slo.tpot_p95_s or 0.0, levels))
    return found


def budget_of(
    factory: Factory,
    replicas: Sequence[Replicas],
    plans: Sequence[ScalingPlan],
    found: Sequence[Draw],
    boards: Sequence[tuple[float, float]],
) -> Budget:
    """``boards``: (second of the day, watts that the boards in use may draw from then on). Raises InputError for a pool of
    which no replica could ever start."""
    groups = [(i, ROLES[g.role], g.count) for i, r in enumerate(replicas) for g in r.groups]
    scaled = {(plan.service, plan.rules.role): plan.rules for plan in plans}
    fixed_w = sum(found[n].replica_w * count for n, (s, role, count) in enumerate(groups) if (s, role) not in scaled)
    ranks = ranks_of(factory)
    place = {(s, role): n for n, (s, role, _) in enumerate(groups)}
    pools = tuple(
        Pool(ranks[plan.service], plan.rules.least, found[place[plan.service, plan.rules.role]].replica_w)
        for plan in plans
    )
    made = Budget(tuple(boards), (factory.run.start_s or 0.0) % DAY_S, float(fixed_w), pools)
    _require_room(made, [replicas[plan.service].service.name for plan in plans])
    return made


def ranks_of(factory: Factory) -> list[int]:
    """Of the services: 0 gives replicas up last. By the most urgent of a service's workloads, then as the file has them."""
    last = 10
    urgent = [
        min((w.priority for w in factory.workload if s.name in (w.service, w.sub_agents)), default=last)
        for s in factory.services
    ]
    order = sorted(range(len(urgent)), key=lambda i: (urgent[i], i))
    return [order.index(i) for i in range(len(urgent))]


def _require_room(budget: Budget, names: Sequence[str]) -> None:
    """A pool without a minimum must find room for a replica at some time, or its callers would wait forever."""
    kept_w = budget.fixed_w + sum(pool.least * pool.replica_w for pool in budget.pools)
    room_w = max(watts for _, watts in budget.day) - kept_w
    for pool, name in zip(budget.pools, names, strict=True):
        if not pool.least and pool.replica_w > room_w:
            raise InputError(
                f"service {name}: a replica draws {pool.replica_w / 1e3:.3g} kW at its load, the power budget leaves "
                f"{max(0.0, room_w) / 1e3:.3g} kW for it at most: it could never start; raise the budget or give it a min"
            )


def begun(plans: Sequence[ScalingPlan], budget: Budget) -> tuple[ScalingPlan, ...]:
    """Plans that begin with what the budget allows."""
    ahead_s = max((plan.rules.every_s for plan in plans), default=0.0)
    limit_w = least_w(budget.day, budget.begins_s, ahead_s)
    told = allowed(budget, [plan.rules.start for plan in plans], limit_w, watts_of(budget))
    return tuple(
        replace(plan, rules=plan.rules._replace(start=min(plan.rules.start, n)))
        for plan, n in zip(plans, told, strict=True)
    )
