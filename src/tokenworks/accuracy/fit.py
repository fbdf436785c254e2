"""Calibration: fit the effects of `physics.terms` on published measurements.

Each row's experiment is replayed with its terms as they stand and with each relevant term moved a little; the
logarithms of the metrics are then linear in the logarithms of the terms. Effects are the robust (Cauchy)
penalised least-squares solution; replay again until the schedule is stable. Left-out fits reuse the linearisation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from tokenworks.accuracy.experiments import Experiment, experiment
from tokenworks.accuracy.replay import Prediction, measure, rehearse, replay
from tokenworks.accuracy.rows import Measurement, Row
from tokenworks.accuracy.slopes import slopes
from tokenworks.accuracy.splits import suspicious
from tokenworks.accuracy.workers import workers
from tokenworks.errors import InputError
from tokenworks.physics.compile import compile_worker
from tokenworks.physics.deployment import Deployment
from tokenworks.physics.terms import NAMES, Effects, Terms, attributes, priors, resolve

Array = NDArray[np.float64]
Answer = TypeVar("Answer")
METRICS = tuple(field.name for field in fields(Prediction))
CONVEX = 5  # rounds of soft-L1 weights before those of Cauchy
JOULES = METRICS.index("joules_per_output_token")
POWER = ("power_base", "power_memory", "power_flop", "power_seq", "memory_bend", "flop_bend")  # what only joules show
SCALE = np.array([0.08, 0.08, 0.08, 0.2, 0.2, 0.1])  # scale of the log error in the robust loss, per metric
WEIGHT = np.array([1.0, 1.0, 1.0, 0.5, 0.5, 1.0])


@dataclass(frozen=True)
class Case:
    """A distinct experiment with the mean of its measured logarithms (NaN where nothing was printed)."""

    experiment: Experiment
    row: Row
    log_target: Array  # (metrics,)
    weight: float
    members: tuple[int, ...]  # indices of the measurements
    split: str


def targets_of(measured: Measurement) -> Array:
    t = measured.targets
    board = t.joules_per_output_token if t.power_scope == "per-GPU board" else None
    ms = [_scaled(x) for x in (t.tpot_ms_mean, t.tpot_ms_median, t.ttft_ms_mean, t.ttft_ms_median)]
    values = [t.output_tokens_s_gpu, *ms, board]
    return np.array([math.log(v) if v else np.nan for v in values])


def _scaled(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1e3


def cases(measurements: Sequence[Measurement]) -> list[Case]:
    """Distinct experiments of the rows that can be rehearsed."""
    groups: dict[object, list[int]] = {}
    known: dict[object, Experiment] = {}
    for index, measured in enumerate(measurements):
        if measured.problem:
            continue
        try:
            found = experiment(measured.row)
        except InputError:
            continue
        row = measured.row
        load = (row.isl, row.osl, row.batch_size, row.concurrency, row.request_rate, row.length_mode)
        key = (found.deployment, found.split, row.dataset, *load, row.random_range_ratio, found.replicas)
        groups.setdefault(key, []).append(index)
        known[key] = found
    return [_case(measurements, members, known[key]) for key, members in groups.items()]


def _case(measurements: Sequence[Measurement], members: list[int], found: Experiment) -> Case:
    logs = np.array([targets_of(measurements[i]) for i in members])
    with np.errstate(all="ignore"):
        counts = np.isfinite(logs).sum(axis=0)
        mean = np.where(counts > 0, np.nansum(logs, axis=0) / np.maximum(counts, 1), np.nan)
    # Rows that mix runs with and without speculation say nothing about either.
    mixed = "speculative" in found.assumed
    unfit = (
        mixed or found.split is not None or "acceptance" in found.assumed or suspicious(measurements[members[0]].row)
    )
    weight = 0.0 if unfit else 0.5 if found.assumed else 1.0
    split = "validation" if any(measurements[i].split == "validation" for i in members) else "calibration"
    return Case(found, measurements[members[0]].row, mean, weight, tuple(members), split)


def predict(found: Experiment, terms: Terms) -> Array:
    """Logarithms of the metrics under these terms."""
    model = compile_worker(found.deployment, terms=terms)
    p = rehearse(found, model, terms)
    with np.errstate(all="ignore"):
        return np.asarray(np.log(np.array([getattr(p, name) for name in METRICS])))


def relevant(deployment: Deployment, terms: Terms) -> list[str]:
    """Terms that can move this deployment's metrics."""
    from tokenworks import catalog

    skip = set()
    if not catalog.load("models", deployment.model)["experts"]:
        skip |= {"mem_experts", "flop_experts"}
    if deployment.tp * deployment.dp == 1:
        skip |= {"link"} | ({"collective_s"} if deployment.pp == 1 else set())
    return [name for name in NAMES if name not in skip]


def linearise(case: Case, terms: Terms) -> tuple[Array, Array]:
    """(log metrics, their derivatives by shifts of terms) at these terms: shapes (metrics,), (metrics, terms)."""
    found = case.experiment
    run = replay(found, compile_worker(found.deployment, terms=terms), record=True)
    with np.errstate(all="ignore"):
        p = measure(found, run, terms)
        values = np.array([getattr(p, name) for name in METRICS])
        names = relevant(found.deployment, terms)
        steep = np.zeros((len(METRICS), len(NAMES)))
        bent = np.array([priors()[name].steepness(getattr(terms, name)) for name in names])
        steep[:, [NAMES.index(name) for name in names]] = slopes(found, terms, run, names, values) * bent
        return np.asarray(np.log(values)), np.nan_to_num(steep)


def predict_case(case: Case, terms: Terms) -> Array:
    return predict(case.experiment, terms)


_SHARED: list[Case] = []  # what forked processes find, so that cases need not travel


def _at(job: tuple[Callable[[Case, Terms], Answer], int, Terms]) -> Answer:
    work, number, terms = job
    return work(_SHARED[number], terms)


def _each(work: Callable[[Case, Terms], Answer], cases: list[Case], terms: list[Terms], processes: int) -> list[Answer]:
    """One answer for every case, on several processes, in the order of the cases."""
    if processes == 1:
        return [work(case, its) for case, its in zip(cases, terms, strict=True)]
    _SHARED[:] = cases
    with workers(processes) as pool:
        return pool.map(_at, [(work, number, its) for number, its in enumerate(terms)], chunksize=32)


def linearise_all(all_cases: list[Case], terms: list[Terms], processes: int) -> list[tuple[Array, Array]]:
    """Every case linearised at its terms."""
    return _each(linearise, all_cases, terms, processes)


def predict_all(all_cases: list[Case], terms: list[Terms], processes: int) -> list[Array]:
    """Log metrics of every case under its terms."""
    return _each(predict_case, all_cases, terms, processes)


@dataclass(frozen=True)
class Design:
    """Which effects (columns) move which term of which case; built once for all cases."""

    columns: tuple[tuple[str, str], ...]  # (term, family key)
    spread: Array
    own: NDArray[np.bool_]  # effects of single groups, fitted when the pooled ones stand
    of_case: tuple[tuple[tuple[int, int], ...], ...]  # per case: (term index, column)


def design(all_cases: Iterable[Case]) -> Design:
    index: dict[tuple[str, str], int] = {}
    spread: list[float] = []
    own: list[bool] = []
    rows: list[tuple[tuple[int, int], ...]] = []
    for case in all_cases:
        names = attributes(case.experiment.deployment, case.experiment.harness)
        entry: list[tuple[int, int]] = []
        for position, name in enumerate(NAMES):
            prior = priors()[name]
            keys = [("all", prior.spread, False)] + [(f.key(names), f.spread, f.own) for f in prior.families]
            for key, sd, single in keys:
                column = index.setdefault((name, key), len(index))
                if column == len(spread):
                    spread.append(sd)
                    own.append(single)
                entry.append((position, column))
        rows.append(tuple(entry))
    return Design(tuple(index), np.array(spread), np.array(own), tuple(rows))


@dataclass(frozen=True)
class System:
    """The linearised problem: residual = gap − slopes · (effects − at)."""

    matrix: Array  # (residuals, columns)
    gap: Array  # log target − log prediction
    metric: NDArray[np.int64]
    case: NDArray[np.int64]
    weight: Array


def system(all_cases: list[Case], answers: list[tuple[Array, Array]], plan: Design) -> System:
    rows, gaps, metrics, owners, weights = [], [], [], [], []
    for number, (case, (base, steep)) in enumerate(zip(all_cases, answers, strict=True)):
        for metric in np.flatnonzero(np.isfinite(case.log_target) & np.isfinite(base)):
            line = np.zeros(len(plan.columns))
            for position, column in plan.of_case[number]:
                # Joules teach the terms of power alone: a wrong power must not bend the times, which are measured better.
                if (NAMES[position] in POWER) == (metric == JOULES):
                    line[column] += steep[metric, position]
            rows.append(line)
            gaps.append(case.log_target[metric] - base[metric])
            metrics.append(metric)
            owners.append(number)
            weights.append(case.weight * WEIGHT[metric])
    return System(np.array(rows), np.array(gaps), np.array(metrics), np.array(owners), np.array(weights))


def moved(problem: System, all_cases: list[Case], predicted: list[Array]) -> System:
    """The same slopes around new predictions."""
    pairs = zip(problem.case, problem.metric, strict=True)
    gaps = np.array([all_cases[c].log_target[m] - predicted[c][m] for c, m in pairs])
    return replace(problem, gap=np.nan_to_num(gaps))


def solve(
    problem: System, plan: Design, at: Array, keep: NDArray[np.bool_], free: NDArray[np.bool_], rounds: int = 10
) -> Array:
    """The ``free`` effects under Cauchy loss and Gaussian priors, from the linearisation at ``at``; the others stay."""
    a = problem.matrix[np.ix_(keep, free)]
    target = problem.gap[keep] + a @ at[free]
    scale = SCALE[problem.metric[keep]]
    chosen = at[free]
    ridge = 1.0 / plan.spread[free] ** 2
    for number in range(CONVEX + rounds):
        residual = (target - a @ chosen) / scale
        # Soft-L1 first: convex, so it finds the valley. Then Cauchy: rows that no term explains stop pulling.
        robust = problem.weight[keep] / scale**2 / (1.0 + residual**2) ** (0.5 if number < CONVEX else 1.0)
        weighted = a * robust[:, None]
        chosen = np.linalg.solve(weighted.T @ a + np.diag(ridge), weighted.T @ target)
    effects = at.copy()
    effects[free] = chosen
    return effects


def staged(problem: System, plan: Design, at: Array, keep: NDArray[np.bool_]) -> Array:
    """Pooled effects fitted as if groups had none of their own, then the groups' own with the pooled ones standing."""
    bare = np.where(plan.own, 0.0, at)
    pooled = solve(_shifted(problem, at - bare), plan, bare, keep, ~plan.own)
    return solve(_shifted(problem, at - pooled), plan, pooled, keep, plan.own)


def _shifted(problem: System, back: Array) -> System:
    """The problem around effects smaller by ``back``, along its slopes."""
    return replace(problem, gap=problem.gap + problem.matrix @ back)


def as_effects(plan: Design, values: Array) -> Effects:
    found: dict[str, dict[str, float]] = {name: {} for name in NAMES}
    for (name, key), value in zip(plan.columns, values, strict=True):
        if abs(value) > 5e-4:
            found[name][key] = round(float(value), 4)
    return found


def terms_of(all_cases: list[Case], plan: Design, values: Array) -> list[Terms]:
    effects = as_effects(plan, values)
    return [resolve(case.experiment.deployment, effects, case.experiment.harness) for case in all_cases]
