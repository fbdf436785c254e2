"""A run that is asked to stop is the same run with a shorter horizon."""

import numpy as np
from test_kernel import TICKS, service_time_model

from tokenworks.twin.cell import Cell, ServicePlan, TwinOptions
from tokenworks.twin.simulate import simulate
from tokenworks.workload.generate import requests

N = 200_000
CALLS = 3  # stop is asked once per chunk of requests


def load():
    rng = np.random.default_rng(5)
    gaps = rng.exponential(0.01, N)
    return requests(np.cumsum(gaps), np.ones(N, np.int32), rng.integers(2, 9, N).astype(np.int32))


def test_stopped_run_equals_a_run_with_that_horizon():
    model = service_time_model(64, np.linspace(0.001, 0.01, 65), 0.002)
    cell = Cell((model,), (0, 0), (ServicePlan("q", workers=(0, 1), policy=2),))
    asked = []
    whole = int(0.01 * TICKS * N)
    options = TwinOptions(horizon_ticks=whole, bucket_ticks=whole // 240, buckets=240)
    short = simulate(cell, load(), options, stop=lambda: asked.append(1) or len(asked) >= CALLS)
    assert 0 < short.end_ticks < whole
    assert short.end_ticks % options.bucket_ticks == 0
    kept = short.end_ticks // options.bucket_ticks
    again = simulate(
        cell, load(), TwinOptions(horizon_ticks=short.end_ticks, bucket_ticks=options.bucket_ticks, buckets=kept)
    )
    a, b = short.services[0], again.services[0]
    assert (a.arrived, a.finished, a.output_tokens) == (b.arrived, b.finished, b.output_tokens)
    assert np.array_equal(a.ttft_counts, b.ttft_counts)
    assert np.array_equal(a.e2e_counts, b.e2e_counts)
    assert np.array_equal(short.workers.dynamic_uj, again.workers.dynamic_uj)
    assert np.array_equal(short.timeline.joules[..., :kept], again.timeline.joules)
    assert short.timeline.output_tokens[..., kept:].sum() == 0
