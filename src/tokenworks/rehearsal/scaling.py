"""From the factory file to the rules of its autoscalers: capacities from worker models, lengths from the workload."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from tokenworks.control.scaling.autoscale import Rules
from tokenworks.control.scaling.capacity import DECODE, PREFILL, SERVE, Capacity
from tokenworks.control.scaling.predictors import PREDICTORS
from tokenworks.physics.fleet import Replicas
from tokenworks.physics.worker_model import FINE, TICKS_PER_S, WorkerModel
from tokenworks.spec.factory import Factory
from tokenworks.spec.scaling import Scaling
from tokenworks.spec.service import Service
from tokenworks.twin.cell import ScalingPlan
from tokenworks.workload.generate import base_rate_s, stream
from tokenworks.workload.streams import head

ROLES: Mapping[str, int] = {"serve": SERVE, "prefill": PREFILL, "decode": DECODE}
DRAWN = 500  # requests whose mean lengths are expected until others have finished
DRAWN_STREAM = 2000  # number of their stream: workloads and floods have smaller ones
DRAWN_S = 1e6  # recorded time in which they are found


def scaling_of(service: Service, role: str) -> Scaling | None:
    """Of a pool by its role."""
    pool = {"serve": service, "prefill": service.prefill, "decode": service.decode}[role]
    return None if pool is None else pool.scaling


def scaling_plans(
    factory: Factory, replicas: Sequence[Replicas], models: Sequence[WorkerModel]
) -> tuple[ScalingPlan, ...]:
    """One of each pool that is scaled. ``models``: of all groups of all replicas, in order."""
    plans, number = [], 0
    for i, r in enumerate(replicas):
        for group in r.groups:
            scaling, model = scaling_of(r.service, group.role), models[number]
            number += 1
            if scaling is not None:
                lengths = expected_lengths(factory, r.service.name)
                plans.append(ScalingPlan(i, rules_of(scaling, r.service, group.role, group.count, model, lengths)))
    return tuple(plans)


def rules_of(
    scaling: Scaling, service: Service, role: str, count: int, model: WorkerModel, lengths: tuple[float, float]
) -> Rules:
    """``count``: workers of the pool; ``lengths``: expected prompt and output tokens."""
    most = min(count, scaling.most or count)
    return Rules(
        role=ROLES[role],
        least=min(scaling.least, most),
        most=most,
        start=most if scaling.start is None else scaling.start,
        every_s=scaling.every_s,
        load_s=model.load_s,
        predictor=PREDICTORS.index(scaling.predictor),
        season=round(scaling.season_s / scaling.every_s),
        target=scaling.target,
        hysteresis=scaling.hysteresis,
        calm_s=scaling.calm_s,
        idle_s=scaling.idle_s,
        tpot_s=service.slo.tpot_p95_s or 0.0,
        isl=lengths[0],
        osl=lengths[1],
        capacity=capacity_of(model),
    )


def capacity_of(model: WorkerModel, level: int = 0) -> Capacity:
    """At a clock level, the highest first. With speculation a token takes its part of a step."""
    table, second = model.levels[level], FINE * TICKS_PER_S
    batch, full, ranks = np.arange(table.decode.shape[1]), model.token_budget, model.ranks
    step = table.decode + table.shared_decode[:, ranks * batch]
    chunk = table.mixed[:, full] + table.shared_mixed[:, ranks * full]
    return Capacity(
        decode_s=step / second / model.tokens_per_step,
        key_s=table.context / second / model.tokens_per_step,
        token_s=chunk / second / full,
        pair_s=table.pair / second,
        limits=np.array([math.inf, *map(float, model.limits)]),
        kv_tokens=float(model.kv_blocks * model.block_tokens),
        ranks=ranks,
    )


def expected_lengths(factory: Factory, service: str) -> tuple[float, float]:
    """Mean prompt and output tokens of a service's workloads, by their rates where these are known."""
    drawn, weights = [], []
    for number, load in enumerate(factory.workload):
        if service not in (load.service, load.sub_agents):
            continue
        rate_s = max(base_rate_s(load) or 1.0, DRAWN / DRAWN_S)
        some = head(stream(load, 0, rate_s, math.inf, factory.run.seed, DRAWN_STREAM + number, chunk=DRAWN), DRAWN)
        if some is not None:
            drawn.append((float(some.input_tokens.mean()), float(some.output_tokens.mean())))
            weights.append(rate_s)
    if not drawn:
        return 1.0, 1.0
    isl, osl = np.average(drawn, axis=0, weights=weights)
    return float(isl), float(osl)
