"""Feature cases whose pools are scaled: by a policy that jumps about, and by the real ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from feature_cases import feature_case

from tokenworks.control.routing import splitmix64
from tokenworks.control.scaling.autoscale import Memory, Rules, decide
from tokenworks.control.scaling.capacity import DECODE, PREFILL, SERVE, Capacity
from tokenworks.control.scaling.seen import Seen
from tokenworks.events.requests import Requests
from tokenworks.physics.worker_model import TICKS_PER_S
from tokenworks.twin.cell import Cell, ScalingPlan, TwinOptions


def jumpy(rules: Rules, memory: Memory, seen: Seen) -> Memory:
    """Any number, by a hash of all that is seen: a figure that differs shows."""
    value = 0
    for figure in (round(seen.now_s * 1e9), *seen[1:]):
        value = int(splitmix64(value ^ int(figure))) >> 1
    return memory._replace(replicas=rules.least + value % (rules.most - rules.least + 1))


def capacity(rng: np.random.Generator, step_s: float) -> Capacity:
    batch = np.arange(7)
    return Capacity(
        decode_s=np.stack([step_s * (0.5 + 0.1 * batch), step_s * (0.2 + 0.3 * batch)]),
        key_s=np.full((2, 3), step_s * 1e-3),
        token_s=np.full(2, step_s * rng.uniform(0.01, 0.3)),
        pair_s=np.zeros((2, 3)),
        limits=np.array([np.inf, 0.0, 0.0]),
        kv_tokens=1000.0,
        ranks=1,
    )


def scaling_case(seed: int) -> tuple[Cell, Requests, TwinOptions]:
    cell, load, options = feature_case(seed)
    rng = np.random.default_rng((seed, 91))
    span = int(load.arrival.max()) + 1
    every = max(2, round(span / rng.integers(2, 30)), options.control_ticks // int(rng.choice([1, 2, 5])))
    if rng.random() < 0.2:
        every = options.control_ticks
    models = tuple(
        replace(m, load_s=float(rng.choice([0, 1, every // 3, 2 * every])) / TICKS_PER_S) for m in cell.models
    )
    plans = []
    for s, service in enumerate(cell.services):
        pools = [(SERVE, service.workers), (PREFILL, service.prefill), (DECODE, service.decode)]
        for role, pool in pools:
            if pool and rng.random() < 0.9:
                plans.append(plan_for(rng, s, role, len(pool), every, models[cell.workers[pool[0]]].load_s))
    return replace(cell, models=models, scaling=tuple(plans)), load, options


def plan_for(rng: np.random.Generator, service: int, role: int, count: int, every: int, load_s: float) -> ScalingPlan:
    least, most = sorted(int(x) for x in rng.integers(int(role == DECODE), count + 1, 2))
    most = max(1, most)
    every_s = every / TICKS_PER_S
    rules = Rules(
        role=role, least=least, most=most, start=int(rng.integers(least, most + 1)), every_s=every_s, load_s=load_s,
        predictor=int(rng.integers(0, 4)), season=int(rng.choice([0, 3])), target=0.7, hysteresis=0.2,
        calm_s=float(rng.choice([0, 2])) * every_s, idle_s=2 * every_s, tpot_s=float(rng.choice([0, every_s])), isl=20.0, osl=20.0,
        capacity=capacity(rng, every_s * rng.uniform(0.01, 1)),
    )  # fmt: skip
    return ScalingPlan(service, rules, jumpy if rng.random() < 0.7 else decide)
