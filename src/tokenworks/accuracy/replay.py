"""Rehearse an experiment and read off the metrics that its harness would print."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tokenworks.accuracy.experiments import Experiment, Load, Split
from tokenworks.errors import UnsupportedError
from tokenworks.events.requests import Requests
from tokenworks.physics.compile import compile_worker
from tokenworks.physics.terms import Terms, resolve
from tokenworks.physics.worker_model import TICKS_PER_S, WorkerModel
from tokenworks.twin.cell import Cell, ServicePlan, TwinOptions
from tokenworks.twin.simulate import simulate
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
    """Metrics of one experiment on its worker model. Raises UnsupportedError where no request fits it."""
    if experiment.split is not None:
        return _rehearse_split(experiment, experiment.split, model, terms)
    load, room = experiment.load, model.kv_blocks * model.block_tokens
    longest = int((load.input_tokens + load.output_tokens).max())
    if longest > room:
        raise UnsupportedError(f"a request of {longest:,} tokens does not fit the KV cache of {room:,}")
    return measure(experiment, replay(experiment, model), terms)


def replay(experiment: Experiment, model: WorkerModel, record: bool = False) -> SoloResult:
    """The experiment's requests on one rank; with ``record`` also what its steps were."""
    load = experiment.load
    return simulate_solo(pack(model), load.arrival_s, load.input_tokens, load.output_tokens, load.clients, record)


def measure(experiment: Experiment, run: SoloResult, terms: Terms) -> Prediction:
    """The metrics that the harness would print of this run."""
    load = experiment.load
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


def _rehearse_split(experiment: Experiment, split: Split, decode: WorkerModel, terms: Terms) -> Prediction:
    """A disaggregated experiment in the full twin."""
    load = experiment.load
    prefill = compile_worker(split.prefill, terms=resolve(split.prefill, client=experiment.harness))
    first, rest = split.prefill_workers, split.decode_workers
    plan = ServicePlan("split", prefill=tuple(range(first)), decode=tuple(range(first, first + rest)))
    cell = Cell((prefill, decode), (0,) * first + (1,) * rest, (plan,))
    stream = _stream(load)
    run = simulate(cell, stream, TwinOptions(clients=load.clients, record=True))
    log = run.log
    assert log is not None
    ttft = (log.first_token - log.arrival) / TICKS_PER_S + terms.ingress_s
    ttft[: load.clients] += terms.cold_s
    with np.errstate(all="ignore"):
        tpot = (log.finish - log.first_token) / TICKS_PER_S / (log.produced - 1)
    tpot[(log.produced < 2) | (log.finish < 0)] = np.nan
    produced = float(log.produced.sum())
    if produced == 0:
        raise UnsupportedError(f"no request of {load.input_tokens[0]:,} input tokens fits the workers")
    joules = float(run.workers.dynamic_uj.sum() + run.workers.static_uj.sum()) / 1e6 / produced
    rate = produced / (run.end_ticks / TICKS_PER_S) / split.divisor(experiment.deployment)
    return Prediction(rate, _mean(tpot), _median(tpot), _mean(ttft), _median(ttft), joules)


def _stream(load: Load) -> Requests:
    n = len(load.arrival_s)
    zero = np.zeros(n, np.int64)
    return Requests(
        np.rint(load.arrival_s * TICKS_PER_S).astype(np.int64), load.input_tokens.astype(np.int32),
        load.output_tokens.astype(np.int32), np.zeros(n, np.int16), np.zeros(n, np.int32), zero - 1,
        np.zeros(n, np.int8), zero, zero, np.zeros(n + 1, np.int64), np.zeros(0, np.uint64), 0,
    )  # fmt: skip


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
