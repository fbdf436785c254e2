"""Encoders are counted in memory where they are loaded, and nowhere else."""

import pytest
from deployments import deployment, terms

from tokenworks import catalog
from tokenworks.errors import CapacityError
from tokenworks.physics.explain import explain
from tokenworks.physics.memory import encoder_bytes, kv_blocks, memory_map
from tokenworks.physics.step import Machine
from tokenworks.report.estimate import estimate_text

GEMMA = {"model": "gemma-3-27b", "accelerator": "h200-sxm"}


@pytest.mark.parametrize(
    ("changes", "share"), [({}, 1), ({"tp": 4}, 4), ({"tp": 2, "pp": 2}, 4), ({"tp": 2, "dp": 2}, 2)]
)
def test_a_loaded_encoder_takes_from_the_cache(changes, share):
    size = catalog.load("models", "gemma-3-27b")["encoder_params_b"] * 2e9 / share
    without, loaded = (
        memory_map(Machine.of(deployment(**GEMMA, **changes, encoder=on), terms=terms())) for on in (False, True)
    )
    assert (without.encoder, loaded.encoder) == (0, pytest.approx(size))
    assert without.free - loaded.free == pytest.approx(size)
    assert loaded.weights == without.weights
    assert loaded.kv + loaded.fixed_kv == pytest.approx(without.kv + without.fixed_kv - size)


def test_models_without_one_lose_nothing():
    assert encoder_bytes(deployment(encoder=True)) == 0


def test_what_does_not_fit_names_the_encoder():
    tight = deployment(model="gemma-3-27b", accelerator="l40s", encoder=True)
    with pytest.raises(CapacityError, match=r"weights 5\d\.\d, encoder 0\.8, reserve 2\.0"):
        kv_blocks(Machine.of(tight, terms=terms()))


def test_estimate_shows_everything_that_is_on():
    on = {"lora_adapters": 8, "lora_rank": 16, "pp": 2, "micro_batches": 1, "fused_all_reduce": True}
    text = estimate_text(explain(deployment(**GEMMA, **on, tp=2, two_batch_overlap=True, encoder=True), 8, 512, 512))
    options = "8 LoRA adapters of rank 16, 1 micro-batches in flight, norms inside the all-reduce, two-batch overlap"
    assert f"with {options}\n" in text
    assert "  encoder  " in text
    plain = estimate_text(explain(deployment(**GEMMA), 8, 512, 512))
    assert "\nwith " not in plain
    assert "encoder" not in plain
