"""100 million requests over 1,000 workers in stated cells, two processes: seconds and peak memory.

`benchmarks/fleet.py --requests 100000000 --workers 1000 --cells 20 --processes 2 --json`
"""

import argparse
import json
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tokenworks.events.requests import Requests
from tokenworks.twin.cell import Cell, ServicePlan, TwinOptions
from tokenworks.twin.processes import simulate_cells
from tokenworks.workload.generate import requests, rng_of
from tokenworks.workload.trace_formats import load_trace
from twin import worker_model

CHUNK = 65_536
RATE_OF_A_WORKER_S = 22.0  # 80% of what one worker of benchmarks/twin.py sustains


@dataclass(frozen=True)
class Stream:
    """Poisson arrivals with Azure conversation lengths, one chunk at a time."""

    count: int
    rate_s: float
    cell: int

    def __call__(self) -> Iterator[Requests]:
        trace, rng = load_trace("azure-2023-conversation"), rng_of(1, self.cell)
        clock, left = 0.0, self.count
        while left:
            n = min(CHUNK, left)
            arrival = clock + np.cumsum(rng.exponential(1 / self.rate_s, n))
            pick = rng.integers(0, len(trace), n)
            yield requests(arrival, trace.input_tokens[pick], trace.output_tokens[pick])
            clock, left = float(arrival[-1]), left - n


def measure(count: int, workers: int, cells: int, processes: int) -> dict[str, float]:
    model, each = worker_model(), workers // cells
    plan = ServicePlan("fleet", workers=tuple(range(each)))
    parts = [Cell((model,), (0,) * each, (plan,), seed=i) for i in range(cells)]
    streams = [Stream(count // cells, each * RATE_OF_A_WORKER_S, i) for i in range(cells)]
    start = time.perf_counter()
    results = simulate_cells(parts, streams, TwinOptions(), processes)
    seconds = time.perf_counter() - start
    own, theirs = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return {
        "seconds": seconds,
        "requests_s": count / seconds,
        "peak_rss_mb": (own + processes * theirs) / 1024,
        "requests": count,
        "workers": workers,
        "cells": cells,
        "finished": sum(r.services[0].finished for r in results),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000_000)
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--cells", type=int, default=20)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    found = measure(args.requests, args.workers, args.cells, args.processes)
    print(json.dumps(found) if args.json else "\n".join(f"{k:24} {v:,.1f}" for k, v in found.items()))


if __name__ == "__main__":
    main()
