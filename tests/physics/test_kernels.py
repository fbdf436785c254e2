"""Kernels launched and bytes moved beside the large products, counted by hand from the models' shapes."""

import pytest
from deployments import deployment, terms

from tokenworks import catalog
from tokenworks.physics.compile import compile_worker
from tokenworks.physics.kernels import fused_norms, launches, local_bytes, shared_bytes

LLAMA, DEEPSEEK = "llama-3.1-8b", "deepseek-r1"


def test_launches_of_a_dense_model_by_hand():
    model = catalog.load("models", LLAMA)
    # 32 layers of two norms, two projections, rotary embedding, split attention with its reduction, and a gated feed-forward
    assert launches(deployment(model=LLAMA, weights="bf16"), model) == 32 * (2 + 2 + 1 + 2 + 3)
    assert launches(deployment(model=LLAMA, weights="bf16", pp=2), model) == 160


def test_launches_of_latent_attention_and_experts_by_hand():
    model = catalog.load("models", DEEPSEEK)
    attention, dense, moe, shared = 61 * (4 + 1 + 2 + 5), 3 * 3, 58 * (4 + 3), 58 * 3
    scales = 4 * 61 + 2 * 61  # every product's input is quantised by a kernel of its own
    assert launches(deployment(model=DEEPSEEK, weights="bf16", tp=8), model) == 122 + attention + dense + moe + shared
    found = launches(deployment(model=DEEPSEEK, weights="fp8_block", tp=8), model)
    assert found == 122 + attention + dense + moe + shared + scales


def test_bytes_of_a_dense_model_by_hand():
    model = catalog.load("models", LLAMA)
    norms, rotary, activation = 2 * 32 * 4 * 4096, 2 * 32 * 48 * 128, 32 * 3 * 14336
    assert local_bytes(deployment(model=LLAMA), model) == 2 * (norms + rotary + activation)
    assert local_bytes(deployment(model=LLAMA, tp=2), model) == 2 * (norms + (rotary + activation) / 2)
    assert shared_bytes(deployment(model=LLAMA, tp=2), model) == 0


def test_attention_data_parallelism_moves_feed_forwards_to_the_tokens_of_all_ranks():
    model = catalog.load("models", DEEPSEEK)
    one, many = deployment(model=DEEPSEEK, tp=8, ep=8), deployment(model=DEEPSEEK, tp=1, dp=8, ep=8)
    norms = 2 * 61 * 4 * 7168
    inner = (3 * 18432 + 58 * 2048) / 8  # routed experts count their own rows
    assert shared_bytes(many, model) == pytest.approx(2 * 3 * inner)
    attention = local_bytes(one, model) - shared_bytes(many, model) - 2 * norms
    assert local_bytes(many, model) == pytest.approx(2 * norms + 8 * attention)


@pytest.mark.parametrize(
    ("changes", "fused"),
    [
        ({"model": LLAMA, "tp": 1}, 0),  # nothing is reduced
        ({"model": LLAMA, "tp": 2}, 64),  # after attention and after the feed-forward of 32 layers
        ({"model": LLAMA, "tp": 2, "dp": 2}, 32),  # feed-forwards scatter instead
        ({"model": DEEPSEEK, "tp": 8, "ep": 8}, 122),
        ({"model": "gemma-3-27b", "tp": 2}, 124),  # of 248 norms
        ({"model": "nemotron-nano-9b-v2", "tp": 2}, 56),  # one mixer or feed-forward a layer
    ],
)
def test_norms_inside_the_all_reduce_before_them(changes, fused):
    plain, on = deployment(**changes), deployment(**changes, fused_all_reduce=True)
    model = catalog.load("models", changes["model"])
    assert fused_norms(on, model) == fused
    assert fused_norms(plain, model) == 0
    assert launches(plain, model) - launches(on, model) == fused
    assert local_bytes(plain, model) - local_bytes(on, model) == pytest.approx(2 * fused * model["hidden"])


def test_fusing_never_costs():
    for changes in ({"model": LLAMA, "tp": 4}, {"model": DEEPSEEK, "accelerator": "b200", "weights": "nvfp4", "tp": 8}):
        plain, on = (
            compile_worker(deployment(**changes, fused_all_reduce=f), terms=terms()).levels[0] for f in (False, True)
        )
        assert (on.decode[:, 1:] <= plain.decode[:, 1:]).all()
        assert (on.mixed[0, 1:] < plain.mixed[0, 1:]).all()
        assert (on.joule_mixed <= plain.joule_mixed).all()
