"""The Mooncake conversation trace × 100 with prefix caches and KV-aware routing: requests per second of the kernel.

Ten cells of 40 workers (Llama-3.1-8B on an H100 each, four times its KV cache), ten copies of the trace a cell.
"""

import argparse
import json
import resource
import time
from dataclasses import replace

from tokenworks.twin.cell import KV_AWARE, Cell, ServicePlan, TwinOptions
from tokenworks.twin.simulate import simulate
from tokenworks.workload.generate import from_trace, rng_of
from tokenworks.workload.trace_formats import load_trace
from twin import worker_model


def measure(cells: int, copies: float, workers: int, horizon_s: float) -> dict[str, float]:
    one = worker_model()
    model = replace(one, prefix_cache=True, block_tokens=512, kv_blocks=one.kv_blocks * one.block_tokens // 512 * 4)
    plan = ServicePlan("bench", workers=tuple(range(workers)), policy=KV_AWARE)
    cell = Cell((model,), (0,) * workers, (plan,))
    trace = load_trace("mooncake-conversation")
    simulate(cell, from_trace(trace, 1.0, 60, rng_of(1)), TwinOptions())
    seconds, requests, cached, tokens = 0.0, 0, 0, 0
    for number in range(cells):
        load = from_trace(trace, copies / cells * trace.rate_s, horizon_s, rng_of(1, number))
        start = time.perf_counter()
        stats = simulate(replace(cell, seed=number), load, TwinOptions()).services[0]
        seconds += time.perf_counter() - start
        requests, cached, tokens = requests + len(load), cached + stats.cached_tokens, tokens + stats.input_tokens
    return {
        "requests_s": requests / seconds,
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "requests": requests,
        "workers": workers * cells,
        "cached_share": cached / tokens,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=10)
    parser.add_argument("--copies", type=float, default=100)
    parser.add_argument("--workers", type=int, default=40, help="of each cell")
    parser.add_argument("--horizon", type=float, default=300)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    found = measure(args.cells, args.copies, args.workers, args.horizon)
    print(json.dumps(found) if args.json else "\n".join(f"{k:24} {v:,.2f}" for k, v in found.items()))


main()
