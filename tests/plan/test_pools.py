"""Prefill and decode pools by ratio, against plain loops."""

import numpy as np
import pytest
from deployments import deployment
from pools import best_of_shapes, family, pools, ratios
from random_replicas import lengths

from tokenworks.plan.allowed import Allowed
from tokenworks.plan.shapes import Shape, shapes
from tokenworks.plan.wide import wide

ALLOWED = Allowed(
    ("hgx-h200",), engines=("vllm", "sglang"), weights=("fp8",), most_gpus=4, roles=("prefill", "decode"), max_seqs=48
)


def by_loops(kinds, found, ttft_s, most):
    """The best (requests per second and GPU) of each prefill shape and decode row, over everything."""
    best = {}
    for i in range(len(found)):
        if kinds[found.shape[i]].role != "prefill" or found.ttft_s[i] > ttft_s:
            continue
        for j in range(len(found)):
            if kinds[found.shape[j]].role != "decode" or family(kinds[found.shape[i]]) != family(kinds[found.shape[j]]):
                continue
            for p, d in ratios(most):
                rate = min(p * found.requests_s[i], d * found.requests_s[j]) / (p * found.gpus[i] + d * found.gpus[j])
                key = (int(found.shape[i]), j)
                best[key] = max(best.get(key, 0.0), rate)
    return best


@pytest.mark.parametrize("seed", range(3))
def test_pools_are_the_best_of_all(seed):
    r = np.random.default_rng(seed)
    kinds = [
        s
        for s in shapes("llama-3.1-8b", lengths(r, 1000, 200, 0.5), ALLOWED)
        if s.deployment.pp == 1 and s.deployment.kv == "fp8"
    ]
    ask = lengths(r, float(r.integers(200, 4000)), float(r.integers(50, 500)), 0.6)
    found = wide(kinds, ask)
    prefill = np.array([s.role == "prefill" for s in kinds])[found.shape]
    ttft_s = float(np.quantile(found.ttft_s[prefill], 0.6))
    mine, wanted = pools(kinds, found, ttft_s, most=4), by_loops(kinds, found, ttft_s, 4)
    assert len(mine) == len(wanted)
    for k in range(len(mine)):
        key = (int(found.shape[mine.prefill[k]]), int(mine.decode[k]))
        assert mine.requests_s[k] / mine.gpus[k] == pytest.approx(wanted[key], rel=1e-11)
    best = best_of_shapes(mine, found, tpot_s=float(np.median(mine.tpot_s)))
    for k in range(len(best)):
        pair = found.shape[best.prefill[k]], found.shape[best.decode[k]]
        same = (
            (found.shape[mine.prefill] == pair[0])
            & (found.shape[mine.decode] == pair[1])
            & (mine.tpot_s <= np.median(mine.tpot_s))
        )
        assert best.requests_s[k] / best.gpus[k] == (mine.requests_s / mine.gpus)[same].max()


def test_engines_and_formats_are_not_mixed():
    kinds = shapes("llama-3.1-8b", lengths(np.random.default_rng(1), 1000, 200, 0.5), ALLOWED)
    found = wide(kinds, lengths(np.random.default_rng(1), 1000, 200, 0.5))
    mine = pools(kinds, found)
    for i, j in zip(mine.prefill, mine.decode, strict=True):
        a, b = kinds[found.shape[i]].deployment, kinds[found.shape[j]].deployment
        assert (a.engine, a.weights, a.kv) == (b.engine, b.weights, b.kv)
    assert mine.tried >= len(mine) * len(ratios(8))


def test_no_pair_is_no_row():
    kinds = [Shape("hgx-h200", "decode", deployment())]
    assert len(pools(kinds, wide(kinds, lengths(np.random.default_rng(1), 1000, 200, 0.5)))) == 0
