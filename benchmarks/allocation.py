"""What it costs to know each request's seconds and joules: `benchmarks/allocation.py --requests N --workers 8 --json`.

The workload is that of `benchmarks/twin.py`, played with and without allocation by turns, best of several. Speeds are per second of
processor time, which other processes disturb less; the best of the pairs counts. Events: usage events of the run as an Arrow table.

``twin_allocation_segments_requests_s``: from the first event of the twin to the last sealed segment on the disk, kernel and
writer on a thread each, per second of the wall clock, best of several; it wants two cores to itself. Beside it what each of the
two sides computes per request: with two free cores, the larger one bounds the figure.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from tokenworks.events.requests import Requests
from tokenworks.ledger import Ledger
from tokenworks.rehearsal.events import RunKey, usage_table
from tokenworks.rehearsal.handover import Handover
from tokenworks.twin.cell import Cell, Departed, ServicePlan, TwinOptions, TwinResult
from tokenworks.twin.departures import departed
from tokenworks.twin.simulate import simulate
from twin import worker_model, workload

KEY = RunKey("twin/benchmark", ("bench",), ("llama-3.1-8b",))


def seconds(do: Callable[[], object], times: int) -> float:
    """Shortest processor time of several tries."""
    found = []
    for _ in range(times):
        start = time.process_time()
        do()
        found.append(time.process_time() - start)
    return min(found)


def measure(count: int, workers: int, times: int, segment_count: int) -> dict[str, float]:
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
    long = workload(segment_count, 0.8 * 4000 * workers / (flood.end_ticks / 1e11), 3)
    return {
        "with_allocation_share": without / allocated,
        "requests_s_with": count / allocated,
        "requests_s_without": count / without,
        "events_rows_s": count / seconds(lambda: events(load, result), times),
        "requests": count,
        "workers": workers,
        **segments(cell, long, times),
    }


def segments(cell: Cell, load: Requests, times: int) -> dict[str, float]:
    """A metered run into a fresh ledger."""
    found = []
    for _ in range(times):
        with tempfile.TemporaryDirectory() as folder, Ledger.open(Path(folder) / "ledger.db") as ledger:
            wall, every, mine = time.perf_counter(), time.process_time(), time.thread_time()
            with Handover(lambda chunks, book=ledger: book.append_run("twin/benchmark", tables(load, chunks))) as sink:
                simulate(cell, load, TwinOptions(allocate=True), sink=sink)
                receipt = sink.result()
            assert (receipt.status, receipt.last_seq) == ("stored", len(load))
            wall, every, mine = time.perf_counter() - wall, time.process_time() - every, time.thread_time() - mine
            found.append((wall, mine, every - mine))
    wall, mine, beside = (min(column) for column in zip(*found, strict=True))
    return {
        "twin_allocation_segments_requests_s": len(load) / wall,
        "segments_kernel_cpu_us": mine / len(load) * 1e6,
        "segments_writer_cpu_us": beside / len(load) * 1e6,
        "segments_requests": len(load),
    }


def tables(load: Requests, chunks: Iterable[Departed]) -> Iterator[pa.Table]:
    return (usage_table(KEY, load, chunk) for chunk in chunks)


def events(load: Requests, result: TwinResult) -> int:
    """Rows of the run's usage events."""
    return sum(table.num_rows for table in tables(load, departed(result, len(load))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=200_000)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--segment-requests", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    found = measure(args.requests, args.workers, args.times, args.segment_requests)
    print(json.dumps(found) if args.json else "\n".join(f"{k:24} {v:,.2f}" for k, v in found.items()))


if __name__ == "__main__":
    main()
