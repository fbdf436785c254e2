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

from tokenworks.accuracy.design import Design, Mask, System, design, normal_equations
from tokenworks.accuracy.experiments import Experiment, experiment
from tokenworks.accuracy.replay import Prediction, measure, rehearse, replay
from tokenworks.accuracy.rows import Measurement, Row
from tokenworks.accuracy.slopes import slopes
from tokenworks.accuracy.splits import suspicious
from tokenworks.accuracy.stand import model_of
from tokenworks.accuracy.workers import workers
from tokenworks.errors import InputError
from tokenworks.physics.compile import compile_worker
from tokenworks.physics.deployment import Deployment
from tokenworks.physics.terms import NAMES, Effects, Terms, priors, resolve

Array = NDArray[np.float64]
Answer = TypeVar("Answer")
METRICS = tuple(field.name for field in fields(Prediction))
CONVEX, CAUCHY = 5, 10  # rounds of soft-L1 weights, and at most so many of Cauchy after them
STILL = 0.02  # change of an effect, in its prior spreads, below which a solution stands
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
    model = model_of(found, terms)
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


def design_of(all_cases: Iterable[Case]) -> Design:
    """The design of these cases; built once for all."""
    return design((case.experiment.deployment, case.experiment.harness) for case in all_cases)


def system(all_cases: list[Case], answers: list[tuple[Array, Array]], plan: Design) -> System:
    """The problem around the answers (log metrics, slopes) of all cases."""
    rows: list[Array] = []
    gaps, metrics, owners, weights = [], [], [], []
    powers = np.isin(NAMES, POWER)
    for number, (case, (base, steep)) in enumerate(zip(all_cases, answers, strict=True)):
        for metric in np.flatnonzero(np.isfinite(case.log_target) & np.isfinite(base)):
            # Joules teach the terms of power alone: a wrong power must not bend the times, which are measured better.
            rows.append(np.where(powers == (metric == JOULES), steep[metric], 0.0))
            gaps.append(case.log_target[metric] - base[metric])
            metrics.append(metric)
            owners.append(number)
            weights.append(case.weight * WEIGHT[metric])
    owner = np.array(owners)
    slope = np.array(rows).reshape(-1, len(NAMES))
    return System(slope, plan.of_case[owner], np.array(gaps), np.array(metrics), owner, np.array(weights))


def moved(problem: System, all_cases: list[Case], predicted: list[Array]) -> System:
    """The same slopes around new predictions."""
    pairs = zip(problem.case, problem.metric, strict=True)
    gaps = np.array([all_cases[c].log_target[m] - predicted[c][m] for c, m in pairs])
    return replace(problem, gap=np.nan_to_num(gaps))


def solve(problem: System, plan: Design, at: Array, keep: Mask, free: Mask) -> Array:
    """The ``free`` effects under Cauchy loss and Gaussian priors, from the linearisation at ``at``; the others stay."""
    part, own = problem.at(keep), plan.only(free)
    target = part.gap + part.change(own, at[free])
    scale = SCALE[part.metric]
    chosen = at[free]
    ridge = np.diag(1.0 / own.spread**2)
    # Soft-L1 first: convex, so it finds the valley. Then Cauchy: rows that no term explains stop pulling.
    for power, rounds in ((0.5, CONVEX), (1.0, CAUCHY)):
        for _ in range(rounds):
            residual = (target - part.change(own, chosen)) / scale
            robust = part.weight / scale**2 / (1.0 + residual**2) ** power
            square, right = normal_equations(part, own, robust, target)
            before = chosen
            chosen = np.asarray(np.linalg.solve(square + ridge, right), float)
            if np.abs((chosen - before) / own.spread).max(initial=0.0) < STILL:
                break
    effects = at.copy()
    effects[free] = chosen
    return effects


def staged(problem: System, plan: Design, at: Array, keep: Mask) -> Array:
    """Pooled effects fitted as if groups had none of their own, then the groups' own with the pooled ones standing."""
    return with_own(problem, plan, at, pooled(problem, plan, at, keep), keep)


def pooled(problem: System, plan: Design, at: Array, keep: Mask) -> Array:
    """Pooled effects as if groups had none of their own, which are 0."""
    bare = np.where(plan.own, 0.0, at)
    return solve(_shifted(problem, plan, at - bare), plan, bare, keep, ~plan.own)


def with_own(problem: System, plan: Design, at: Array, stand: Array, keep: Mask) -> Array:
    """The pooled effects of ``stand`` with groups' own beside them; the problem is the one around ``at``."""
    return solve(_shifted(problem, plan, at - stand), plan, stand, keep, plan.own)


def _shifted(problem: System, plan: Design, back: Array) -> System:
    """The problem around effects smaller by ``back``, along its slopes."""
    return replace(problem, gap=problem.gap + problem.change(plan, back))


def as_effects(plan: Design, values: Array) -> Effects:
    found: dict[str, dict[str, float]] = {name: {} for name in NAMES}
    for (name, key), value in zip(plan.columns, values, strict=True):
        if abs(value) > 5e-4:
            found[name][key] = round(float(value), 4)
    return found


def terms_of(all_cases: list[Case], plan: Design, values: Array) -> list[Terms]:
    effects = as_effects(plan, values)
    return [resolve(case.experiment.deployment, effects, case.experiment.harness) for case in all_cases]
