"""What is asked: a workload, as a factory file describes it, as the requests that are played."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tokenworks.errors import InputError
from tokenworks.events.requests import Requests
from tokenworks.spec.demand import COUNTED, Workload
from tokenworks.workload.agents.linked import linked_runs
from tokenworks.workload.generate import generate
from tokenworks.workload.streams import in_ticks, part

MOST_REQUESTS = 2_000_000  # all are in memory at once


@dataclass(frozen=True)
class Demand:
    """Requests, and in words what they are. Linked ones in the order of their runs, others by arrival."""

    requests: Requests
    said: str
    clients: int | None  # of a closed loop
    rate_s: float | None  # requests per second of an open loop, as asked for
    steady: (
        bool  # one rate and lengths of one kind from beginning to end, no shared prefixes: what a calibration can use
    )


def demand_of(
    load: Workload, rate_s: float, duration_s: float, seed: int, most: int | None = None, even: bool = False
) -> Demand:
    """The requests of a workload that begin within the duration, the first ``most`` of them; ``even``: at equal gaps
    instead of drawn ones. A closed loop has no rate (0) and no duration (inf). Raises InputError."""
    if rate_s and rate_s * duration_s > MOST_REQUESTS:
        raise InputError(f"{rate_s * duration_s:,.0f} requests are too many for one bench: at most {MOST_REQUESTS:,}")
    kind = load.arrivals.kind if load.arrivals else ""
    if load.agents is not None:
        made, _ = linked_runs(load, 0, rate_s, duration_s, seed, 0)
    elif even:
        made = _even(load, rate_s, duration_s, seed)
    else:
        made = generate(load, 0, rate_s, duration_s, seed, 0)
    made = made if load.agents is not None or most is None else part(made, 0, min(most, len(made)))
    if not len(made):
        raise InputError(f"no request begins within {duration_s:g} s: raise --duration or the rate")
    counted = kind in COUNTED
    clients = (load.arrivals.clients or len(made)) if counted and load.arrivals else None
    steady = load.sessions is None and (counted or even or kind in ("poisson", "gamma", "weibull"))
    said = _said(load, "constant" if even else "", rate_s, clients, len(made))
    return Demand(made, said, clients, None if counted else rate_s, steady)


def _even(load: Workload, rate_s: float, duration_s: float, seed: int) -> Requests:
    """The same lengths at equal gaps."""
    count = max(1, int(rate_s * duration_s))
    if load.arrivals is None:
        raise InputError("a constant rate belongs to made-up requests, not to a trace, a mix or agents")
    counted = load.arrivals.model_copy(update={"kind": "offline", "requests": count})
    made = generate(load.model_copy(update={"arrivals": counted}), 0, rate_s, duration_s, seed, 0)
    return replace(made, arrival=in_ticks(np.arange(count) / rate_s))


def _said(load: Workload, kind: str, rate_s: float, clients: int | None, count: int) -> str:
    if clients is not None:
        think = load.arrivals.think_s if load.arrivals else 0.0
        pause = f" that think {think:g} s" if think else ""
        return f"closed loop, {clients:,} client{'s' * (clients != 1)}{pause}, {count:,} requests"
    return f"open loop, {kind or load.source}, {rate_s:.4g} req/s, {count:,} requests"
