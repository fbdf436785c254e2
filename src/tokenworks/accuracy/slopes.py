"""How each metric of a rehearsed experiment moves with each term of the model, at a fixed schedule.

The twin's step log says what the steps were; each step's seconds under moved terms come from `physics.schedule`, the
time of every event is their running sum, and each metric is a mean over events. One replay gives all derivatives.
An open loop has no fixed schedule: requests come by the clock, so slower steps hold more of them, and a queue that the
schedule would let grow for the whole run empties in truth. There each term is moved and the experiment replayed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tokenworks.accuracy.experiments import Experiment
from tokenworks.accuracy.gaps import gap_weights
from tokenworks.accuracy.replay import Run, gpus_of, measure, output_rate, replay, tokens_of
from tokenworks.physics.compile import compile_worker
from tokenworks.physics.schedule import Points, Schedule, step_costs
from tokenworks.physics.step import Machine
from tokenworks.physics.terms import Terms
from tokenworks.physics.worker_model import TICKS_PER_S
from tokenworks.twin.cell import StepLog

Array = NDArray[np.float64]
STEP = 0.02  # finite difference in the logarithm of a term
WIDE = 0.03  # … between replays: requests that change places make them rough
CLIENT = ("ingress_s", "cold_s")  # terms outside the engine
MIDDLE = (0.4, 0.6)  # quantiles between which requests stand for the median


@dataclass(frozen=True)
class Moved:
    """Changes per unit of log term: ends of rows (the last entry, 0, is for "by the clock"), steps, joules, busy time."""

    ends: Array  # (rows of the step log + 1,)
    rows_s: Array  # of the seconds of one step of each row
    joules: float
    busy_s: float


def slopes(found: Experiment, terms: Terms, run: Run, names: Sequence[str], metrics: Array) -> Array:
    """∂ log metric / ∂ log term, shape (6, len(names)); ``metrics``: the six predicted values (not logarithms)."""
    weights = _weights(found, run)
    inside = [name for name in names if name not in CLIENT]
    of_engine = (
        _replayed(found, terms, inside) if found.mode == "open" else _scheduled(found, terms, run, inside, weights)
    )
    result = np.zeros((6, len(names)))
    result[:, [name not in CLIENT for name in names]] = of_engine
    for column, name in enumerate(names):
        if name in CLIENT:
            result[:, column] = _client(found, name, getattr(terms, name), weights)
    return np.nan_to_num(result / metrics[:, None])


def _replayed(found: Experiment, terms: Terms, names: Sequence[str]) -> Array:
    """Changes of the metrics between replays at moved terms."""
    result = np.zeros((6, len(names)))
    for column, name in enumerate(names):
        up, down = (_metrics_at(found, _scaled(terms, name, by)) for by in (WIDE, -WIDE))
        result[:, column] = (up - down) / (2 * WIDE)
    return result


def _scaled(terms: Terms, name: str, by: float) -> Terms:
    return replace(terms, **{name: getattr(terms, name) * math.exp(by)})


def _metrics_at(found: Experiment, terms: Terms) -> Array:
    return np.array(astuple(measure(found, replay(found, compile_worker(found.deployment, terms=terms)), terms)))


def _scheduled(found: Experiment, terms: Terms, run: Run, names: Sequence[str], weights: Weights) -> Array:
    """Changes of the metrics where the steps stay what they were."""
    log = run.steps
    assert log is not None
    schedule, marks = schedule_of(log), marks_of(found, run, log)
    points = Points.of(schedule)
    machine = Machine.of(found.deployment, terms=terms)
    base_s, base_j = step_costs(machine, schedule, points)
    result = np.zeros((6, len(names)))
    for column, name in enumerate(names):
        new_s, new_j = step_costs(replace(machine, terms=_scaled(terms, name, STEP)), schedule, points)
        seconds, joules = schedule.steps * (new_s - base_s) / STEP, schedule.steps * (new_j - base_j) / STEP
        moved = Moved(_running(seconds, log), (new_s - base_s) / STEP, float(joules.sum()), float(seconds.sum()))
        static = run.static_j if name == "power_base" else 0.0
        result[:, column] = _metrics(found, run, moved, weights, marks, static)
    return result


def schedule_of(log: StepLog) -> Schedule:
    """The rows of a log of one rank as steps with figures per step."""
    each = lambda counts: counts.astype(float)  # noqa: E731
    tokens = np.where(log.mixed, log.tokens + log.sequences, 0)
    keys = log.keys / log.steps[:, None]
    return Schedule(
        each(log.steps), each(log.sequences), each(tokens), each(log.sampled), each(log.pairs), keys, log.line
    )


def marks_of(found: Experiment, run: Run, log: StepLog) -> NDArray[np.int64]:
    """(requests, 3): the row of the log at whose end a request arrived (−1: by the clock), got its first token, finished."""
    freed_s = run.arrival_s - found.load.turnaround_s - 0.5 / TICKS_PER_S  # when the client's last request finished
    marks = np.searchsorted(log.end / TICKS_PER_S, np.stack([freed_s, run.first_token_s, run.finish_s], axis=1))
    by_the_clock = found.load.clients or len(marks)
    marks[:by_the_clock, 0] = -1
    return marks


def _running(seconds: Array, log: StepLog) -> Array:
    """Sum of changes up to the end of each row; a worker that was idle starts by the clock, whatever came before."""
    summed = np.append(0.0, np.cumsum(seconds))
    woken = np.append(True, log.start[1:] > log.end[:-1])
    began = np.maximum.accumulate(np.where(woken, np.arange(len(seconds)), 0))
    return np.append(summed[1:] - summed[began], 0.0)


@dataclass(frozen=True)
class Weights:
    """Weights of requests in each mean (each sums to 1), shape (requests,)."""

    tpot_mean: Array
    tpot_median: Array
    ttft_mean: Array
    ttft_median: Array
    life: Array
    gaps: Array  # (rows of the step log,)


def _weights(found: Experiment, run: Run) -> Weights:
    load = found.load
    seen = np.arange(len(load.output_tokens)) >= load.skip
    many = seen & (load.output_tokens > 1)
    per = np.where(load.output_tokens > 1, 1.0 / np.maximum(load.output_tokens - 1, 1), 0.0)
    tpot = (run.finish_s - run.first_token_s) * per
    ttft = run.first_token_s - run.arrival_s
    gaps = gap_weights(run.steps, *MIDDLE) if run.steps and found.gaps else np.zeros(0)
    return Weights(_even(many) * per, _middle(tpot, many) * per, _even(seen), _middle(ttft, seen), _even(seen), gaps)


def _even(mask: NDArray[np.bool_]) -> Array:
    return mask / max(1, int(mask.sum()))


def _middle(values: Array, mask: NDArray[np.bool_]) -> Array:
    if not mask.any():
        return np.zeros(len(values))
    low, high = np.quantile(values[mask], MIDDLE)
    return _even(mask & (values >= low) & (values <= high))


def _metrics(found: Experiment, run: Run, moved: Moved, w: Weights, marks: NDArray[np.int64], static: float) -> Array:
    """Changes of (rate, TPOT mean, TPOT median, TTFT mean, TTFT median, joules per token)."""
    at = moved.ends[marks]
    decode, wait, life = at[:, 2] - at[:, 1], at[:, 1] - at[:, 0], at[:, 2] - at[:, 0]
    # The rate is tokens over a time: the whole run's length, or the requests' mean life.
    longer, whole = float(moved.ends[-2]), run.end_s
    if found.load.steady:
        longer, whole = float(w.life @ life), float(w.life @ (run.finish_s - run.arrival_s))
    rate = -output_rate(found, run) / gpus_of(found) * longer / whole
    joules = (moved.joules + run.static_j / run.busy_s * moved.busy_s + static) / tokens_of(found)
    middle = w.gaps @ moved.rows_s if found.gaps else w.tpot_median @ decode
    times = (w.tpot_mean @ decode, middle, w.ttft_mean @ wait, w.ttft_median @ wait)
    return np.array([rate, *times, joules])


def _client(found: Experiment, name: str, term: float, w: Weights) -> Array:
    """Terms outside the engine: they add to TTFT alone."""
    load = found.load
    change = np.zeros(6)
    if name == "ingress_s":
        change[3:5] = term
    elif load.clients and not load.steady:
        change[3] = term * float(w.ttft_mean[: load.clients].sum())
        change[4] = term * float(w.ttft_median[: load.clients].sum())
    return change
