"""Many workers in stated cells over processes: `benchmarks/fleet.py --requests 100000000 --workers 1000 --json`."""

import argparse
import json
import resource
import time
from collections.abc import Iterator
from functools import partial

from tokenworks.events.requests import Requests
from tokenworks.physics.worker_model import TICKS_PER_S
from tokenworks.twin.cell import Cell, ServicePlan, TwinOptions
from tokenworks.twin.processes import merge, simulate_cells
from twin import worker_model, workload

CHUNK = 1 << 16


def stream(count: int, rate_s: float, seed: int) -> Iterator[Requests]:
    """Poisson requests of Azure conversation lengths in chunks of constant size."""
    clock = 0
    for number, start in enumerate(range(0, count, CHUNK)):
        part = workload(min(CHUNK, count - start), rate_s, seed * 100_003 + number)
        part.arrival[:] += clock
        clock = int(part.arrival[-1])
        yield part


def measure(requests: int, workers: int, cells: int, processes: int, rate_s: float) -> dict[str, float]:
    each, model = workers // cells, worker_model()
    plan = ServicePlan("bench", workers=tuple(range(each)))
    made = [Cell((model,), (0,) * each, (plan,), seed=k) for k in range(cells)]
    streams = [partial(stream, requests // cells, rate_s * each, k + 1) for k in range(cells)]
    start = time.perf_counter()
    result = merge(simulate_cells(made, streams, TwinOptions(), processes))
    seconds = time.perf_counter() - start
    peak = sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return {
        "requests_s": result.services[0].arrived / seconds,
        "seconds": seconds,
        "peak_rss_mb": peak / 1024,
        "requests": result.services[0].arrived,
        "workers": workers,
        "cells": cells,
        "processes": processes,
        "virtual_s": result.end_ticks / TICKS_PER_S,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=4_000_000)
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--cells", type=int, default=125)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rate", type=float, default=22.0, help="requests per second and worker")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    found = measure(args.requests, args.workers, args.cells, args.processes, args.rate)
    print(json.dumps(found) if args.json else "\n".join(f"{k:24} {v:,.1f}" for k, v in found.items()))


if __name__ == "__main__":
    main()
