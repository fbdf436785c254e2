"""Rehearse an experiment in the twin and read off the metrics that its harness would print."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tokenworks.accuracy.experiments import Experiment
from tokenworks.accuracy.gaps import median_gap_s
from tokenworks.accuracy.stand import cell_of, requests_of
from tokenworks.errors import UnsupportedError
from tokenworks.physics.terms import Terms
from tokenworks.physics.worker_model import MICROJOULES_PER_J, TICKS_PER_S, WorkerModel
from tokenworks.twin.cell import StepLog, TwinOptions, TwinResult
from tokenworks.twin.simulate import simulate

Array = NDArray[np.float64]
ALWAYS = (0, 1 << 62)  # ticks
STEPS_PER_REQUEST = 4  # rows of the step log to begin with


@dataclass(frozen=True)
class Prediction:
    """Metrics as harnesses print them; NaN where they do not exist (TPOT of one-token answers)."""

    output_tokens_s_gpu: float
    tpot_s_mean: float
    tpot_s_median: float
    ttft_s_mean: float
    ttft_s_median: float
    joules_per_output_token: float


@dataclass(frozen=True)
class Run:
    """Seconds per request (NaN where it never happened) and totals of the simulated workers."""

    arrival_s: Array
    first_token_s: Array
    finish_s: Array
    end_s: float
    busy_s: float
    dynamic_j: float
    static_j: float
    steps: StepLog | None


def rehearse(experiment: Experiment, model: WorkerModel, terms: Terms) -> Prediction:
    """Metrics of one experiment on its worker model. Raises UnsupportedError where its requests do not fit."""
    return measure(experiment, fitting(experiment, model), terms)


def fitting(experiment: Experiment, model: WorkerModel, record: bool = False) -> Run:
    """The replay of an experiment whose requests fit. Raises UnsupportedError where they do not."""
    load, room = experiment.load, model.kv_blocks * model.block_tokens
    longest = int((load.input_tokens + load.output_tokens).max()) - 1
    if longest > room:
        raise UnsupportedError(f"a request of {longest:,} tokens does not fit the KV cache of {room:,}")
    run = replay(experiment, model, record)
    if not np.isfinite(run.finish_s).any():
        raise UnsupportedError(f"no request of {load.input_tokens[0]:,} input tokens fits the workers")
    return run


def replay(experiment: Experiment, model: WorkerModel, record: bool = False) -> Run:
    """The experiment's requests in the twin; with ``record`` also what its steps were."""
    load = experiment.load
    cell, stream = cell_of(experiment, model), requests_of(load)
    options = TwinOptions(clients=load.clients, record=True)
    if record or experiment.gaps:
        options = replace(options, trace_ticks=ALWAYS, trace_capacity=STEPS_PER_REQUEST * len(stream) + 64)
    found = simulate(cell, stream, options)
    if found.steps is not None and found.steps.lost:
        every = len(found.steps.end) + found.steps.lost
        found = simulate(cell, stream, replace(options, trace_capacity=every))
    return _run_of(found)


def _run_of(found: TwinResult) -> Run:
    log, workers = found.log, found.workers
    assert log is not None
    return Run(
        _seconds(log.arrival),
        _seconds(log.first_token),
        _seconds(log.finish),
        found.end_ticks / TICKS_PER_S,
        float(workers.busy_ticks.sum()) / TICKS_PER_S,
        float(workers.dynamic_uj.sum()) / MICROJOULES_PER_J,
        float(workers.static_uj.sum()) / MICROJOULES_PER_J,
        found.steps,
    )


def _seconds(ticks: NDArray[np.int64]) -> Array:
    return np.where(ticks < 0, np.nan, ticks / TICKS_PER_S)


def measure(experiment: Experiment, run: Run, terms: Terms) -> Prediction:
    """The metrics that the harness would print of this run."""
    load = experiment.load
    ttft = run.first_token_s - run.arrival_s + terms.ingress_s
    if load.clients and not load.steady:
        ttft[: load.clients] += terms.cold_s  # the burst meets a server whose kernels and caches are cold
    many = load.output_tokens > 1
    tpot = np.full(len(ttft), np.nan)
    tpot[many] = (run.finish_s - run.first_token_s)[many] / (load.output_tokens[many] - 1)
    seen = slice(load.skip, None)
    return Prediction(
        output_rate(experiment, run) / gpus_of(experiment),
        _mean(tpot[seen]),
        median_gap_s(run.steps) if experiment.gaps and run.steps else _median(tpot[seen]),
        _mean(ttft[seen]),
        _median(ttft[seen]),
        (run.dynamic_j + run.static_j) / tokens_of(experiment),
    )


def gpus_of(experiment: Experiment) -> float:
    """GPUs by which the simulated stream's throughput is divided: those of one rank, or as the dataset does for pools."""
    deployment, split = experiment.deployment, experiment.split
    return split.divisor(deployment) if split else deployment.gpus / deployment.dp


def tokens_of(experiment: Experiment) -> float:
    """Output tokens of the workers whose joules are counted: a rank stands for all of its worker."""
    return float(experiment.load.output_tokens.sum()) * (1 if experiment.split else experiment.deployment.dp)


def output_rate(experiment: Experiment, run: Run) -> float:
    """Output tokens per second of the simulated stream."""
    load = experiment.load
    if not load.steady:
        return float(load.output_tokens.sum()) / run.end_s
    life = (run.finish_s - run.arrival_s)[load.skip :]
    tokens = float(load.output_tokens[load.skip :].mean())
    return load.clients * tokens / float(np.mean(life))


def _mean(values: Array) -> float:
    kept = values[np.isfinite(values)]
    return float(kept.mean()) if len(kept) else float("nan")


def _median(values: Array) -> float:
    kept = values[np.isfinite(values)]
    return float(np.median(kept)) if len(kept) else float("nan")
