"""Runs of agents as a stream of requests by arrival, in chunks.

A stream fixes arrivals before the twin runs: a call is sent when the answers before it are had at the pace that the
workload states. (`settle` makes arrivals follow the factory's own answers.)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from tokenworks.events.requests import Requests
from tokenworks.spec.demand import Workload
from tokenworks.workload.agents.as_requests import in_order
from tokenworks.workload.agents.compaction import compacted
from tokenworks.workload.agents.schedule import Pace, at_pace
from tokenworks.workload.agents.source import calls_per_run, runs_of
from tokenworks.workload.arrivals import poisson
from tokenworks.workload.streams import chosen, in_ticks, joined

CALLS = 4096  # about so many are made at once: their prompts carry many hashes

__all__ = ["agent_requests", "calls_per_run"]


def agent_requests(
    load: Workload, rate_s: float, seed: int, number: int, rng: np.random.Generator
) -> Iterator[Requests]:
    """Requests without end, at ``rate_s`` requests per second in the mean once runs are under way. Runs begin as a
    Poisson process, none before the beginning; their session is the run's number."""
    assert load.agents is not None
    make, mean = runs_of(load.agents), calls_per_run(load.agents)
    pace = Pace(load.answers.ttft_s, load.answers.tpot_s) if load.answers else Pace()
    size, first = max(1, int(CALLS / mean)), 0
    waiting: list[Requests] = []
    for times in poisson(rate_s / mean, rng, size):
        calls = make(seed, range(first, first + size), number)
        if load.compaction is not None:
            calls = compacted(calls, load.compaction)
        start = in_ticks(times)
        at = at_pace(calls, start[calls.run - first], pace)
        made = joined([*waiting, replace(in_order(calls), arrival=at)])
        order = np.argsort(made.arrival, kind="stable")
        done = int(np.searchsorted(made.arrival[order], start[-1], side="left"))  # later runs send nothing before it
        if done:
            yield chosen(made, order[:done])
        waiting, first = [chosen(made, order[done:])] if done < len(order) else [], first + size
