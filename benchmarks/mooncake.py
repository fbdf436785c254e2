"""The Mooncake conversation trace × 100 with prefix caches and KV-aware routing: requests per second of the kernel."""

import argparse
import json
import resource
import time
from dataclasses import replace

from twin import worker_model

from tokenworks.twin.cell import KV_AWARE, Cell, ServicePlan, TwinOptions
from tokenworks.twin.simulate import simulate
from tokenworks.workload.generate import from_trace, rng_of
from tokenworks.workload.trace import load_trace


def measure(copies: float, workers: int, horizon_s: float) -> dict[str, float]:
    model = replace(worker_model(), prefix_cache=True, block_tokens=512, kv_blocks=worker_model().kv_blocks // 32)
    plan = ServicePlan("bench", workers=tuple(range(workers)), policy=KV_AWARE)
    trace = load_trace("mooncake-conversation")
    load = from_trace(trace, copies * trace.rate_s, horizon_s, rng_of(1))
    simulate(Cell((model,), (0,) * workers, (plan,)), from_trace(trace, 1.0, 60, rng_of(1)), TwinOptions())
    start = time.perf_counter()
    result = simulate(Cell((model,), (0,) * workers, (plan,)), load, TwinOptions())
    seconds = time.perf_counter() - start
    stats = result.services[0]
    return {
        "requests_s": len(load) / seconds,
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "requests": len(load),
        "workers": workers,
        "cached_share": stats.cached_tokens / stats.input_tokens,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--copies", type=float, default=100)
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--horizon", type=float, default=600)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    found = measure(args.copies, args.workers, args.horizon)
    print(json.dumps(found) if args.json else "\n".join(f"{k:24} {v:,.2f}" for k, v in found.items()))


main()
