"""Conventions of published measurements outside InferenceX: what their harnesses sent, and how engines were set."""

from dataclasses import replace

import numpy as np

from tokenworks.accuracy.experiments import experiment
from tokenworks.accuracy.replay import replay
from tokenworks.accuracy.rows import measurement
from tokenworks.physics.compile import compile_worker


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
