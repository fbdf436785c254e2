"""Runs of agents as requests that wait for each other: how fast a run goes is for the factory to say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tokenworks.errors import InputError
from tokenworks.events.requests import Requests
from tokenworks.spec.demand import Workload
from tokenworks.workload.agents.as_requests import in_order
from tokenworks.workload.agents.calls import Calls
from tokenworks.workload.agents.compaction import compacted
from tokenworks.workload.agents.recording import Floats
from tokenworks.workload.agents.source import calls_per_run, runs_of
from tokenworks.workload.arrivals import poisson
from tokenworks.workload.generate import ARRIVAL, TENANT, owned, rng_of
from tokenworks.workload.streams import in_ticks

MOST_CALLS = 5_000_000  # all are in memory at once
RUN_CHUNK = 1024


def linked_runs(
    load: Workload, service: int, rate_s: float, horizon_s: float, seed: int, number: int
) -> tuple[Requests, Calls]:
    """Requests of all runs that begin before the horizon, in the order of their calls, and these calls. ``rate_s``:
    requests per second, in the mean. Raises InputError for more calls than memory should hold."""
    assert load.agents is not None
    mean = calls_per_run(load.agents)
    begins = _begins(rate_s / mean, horizon_s, rng_of(seed, number, ARRIVAL))
    if len(begins) * mean > MOST_CALLS:
        raise InputError(
            f"{load.service}: {len(begins):,} runs of {load.agents} are about {len(begins) * mean:,.0f} calls, at most "
            f"{MOST_CALLS:,} are played at once: shorten run.horizon or lower runs"
        )
    calls = runs_of(load.agents)(seed, range(len(begins)), number)
    if load.compaction is not None:
        calls = compacted(calls, load.compaction)
    made, start = in_order(calls), in_ticks(begins)[calls.run]
    first = np.diff(calls.before_start) == 0
    soonest = np.zeros(len(begins), np.int64)  # nothing of a run comes before its first call
    np.maximum.at(soonest, calls.run[first], (start + made.think)[first])
    made = replace(
        made,
        arrival=np.where(first, start + made.think, soonest[calls.run]),
        after_start=calls.before_start.astype(np.int64),
        after=calls.before.astype(np.int64),
    )
    return owned(made, load, service, number, rng_of(seed, number, TENANT)), calls


def _begins(runs_s: float, horizon_s: float, rng: np.random.Generator) -> Floats:
    """When runs begin, seconds."""
    found = list[Floats]()
    for times in poisson(runs_s, rng, RUN_CHUNK):
        found.append(times[times < horizon_s])
        if times[-1] >= horizon_s:
            break
    return np.concatenate(found)
