"""What it costs to know each request's seconds and joules: `benchmarks/allocation.py --requests N --workers 8 --json`.

The workload is that of `benchmarks/twin.py`, played with and without allocation by turns, best of several. Speeds are per second of
processor time, which other processes disturb less; the best of the pairs counts. Events: usage events of the run as an Arrow table.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace

from tokenworks.events.requests import Requests
from tokenworks.rehearsal.events import RunKey, usage_table
from tokenworks.twin.cell import Cell, ServicePlan, TwinOptions, TwinResult
from tokenworks.twin.simulate import simulate
from twin import worker_model, workload


def seconds(do: Callable[[], object], times: int) -> float:
    """Shortest processor time of several tries."""
    found = []
    for _ in range(times):
        start = time.process_time()
        do()
        found.append(time.process_time() - start)
    return min(found)


def measure(count: int, workers: int, times: int) -> dict[str, float]:
    cell = Cell((worker_model(),), (0,) * workers, (ServicePlan("bench", workers=tuple(range(workers))),))
    flood = simulate(cell, workload(4000 * workers, 1e9, 1), TwinOptions(allocate=True))
    load = workload(count, 0.8 * 4000 * workers / (flood.end_ticks / 1e11), 2)
    plain, divided = TwinOptions(), TwinOptions(allocate=True)
    pairs = [
        (seconds(lambda: simulate(cell, load, plain), 1), seconds(lambda: simulate(cell, load, divided), 1))
        for _ in range(times)
    ]
    without, allocated = (min(pair[k] for pair in pairs) for k in range(2))
    result = simulate(cell, load, replace(divided, record=True))
    return {
        "with_allocation_share": without / allocated,
        "requests_s_with": count / allocated,
        "requests_s_without": count / without,
        "events_rows_s": count / seconds(lambda: events(load, result), times),
        "requests": count,
        "workers": workers,
    }


def events(load: Requests, result: TwinResult) -> int:
    """Rows of the run's usage events."""
    key = RunKey("twin/benchmark", ("bench",), ("llama-3.1-8b",))
    return int(usage_table(key, load, result.log, result.allocation).num_rows) if result.log else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=200_000)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    found = measure(args.requests, args.workers, args.times)
    print(json.dumps(found) if args.json else "\n".join(f"{k:24} {v:,.2f}" for k, v in found.items()))


if __name__ == "__main__":
    main()
