"""Two-batch overlap: between the longer resource and twice the plain step, in tables and operator by operator."""

from dataclasses import replace

import numpy as np
import pytest
from deployments import deployment, terms

from tokenworks.physics.compile import compile_worker
from tokenworks.physics.explain import explain
from tokenworks.physics.operators import Cost
from tokenworks.physics.overlap import COMMUNICATION, hidden
from tokenworks.physics.step import Machine, local_costs, shared_costs

CASES = {
    "tensor parallel": {"model": "llama-3.1-70b", "accelerator": "h200-sxm", "tp": 8},
    "slow links": {"model": "llama-3.1-8b", "accelerator": "l40s", "tp": 4},
    "experts": {"model": "deepseek-r1", "accelerator": "b200", "weights": "nvfp4", "dp": 8, "ep": 8},
    "wide": {"model": "deepseek-r1", "accelerator": "h100-sxm", "weights": "fp8_block", "dp": 32, "ep": 32},
    "both": {"model": "qwen3-235b-a22b", "accelerator": "h200-sxm", "weights": "fp8", "tp": 2, "dp": 4, "ep": 8},
    "stages": {"model": "llama-3.1-70b", "accelerator": "h200-sxm", "tp": 4, "pp": 2},
}
TOKENS = np.array([0.0, 1, 2, 3, 7, 8, 16, 64, 300, 2048, 8192])


def step(machine: Machine, tokens: np.ndarray) -> dict[str, Cost]:
    """All operators when every rank has the same tokens."""
    return {**local_costs(machine, tokens), **shared_costs(machine, tokens * machine.deployment.dp)}


def seconds(costs: dict[str, Cost], communication: bool) -> np.ndarray:
    return sum(c.seconds for name, c in costs.items() if (name in COMMUNICATION) == communication)


def machines(case: str) -> tuple[Machine, Machine]:
    plain = Machine.of(deployment(**CASES[case]), terms=terms())
    return plain, replace(plain, deployment=replace(plain.deployment, two_batch_overlap=True))


@pytest.mark.parametrize("case", CASES)
def test_between_the_longer_resource_and_twice_the_plain_step(case):
    plain, overlapped = machines(case)
    once, half, found = (step(m, t) for m, t in ((plain, TOKENS), (plain, TOKENS / 2), (overlapped, TOKENS)))
    taken, before = (seconds(c, False) + seconds(c, True) for c in (found, once))
    split = TOKENS >= 2
    for communication in (False, True):
        assert (taken[split] >= 2 * seconds(half, communication)[split] * (1 - 1e-12)).all()
        assert (taken[split] >= seconds(once, communication)[split] * (1 - 1e-12)).all()
    assert (taken <= 2 * before).all()
    assert (taken[~split] == before[~split]).all()
    assert (np.diff(taken) >= 0).all()


@pytest.mark.parametrize("case", ["slow links", "wide"])
def test_long_prefills_gain_and_short_decodes_lose(case):
    plain, overlapped = machines(case)
    taken, before = (seconds(c, False) + seconds(c, True) for c in (step(m, TOKENS) for m in (overlapped, plain)))
    assert taken[-1] < before[-1]
    assert taken[2] > before[2]


def test_weights_are_streamed_and_kernels_launched_twice():
    plain, overlapped = machines("tensor parallel")
    once, found = (step(m, np.array([2.0])) for m in (plain, overlapped))
    assert found["kernel launches"].seconds == 2 * once["kernel launches"].seconds
    assert found["ffn up"].byte_s == pytest.approx(2 * once["ffn up"].byte_s, rel=1e-3)


def test_equal_pieces_in_turn_against_a_written_out_schedule():
    """Pieces of compute and of communication in turn, one of each resource at a time, 2·L of them."""
    layers = 5
    for compute, sent in ((3.0, 2.0), (2.0, 3.0), (1.0, 1.0), (4.0, 0.0)):
        free = sending = 0.0
        for _ in range(2 * layers):
            free += compute / (2 * layers)
            sending = max(free, sending) + sent / (2 * layers)
        zero, one = np.zeros(1), np.ones(1, dtype=bool)
        pieces = {"gemm": zero + compute, "all-reduce": zero + sent}
        costs = {name: Cost(seconds, zero, zero, one, seconds) for name, seconds in pieces.items()}
        found = sum(cost.seconds[0] for cost in hidden(costs, one, layers).values())
        assert found == pytest.approx(sending)


def test_one_gpu_has_nothing_to_hide_and_pays_for_the_halves():
    plain, halves = (deployment(two_batch_overlap=on) for on in (False, True))
    once, twice = (compile_worker(d, terms=terms()).levels[0].decode[0] for d in (plain, halves))
    assert (twice[:2] == once[:2]).all()
    assert (twice[2:] > once[2:]).all()
    assert (twice <= 2 * once).all()


@pytest.mark.parametrize("case", ["tensor parallel", "experts"])
def test_energy_is_never_less(case):
    tables = [compile_worker(m.deployment, terms=terms()).levels[0] for m in machines(case)]
    for name in ("joule_decode", "joule_mixed", "joule_shared_decode", "joule_shared_mixed"):
        assert (getattr(tables[1], name) >= getattr(tables[0], name)).all(), name


def test_estimate_shows_what_is_left_of_communication():
    plain, halves = (deployment(**CASES["slow links"], two_batch_overlap=on) for on in (False, True))
    left = {op.name: op for op in explain(halves, 64, 1024, 8192).prefill.operators}["all-reduce"]
    whole = {op.name: op for op in explain(plain, 64, 1024, 8192).prefill.operators}["all-reduce"]
    assert 0 < left.seconds < whole.seconds
