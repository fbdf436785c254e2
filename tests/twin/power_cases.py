"""Scaling cases whose pools share a power budget that changes."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from scaling_cases import scaling_case

from tokenworks.control.scaling.power import Budget, Pool
from tokenworks.events.requests import Requests
from tokenworks.twin.cell import Cell, TwinOptions


def power_case(seed: int) -> tuple[Cell, Requests, TwinOptions]:
    """Budgets by the time of a day of which the run is an instant, so its edges lie within the run; a horizon, since
    requests may be held to the end."""
    cell, load, options = scaling_case(seed)
    rng = np.random.default_rng((seed, 17))
    span_s = (int(load.arrival.max()) + 1) / 10**11
    pools = tuple(
        Pool(int(rng.integers(0, 3)), plan.rules.least, float(rng.uniform(100, 400))) for plan in cell.scaling
    )
    whole_w = sum(plan.rules.most * pool.replica_w for plan, pool in zip(cell.scaling, pools, strict=True))
    edges = np.sort(rng.uniform(0, span_s, 3))
    day = [
        (0.0, whole_w),
        *((float(at), float(w)) for at, w in zip(edges, whole_w * rng.uniform(0, 1.2, 3), strict=True)),
    ]
    if rng.random() < 0.3:
        day[-1] = (day[-1][0], math.inf)
    budget = Budget(tuple(day), 0.0, float(rng.choice([0.0, whole_w / 10])), pools)
    horizon = options.horizon_ticks or 3 * int(span_s * 10**11)
    return replace(cell, budget=budget), load, replace(options, horizon_ticks=horizon)
