"""Options together: whatever is switched on, no step beats the peak or the bandwidth, and more tokens never take less."""

import numpy as np
import pytest
from deployments import deployment, terms
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenworks.physics.compile import compile_worker
from tokenworks.physics.operators import Cost
from tokenworks.physics.power import PowerLaw, capped, total
from tokenworks.physics.step import Machine, local_costs, sequence_costs, shared_costs

BASES = (
    {"model": "llama-3.1-70b", "accelerator": "h200-sxm", "tp": 4, "pp": 4},
    {"model": "llama-3.1-8b", "accelerator": "l40s", "tp": 2, "pp": 2, "draft_tokens": 2, "tokens_per_step": 1.8},
    {"model": "deepseek-r1", "accelerator": "b200", "weights": "nvfp4", "dp": 8, "ep": 8},
    {"model": "qwen3-30b-a3b", "accelerator": "h100-sxm", "tp": 2, "dp": 2, "pp": 2, "ep": 4},
    {"model": "nemotron-nano-9b-v2", "accelerator": "h100-sxm", "tp": 2, "pp": 2},
)
SHARP = dict.fromkeys(("flop_dense", "flop_experts", "mem_dense", "mem_experts", "mem_kv", "link"), 0.97)
TOKENS = np.array([0.0, 1, 2, 5, 8, 16, 17, 64, 100, 513, 2048])


@st.composite
def deployments(draw):
    base = draw(st.sampled_from(BASES))
    ranks = base.get("ep", 1)
    on = {
        "lora_adapters": draw(st.sampled_from([0, 1, 8, 100])),
        "lora_rank": draw(st.sampled_from([1, 16, 128])),
        "redundant_experts": draw(st.sampled_from([0, ranks, 4 * ranks])) if ranks > 1 else 0,
        "micro_batches": draw(st.integers(0, base.get("pp", 1))),
        "fused_all_reduce": draw(st.booleans()),
        "two_batch_overlap": draw(st.booleans()),
    }
    return deployment(**base, **on)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(chosen=deployments())
def test_no_combination_beats_the_machine(chosen):
    machine = Machine.of(chosen, terms=terms(**SHARP))
    law = PowerLaw(machine.terms, machine.chip.tdp_w)
    costs = [local_costs(machine, TOKENS), sequence_costs(machine, TOKENS), shared_costs(machine, TOKENS * chosen.dp)]
    assert all(within_the_machine(cost) for found in costs for cost in found.values())
    one, _, all_ranks = (total(found, TOKENS, law) for found in costs)
    for found in (one, one + all_ranks):
        assert (np.diff(found.seconds) >= 0).all()
        assert (np.diff(found.dynamic_s) >= 0).all()
        most = law.most_s(found.seconds)
        assert (capped(found, 0.0, law).dynamic_s <= most).all()  # never above TDP


def within_the_machine(cost: Cost) -> bool:
    return bool((cost.seconds >= cost.flop_s).all() and (cost.seconds >= cost.byte_s).all())


@pytest.mark.parametrize(
    ("base", "idle"),
    [
        ({"tp": 1}, {"fused_all_reduce": True}),
        ({"pp": 2}, {"micro_batches": 0, "lora_rank": 64}),
        (
            {"model": "deepseek-r1", "accelerator": "b200", "weights": "nvfp4", "dp": 8, "ep": 8},
            {"fused_all_reduce": True},
        ),
        ({"tp": 2}, {"encoder": True}),
    ],
)
def test_what_has_nothing_to_act_on_changes_no_table(base, idle):
    off, on = (compile_worker(deployment(**base, **changes), terms=terms(), name="one") for changes in ({}, idle))
    assert on.kv_blocks == off.kv_blocks
    for name in vars(off.levels[0]):
        assert np.array_equal(getattr(on.levels[0], name), getattr(off.levels[0], name)), name
