"""How each metric of a rehearsed experiment moves with each term of the model, at a fixed schedule.

The replay records what its steps were; each step's seconds under moved terms come from `physics.schedule`, the time
of every event is their running sum, and each metric is a mean over events. One replay gives all derivatives.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tokenworks.accuracy.experiments import Experiment
from tokenworks.physics.schedule import Points, Schedule, step_costs
from tokenworks.physics.step import Machine
from tokenworks.physics.terms import Terms
from tokenworks.twin.solo import SoloResult

Array = NDArray[np.float64]
STEP = 0.02  # finite difference in the logarithm of a term
MIDDLE = (0.4, 0.6)  # quantiles between which requests stand for the median


@dataclass(frozen=True)
class Moved:
    """Changes per unit of log term. Shapes: events (segments + 1,), the last entry is for "by the clock" (0)."""

    events: Array
    joules: float
    busy_s: float


def slopes(found: Experiment, terms: Terms, run: SoloResult, names: Sequence[str], metrics: Array) -> Array:
    """∂ log metric / ∂ log term, shape (6, len(names)); ``metrics``: the six predicted values (not logarithms)."""
    schedule = schedule_of(run)
    points = Points.of(schedule)
    machine = Machine.of(found.deployment, terms=terms)
    base_s, base_j = step_costs(machine, schedule, points)
    weights = _weights(found, run)
    result = np.zeros((6, len(names)))
    for column, name in enumerate(names):
        term = getattr(terms, name)
        if name in ("ingress_s", "cold_s"):
            result[:, column] = _client(found, run, name, term, weights) / metrics
            continue
        changed = replace(machine, terms=replace(terms, **{name: term * math.exp(STEP)}))
        new_s, new_j = step_costs(changed, schedule, points)
        seconds, joules = schedule.steps * (new_s - base_s) / STEP, schedule.steps * (new_j - base_j) / STEP
        moved = Moved(_running(seconds, schedule.steps == 0), float(joules.sum()), float(seconds.sum()))
        static = run.static_w * run.busy_s if name == "power_base" else 0.0
        result[:, column] = _metrics(found, run, moved, weights, static) / metrics
    return np.nan_to_num(result)


def schedule_of(run: SoloResult) -> Schedule:
    s = run.steps
    return Schedule(s[:, 0], s[:, 1], s[:, 2], s[:, 3], s[:, 4:7], s[:, 7:10], s[:, 10].astype(np.int64))


def _running(seconds: Array, idle: NDArray[np.bool_]) -> Array:
    """Sum of changes up to the end of each segment; an idle segment ends by the clock, whatever came before."""
    summed = np.cumsum(seconds)
    last = np.maximum.accumulate(np.where(idle, np.arange(len(seconds)), -1)) if len(seconds) else np.zeros(0, np.int64)
    lost = np.where(last >= 0, summed[np.maximum(last, 0)], 0.0)
    return np.append(summed - lost, 0.0)


@dataclass(frozen=True)
class Weights:
    """Weights of requests in each mean (each sums to 1), shape (requests,)."""

    tpot_mean: Array
    tpot_median: Array
    ttft_mean: Array
    ttft_median: Array
    life: Array


def _weights(found: Experiment, run: SoloResult) -> Weights:
    load = found.load
    seen = np.arange(len(load.output_tokens)) >= load.skip
    many = seen & (load.output_tokens > 1)
    per = np.where(load.output_tokens > 1, 1.0 / np.maximum(load.output_tokens - 1, 1), 0.0)
    tpot = (run.finish_s - run.first_token_s) * per
    ttft = run.first_token_s - run.arrival_s
    return Weights(_even(many) * per, _middle(tpot, many) * per, _even(seen), _middle(ttft, seen), _even(seen))


def _even(mask: NDArray[np.bool_]) -> Array:
    return mask / max(1, int(mask.sum()))


def _middle(values: Array, mask: NDArray[np.bool_]) -> Array:
    if not mask.any():
        return np.zeros(len(values))
    low, high = np.quantile(values[mask], MIDDLE)
    return _even(mask & (values >= low) & (values <= high))


def _metrics(found: Experiment, run: SoloResult, moved: Moved, w: Weights, static: float) -> Array:
    """Changes of (rate, TPOT mean, TPOT median, TTFT mean, TTFT median, joules per token)."""
    at = moved.events[run.marks]  # (requests, 3); -1 picks the last entry, 0
    decode, wait, life = at[:, 2] - at[:, 1], at[:, 1] - at[:, 0], at[:, 2] - at[:, 0]
    load, ranks, gpus = found.load, found.deployment.dp, found.deployment.gpus
    produced = float(load.output_tokens.sum()) * ranks
    if load.steady:
        mean = float(w.life @ (run.finish_s - run.arrival_s))
        rate = load.clients * float(load.output_tokens[load.skip :].mean()) / mean
        rate = -rate * float(w.life @ life) / mean
    else:
        rate = -float(load.output_tokens.sum()) / run.end_s * moved.events[-2] / run.end_s
    joules = (moved.joules + run.static_w * moved.busy_s + static) / produced
    times = (w.tpot_mean @ decode, w.tpot_median @ decode, w.ttft_mean @ wait, w.ttft_median @ wait)
    return np.array([rate * ranks / gpus, *times, joules])


def _client(found: Experiment, run: SoloResult, name: str, term: float, w: Weights) -> Array:
    """Terms outside the engine: they add to TTFT alone."""
    load = found.load
    change = np.zeros(6)
    if name == "ingress_s":
        change[3:5] = term
    elif load.clients and not load.steady:
        change[3] = term * float(w.ttft_mean[: load.clients].sum())
        change[4] = term * float(w.ttft_median[: load.clients].sum())
    return change
