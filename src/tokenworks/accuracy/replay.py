"""Rehearse an experiment and read off the metrics that its harness would print."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tokenworks.accuracy.experiments import Experiment
from tokenworks.physics.terms import Terms
from tokenworks.physics.worker_model import WorkerModel
from tokenworks.twin.solo import SoloResult, pack, simulate_solo


@dataclass(frozen=True)
class Prediction:
    """Metrics as harnesses print them; NaN where they do not exist (TPOT of one-token answers)."""

    output_tokens_s_gpu: float
    tpot_s_mean: float
    tpot_s_median: float
    ttft_s_mean: float
    ttft_s_median: float
    joules_per_output_token: float


def rehearse(experiment: Experiment, model: WorkerModel, terms: Terms) -> Prediction:
    """Metrics of one experiment on its worker model."""
    load = experiment.load
    run = simulate_solo(pack(model), load.arrival_s, load.input_tokens, load.output_tokens, load.clients)
    ttft = run.first_token_s - run.arrival_s + terms.ingress_s
    if load.clients and not load.steady:
        ttft[: load.clients] += terms.cold_s  # the burst meets a server whose kernels and caches are cold
    many = load.output_tokens > 1
    tpot = np.full(len(ttft), np.nan)
    tpot[many] = (run.finish_s - run.first_token_s)[many] / (load.output_tokens[many] - 1)
    seen = slice(load.skip, None)
    rate = _rate(experiment, run)
    gpus = experiment.deployment.gpus
    ranks = experiment.deployment.dp
    produced = float(load.output_tokens.sum()) * ranks
    joules = (run.dynamic_j + run.static_w * run.busy_s) / produced
    return Prediction(
        rate * ranks / gpus,
        _mean(tpot[seen]),
        _median(tpot[seen]),
        _mean(ttft[seen]),
        _median(ttft[seen]),
        joules,
    )


def _rate(experiment: Experiment, run: SoloResult) -> float:
    """Output tokens per second of one rank."""
    load = experiment.load
    if not load.steady:
        return float(load.output_tokens.sum()) / run.end_s
    life = (run.finish_s - run.arrival_s)[load.skip :]
    tokens = float(load.output_tokens[load.skip :].mean())
    return load.clients * tokens / float(np.mean(life))


def _mean(values: np.ndarray) -> float:
    kept = values[np.isfinite(values)]
    return float(kept.mean()) if len(kept) else float("nan")


def _median(values: np.ndarray) -> float:
    kept = values[np.isfinite(values)]
    return float(np.median(kept)) if len(kept) else float("nan")
