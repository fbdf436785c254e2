"""Prefill and decode pools against the twin."""

import numpy as np
from deployments import deployment
from poisson_load import loaded, points
from random_replicas import lengths
from replicas import apart, rehearsed

from tokenworks.plan.shapes import Shape
from tokenworks.plan.wide import wide

CASES = {
    "chat": ({"token_budget": 8192}, {"token_budget": 8192, "cuda_graph_max_seqs": 512}, 64, 1000, 250),
    "long prompts": ({"token_budget": 8192, "tp": 2}, {"token_budget": 8192, "kv": "bf16", "cuda_graph_max_seqs": 512}, 32, 5000, 300),
    "alone": ({"engine": "sglang", "prefill_alone": True, "token_budget": 16384}, {"engine": "sglang", "prefill_alone": True}, 48, 800, 200),
    "ranks": (
        {"accelerator": "b200", "model": "deepseek-r1", "weights": "fp8_block", "tp": 8, "ep": 8, "token_budget": 8192},
        {"accelerator": "b200", "model": "deepseek-r1", "weights": "fp8_block", "dp": 8, "ep": 8, "cuda_graph_max_seqs": 512},
        32, 1500, 300,
    ),
}  # fmt: skip


def figures(name):
    """Relative errors against the twin: rate of flooded decode and of flooded prefill workers; then, one of each at 60%
    of what the slower one can, TTFT and TPOT."""
    first, second, batch, prompt, output = CASES[name]
    ask = lengths(np.random.default_rng(6), prompt, output, 0.5, 400)
    p, d = deployment(**{**first, "max_seqs": 256}), deployment(**{**second, "max_seqs": batch})
    found, count = wide([Shape("", "prefill", p), Shape("", "decode", d)], ask), max(1200, 20 * batch * d.dp)
    prompts, answers = (np.flatnonzero(found.shape == k) for k in (0, 1))
    most, full = float(found.requests_s[prompts].max()), float(found.requests_s[answers[-1]])
    flooded = rehearsed(apart(p, d, (int(np.ceil(1.6 * full / most)), 1)), ask, count)
    filled = rehearsed(apart(p, d, (1, int(np.ceil(1.6 * most / full)))), ask, 1200)
    rate_s = 0.6 * min(most, full)
    some = rehearsed(apart(p, d, (1, 1)), ask, count, rate_s)
    ttft = np.interp(rate_s, found.requests_s[prompts], found.ttft_s[prompts])
    tpot = loaded(points(found, answers, d.dp), rate_s).tpot_s
    return full / flooded.requests_s - 1, most / filled.requests_s - 1, ttft / some.ttft_s - 1, tpot / some.tpot_s - 1


def test_pools_in_the_twin():
    """Four disaggregated services: rates within 6%, TPOT within 4%, TTFT within 25%."""
    errors = np.array([figures(name) for name in CASES])
    assert (np.abs(errors) < [0.06, 0.06, 0.25, 0.04]).all(), errors
    assert (np.median(np.abs(errors), axis=0) < [0.02, 0.04, 0.15, 0.02]).all(), errors
