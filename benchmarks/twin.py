"""Requests per second of the twin's kernel: `benchmarks/twin.py --requests N --workers 8 --json`.

Azure conversation lengths (mean 1,155/211), Poisson arrivals at 80% of what the workers sustain, token budget 8,192,
at most 256 sequences, least-loaded routing, TTFT/TPOT/E2E histograms and energy on.
"""

import argparse
import json
import resource
import time

import numpy as np

from tokenworks.physics.compile import compile_worker
from tokenworks.physics.deployment import Deployment
from tokenworks.physics.worker_model import WorkerModel
from tokenworks.twin.cell import Cell, ServicePlan, TwinOptions
from tokenworks.twin.simulate import simulate
from tokenworks.workload.generate import requests, rng_of
from tokenworks.workload.trace_formats import load_trace


def worker_model() -> WorkerModel:
    """Llama-3.1-8B in FP8 on one H100."""
    return compile_worker(
        Deployment(
            accelerator="h100-sxm", model="llama-3.1-8b", engine="vllm", engine_version="0.12", date="2025-12",
            weights="fp8", kv="bf16", tp=1, pp=1, dp=1, ep=1, max_seqs=256, token_budget=8192, memory_fraction=0.9,
            kv_fraction_of_free=1.0, memory_reserve_gb=2.5, block_tokens=16, reserve_output=False, prefill_alone=False,
            chunked_prefill=True, receive_interval=1, plans_ahead=False, prefix_cache=False, cuda_graph_max_seqs=512,
            eager_prefill=False,
        async_scheduling=False, draft_tokens=0, tokens_per_step=1.0, gpus_per_node=8,
        ),
        effects={},
    )  # fmt: skip


def workload(count: int, rate_s: float, seed: int):
    trace = load_trace("azure-2023-conversation")
    rng = rng_of(seed, 0)
    pick = rng.integers(0, len(trace), count)
    arrival = np.cumsum(rng.exponential(1 / rate_s, count))
    return requests(arrival, trace.input_tokens[pick], trace.output_tokens[pick])


def measure(count: int, workers: int) -> dict[str, float]:
    model = worker_model()
    plan = ServicePlan("bench", workers=tuple(range(workers)))
    cell = Cell((model,), (0,) * workers, (plan,))
    # What the workers sustain: everything at once, requests over time.
    flood = simulate(cell, workload(4000 * workers, 1e9, 1), TwinOptions())
    sustainable = 4000 * workers / (flood.end_ticks / 1e11)
    load = workload(count, 0.8 * sustainable, 2)
    start = time.perf_counter()
    result = simulate(cell, load, TwinOptions())
    seconds = time.perf_counter() - start
    return {
        "requests_s": count / seconds,
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "requests": count,
        "workers": workers,
        "sustainable_requests_s": sustainable,
        "mean_batch": float(result.workers.batch_steps.sum() / result.workers.steps.sum()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=200_000)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    found = measure(args.requests, args.workers)
    print(json.dumps(found) if args.json else "\n".join(f"{k:24} {v:,.1f}" for k, v in found.items()))


if __name__ == "__main__":
    main()
