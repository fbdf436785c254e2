"""Conventions of published measurements outside InferenceX: what their harnesses sent, and how engines were set."""

from dataclasses import replace

import numpy as np
import pytest

from tokenworks.accuracy.experiments import experiment
from tokenworks.accuracy.replay import replay
from tokenworks.accuracy.rows import measurement
from tokenworks.accuracy.splits import suspicious
from tokenworks.physics.compile import compile_worker
from tokenworks.physics.memory import kv_blocks, memory_map, workspace_bytes
from tokenworks.physics.step import Machine
from tokenworks.physics.terms import resolve
from tokenworks.physics.worker_model import FINE, TICKS_PER_S


def sweep_row(**changes):
    """A row of AIConfigurator's sweeps on an H100."""
    cells = {
        "id": "s", "split": "calibration", "dataset": "aic_silicon_gap_analysis", "gpu": "h100-sxm", "gpus": "1",
        "model": "qwen3-32b", "quantization": "fp8", "engine": "tensorrt-llm", "engine_version": "1.0.0rc3",
        "serving": "closed_loop", "disaggregated": "false", "spec_decoding": "assumed_none", "tp": "1", "pp": "1",
        "dp_attention": "1", "isl": "2048", "osl": "128", "length_mode": "fixed", "concurrency": "64",
    }  # fmt: skip
    return measurement(cells | {name: str(value) for name, value in changes.items()}).row


def test_generated_engine_arguments():
    """A step holds one whole prompt of a TensorRT-LLM sweep, planned one step ahead; 20 requests a client, at most 2,000."""
    found = experiment(sweep_row())
    assert (found.deployment.token_budget, found.deployment.max_seqs) == (2048 + 1000 + 64, 64)
    assert not found.deployment.chunked_prefill
    assert found.deployment.plans_ahead
    assert len(found.load.input_tokens) == 20 * 64
    assert len(experiment(sweep_row(concurrency=128)).load.input_tokens) == 2000
    of_vllm = experiment(sweep_row(engine="vllm", engine_version="0.12.0"))
    assert (of_vllm.deployment.token_budget, len(of_vllm.load.input_tokens)) == (2048 + 1500 + 64, 640)
    assert not of_vllm.deployment.plans_ahead
    old, new = (
        experiment(sweep_row(engine="sglang", engine_version=v)).deployment for v in ("0.5.1.post1", "0.5.6.post2")
    )
    assert (old.prefill_alone, new.prefill_alone, new.token_budget) == (True, False, 2048 + 1500 + 64)


def test_a_client_that_turns_around_misses_the_next_step():
    """Fixed lengths keep clients in step; a step that is planned ahead makes each wait for two that are under way."""
    found = experiment(sweep_row(concurrency=8))
    waits = []
    for deployment, turnaround in ((replace(found.deployment, plans_ahead=False), 0.0), (found.deployment, 0.005)):
        load = replace(found.load, turnaround_s=turnaround)
        waits.append(replay(replace(found, load=load), compile_worker(deployment)))
    plain, late = (np.nanmedian(run.first_token_s - run.arrival_s) for run in waits)
    assert 2.5 < late / plain < 3.5


def offline_row(**changes):
    """A row of TensorRT-LLM's performance pages."""
    cells = {
        "id": "o", "split": "calibration", "dataset": "trtllm_docs_throughput", "gpu": "h200-sxm", "gpus": "8",
        "model": "qwen3-235b-a22b", "quantization": "fp8", "engine": "tensorrt-llm", "engine_version": "1.0",
        "serving": "offline_max", "disaggregated": "false", "spec_decoding": "assumed_none", "tp": "8", "pp": "1",
        "dp_attention": "1", "isl": "1000", "osl": "1000", "length_mode": "fixed", "request_rate": "inf",
    }  # fmt: skip
    return measurement(cells | {name: str(value) for name, value in changes.items()}).row


def test_tp_of_experts_means_attention_dp_on_the_pages_of_1_0():
    d = experiment(offline_row()).deployment
    assert (d.tp, d.dp, d.ep) == (1, 8, 8)
    later = experiment(offline_row(engine_version="1.2")).deployment
    dense = experiment(offline_row(model="llama-3.3-70b")).deployment
    assert (later.tp, dense.tp) == (8, 8)


def test_unpacked_fp4_keeps_a_16_bit_cache():
    """Hopper has no FP4 tensor cores: gpt-oss computes in 16 bits there, and its cache is 16 bits wide."""
    kv = {
        gpu: experiment(offline_row(gpu=gpu, model="gpt-oss-20b", tp=1, gpus=1)).deployment.kv
        for gpu in ("h200-sxm", "b200")
    }
    assert kv == {"h200-sxm": "bf16", "b200": "fp8"}


def test_windows_hold_no_more_than_a_sequence():
    """Scout's windows of 8,192 tokens: at 4,000 tokens a sequence, every layer's cache grows, and fewer sequences fit."""
    row = offline_row(model="llama-4-scout", tp=4, gpus=4, engine_version="1.2", isl=2000, osl=2000)
    d = experiment(row).deployment
    machine = Machine.of(d, {})
    key = machine.part.attention.decode_bytes
    sequences = kv_blocks(machine) * d.block_tokens / 4000
    free = memory_map(machine).fixed_kv + memory_map(machine).kv
    assert d.sequence_tokens == 4000
    assert sequences == pytest.approx(free / (4000 * (key[0] + key[1])), rel=0.01)
    short, long = (memory_map(Machine.of(replace(d, sequence_tokens=n), {})).fixed_kv for n in (4000, 10**6))
    assert long < short / 10  # windows of very long sequences are a small part of their cache


def test_buffers_of_experts_grow_with_the_ranks():
    """Attention DP: the experts' buffers hold every rank's tokens, and the cache pays for them."""
    d = experiment(offline_row()).deployment
    part = Machine.of(d, {}).part
    row = 4096 * (1 + 2) + 1536 * (2 + 2 + 1)
    assert workspace_bytes(d, part) == 8192 * 8 * 8 * row
    alone = replace(d, tp=8, dp=1, ep=8)
    assert workspace_bytes(alone, Machine.of(alone, {}).part) == 0
    other = replace(d, engine="vllm")
    assert workspace_bytes(other, Machine.of(other, {}).part) == 0


def test_short_prefills_wait_for_the_host_that_launches_them():
    """No CUDA graph holds a step with prefill: it lasts as long as its kernels take to launch, however short the prompt."""
    terms = replace(resolve(experiment(sweep_row()).deployment), eager_s=1e-4)
    d = experiment(sweep_row(tp=8, gpus=8)).deployment
    least = 1e-4 * Machine.of(d, terms=terms).part.launches

    def seconds(deployment, tokens):
        level = compile_worker(deployment, terms=terms).levels[0]
        return level.mixed[:, tokens].max() / FINE / TICKS_PER_S

    assert least < seconds(d, 128) < least + 2e-3
    assert seconds(replace(d, eager_prefill=False), 128) < least / 2
    assert seconds(d, 1) == seconds(d, 128)
    assert not experiment(offline_row(engine_version="0.15", model="llama-3.3-70b")).deployment.eager_prefill


@pytest.mark.parametrize(
    ("found", "others"),
    [
        ({"gpu": "l40s", "model": "gpt-j-6b", "engine_version": "0.11.0", "isl": 2048, "osl": 128}, {"isl": 128}),
        ({"model": "falcon-180b", "engine_version": "0.10.0", "osl": 2048}, {"engine_version": "0.11.0"}),
        ({"model": "llama-4-maverick", "engine_version": "0.21"}, {"engine_version": "1.0"}),
    ],
)
def test_known_defects_of_the_pages(found, others):
    """What a page prints against its own other versions is named, its neighbours are not."""
    assert suspicious(offline_row(**found))
    assert not suspicious(offline_row(**(found | others)))


def test_sweeps_in_which_the_client_was_the_limit():
    fast = {"model": "llama-3.1-8b", "quantization": ""}
    assert suspicious(sweep_row(**fast, tp=8, concurrency=64))
    assert not suspicious(sweep_row(**fast, tp=8, concurrency=32))
    assert not suspicious(sweep_row(**fast, tp=1, concurrency=128))


def test_a_benchmark_with_a_batch_limit_of_its_own():
    cells = {"dataset": "llmservingsim_vllm_bench", "gpu": "rtx-pro-6000", "model": "llama-3.1-8b", "engine": "vllm"}
    limits = {"serving": "open_loop", "quantization": "bf16", "concurrency": "", "request_rate": 10}
    found = experiment(sweep_row(**cells, **limits))
    assert (found.deployment.max_seqs, found.deployment.token_budget, len(found.load.arrival_s)) == (128, 2048, 300)
    other = experiment(sweep_row(**(cells | {"dataset": "blis_sim_to_real"}), **limits))
    assert (other.deployment.max_seqs, len(other.load.arrival_s)) == (1024, 500)
