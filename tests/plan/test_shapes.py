"""Kinds of replicas: what exists, what fits, what is left out and why."""

from dataclasses import replace

import numpy as np
import pytest
from random_replicas import lengths, replica

from tokenworks import catalog
from tokenworks.catalog import UnknownEntryError
from tokenworks.errors import InputError
from tokenworks.physics.compile import compile_worker
from tokenworks.physics.memory import kv_blocks
from tokenworks.physics.step import Machine
from tokenworks.plan.allowed import Allowed, Draft, degrees
from tokenworks.plan.ask import Ask
from tokenworks.plan.shapes import shapes, survey
from tokenworks.plan.wide.room import Room

ASK = lengths(np.random.default_rng(1), 1000, 200, 0.5)


def test_all_combinations_of_a_dense_model():
    """2 engines × 2 formats (bf16, fp8) × 2 caches × (tp · pp ≤ 8 in powers of two) × 3 roles, all fit."""
    found = survey("llama-3.1-8b", ASK, Allowed(("hgx-h200",), engines=("vllm", "sglang")))
    cuts = [(t, p) for t in (1, 2, 4, 8) for p in (1, 2, 4, 8) if t * p <= 8]
    assert len(found.shapes) == 2 * 2 * 2 * len(cuts) * 3
    assert found.left_out == {}
    assert len(set(found.shapes)) == len(found.shapes)


def test_degrees_of_experts():
    model = catalog.load("models", "deepseek-r1")
    found = set(degrees(model, 8, Allowed(())))
    assert {(8, 1, 1, 1), (8, 1, 1, 8), (1, 1, 8, 8), (2, 2, 2, 4)} <= found
    assert all(tp * pp * dp <= 8 and ep in (1, tp * dp) for tp, pp, dp, ep in found)
    assert set(degrees(model, 8, Allowed((), tp=(8,), pp=(1,), ep=(1,)))) == {(8, 1, 1, 1)}


def test_what_does_not_fit_is_counted():
    found = survey("deepseek-r1", ASK, Allowed(("hgx-h100",), engines=("vllm", "tensorrt-llm"), roles=("serve",)))
    assert found.left_out["the longest request does not fit beside the weights"] > 0
    assert all(s.deployment.gpus == 8 for s in found.shapes if s.deployment.weights == "fp8_block")


def test_engines_run_on_their_vendors_chips():
    found = survey("llama-3.1-8b", ASK, Allowed(("mi355x-8",), engines=("vllm", "tensorrt-llm")))
    assert {s.deployment.engine for s in found.shapes} == {"vllm"}
    assert found.left_out == {"tensorrt-llm does not run on AMD": 1}


def test_formats_follow_the_chip():
    weights = lambda system: {s.deployment.weights for s in shapes("llama-3.1-8b", ASK, Allowed((system,)))}  # noqa: E731
    assert weights("dgx-a100") == {"bf16"}
    assert weights("hgx-h200") == {"bf16", "fp8"}
    assert weights("hgx-b200") == {"bf16", "fp8", "nvfp4"}
    assert weights("mi355x-8") == {"bf16", "fp8", "mxfp4"}


def test_drafts_and_budgets_are_dimensions():
    allowed = Allowed(
        ("hgx-h200",), engines=("vllm",), weights=("fp8",), kv=("fp8",), tp=(1,), pp=(1,), roles=("serve",)
    )
    more = replace(allowed, drafts=(None, Draft(1, 1.7)), token_budgets=(2048, 8192))
    found = shapes("llama-3.1-8b", ASK, more)
    assert {(s.deployment.draft_tokens, s.deployment.token_budget) for s in found} == {
        (0, 2048),
        (0, 8192),
        (1, 2048),
        (1, 8192),
    }


@pytest.mark.parametrize("seed", range(3))
def test_the_twin_takes_every_shape(seed):
    found = shapes("gpt-oss-120b", ASK, Allowed(("hgx-h100", "mi355x-8"), most_gpus=8))
    for i in np.random.default_rng(seed).integers(len(found), size=3):
        model = compile_worker(replace(found[i].deployment, max_seqs=4, token_budget=1024))
        assert model.kv_blocks * model.block_tokens >= ASK.longest


@pytest.mark.parametrize("seed", range(20))
def test_room_is_that_of_the_memory_map(seed):
    r = np.random.default_rng(seed)
    d = replica(r)
    machine = Machine.of(d)
    for batch in (1, 7, 64, 1000):
        limited = replace(machine, deployment=replace(d, max_seqs=batch))
        try:
            blocks = kv_blocks(limited)
        except InputError:
            blocks = 0
        assert Room.of(machine, d).tokens(float(batch)) == blocks * d.block_tokens


def test_unknown_names_say_the_nearest():
    with pytest.raises(UnknownEntryError, match="Did you mean hgx-h20, hgx-h200"):
        survey("llama-3.1-8b", ASK, Allowed(("hgx-h20O",)))
    with pytest.raises(UnknownEntryError, match="llama"):
        survey("llama-3.1-8bb", ASK, Allowed(("hgx-h200",)))


@pytest.mark.parametrize(
    ("inputs", "outputs", "said"),
    [
        ([], [], "has 0 inputs"),
        ([1], [1, 2], "one output for each input"),
        ([0], [1], "at least 1; found 0"),
        ([1], [np.nan], "at least 1"),
    ],
)
def test_samples_are_checked(inputs, outputs, said):
    with pytest.raises(InputError, match=said):
        Ask(np.array(inputs, float), np.array(outputs, float), None, None, None)
