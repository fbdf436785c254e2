"""Errors where calibration has not looked: whole groups left out, and points of known groups left out."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tokenworks.accuracy import fit
from tokenworks.accuracy.fit import METRICS, Case, Design, System
from tokenworks.accuracy.intervals import KNOWN, NEW_MODEL, Residuals, bounds, stratum
from tokenworks.accuracy.splits import configuration, fold, group

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Folds = NDArray[np.int64]
FOLDS = 5
KIND = ("throughput", "tpot", "tpot", "ttft", "ttft", "energy")  # of each metric
SHARE = 0.7  # of a step towards the solution, as in the fit itself
INTERVAL_PARTS = 4  # coverage is measured on each part with bounds from the others


@dataclass(frozen=True)
class Table:
    """The cases of a calibration, and which of them may be seen."""

    cases: list[Case]
    plan: Design
    seen: Mask  # not a twin of a validation row


def group_folds(data: Table) -> Folds:
    """Whole (gpu, model, engine) groups share a fold."""
    return np.array([fold(group(c.row), FOLDS) for c in data.cases])


def point_folds(data: Table) -> Folds:
    """All measurements of one configuration share a fold; its neighbours in a sweep do not."""
    return np.array([fold(configuration(c.row), FOLDS) for c in data.cases])


def leave_out(data: Table, problem: System, values: Array, folds: Folds, processes: int, steps: int) -> Array:
    """Residuals log(measured / predicted), each fold replayed with effects that its rows did not teach.

    Shape (cases, metrics); NaN where nothing was measured. The slopes are those of the common linearisation. A fold's
    effects begin with the difference of two solutions of it, with the fold's rows and without them; ``steps`` times
    the rows that stay are then replayed and solved again, since what a whole group taught is not a small change.
    """
    residual = np.full((len(data.cases), len(METRICS)), np.nan)
    whole = fit.staged(problem, data.plan, values, data.seen[problem.case])
    for number in range(FOLDS):
        keep = data.seen & (folds != number)
        effects = values + fit.staged(problem, data.plan, values, keep[problem.case]) - whole
        for _ in range(steps):
            terms = fit.terms_of(data.cases, data.plan, effects)
            here = fit.moved(problem, data.cases, fit.predict_all(data.cases, terms, processes))
            effects = effects + SHARE * (fit.staged(here, data.plan, effects, keep[problem.case]) - effects)
        members = np.flatnonzero(folds == number)
        chosen = [data.cases[i] for i in members]
        predicted = fit.predict_all(chosen, fit.terms_of(chosen, data.plan, effects), processes)
        for i, logs in zip(members, predicted, strict=True):
            residual[i] = data.cases[i].log_target - logs
    return residual


def said_of(data: Table, name: str, residual: Array) -> str:
    """Median and p90 of the absolute error per metric, of what calibration may see."""
    lines = []
    for metric, label in enumerate(METRICS):
        r = residual[data.seen, metric]
        e = np.abs(np.expm1(-r[np.isfinite(r)])) * 100
        if len(e):
            lines.append(
                f"{name} left out: {label:26} {np.median(e):5.1f}% (p90 {np.quantile(e, 0.9):.0f}%) of {len(e)}"
            )
    return "\n".join(lines)


def by_stratum(data: Table, residual: Array, novelties: Sequence[str]) -> Residuals:
    """Residuals of seen cases by (metric, mode, novelty)."""
    found: dict[tuple[str, str, str], list[float]] = {}
    for number in np.flatnonzero(data.seen):
        mode = data.cases[number].experiment.mode
        for metric in np.flatnonzero(np.isfinite(residual[number])):
            for novelty in novelties:
                found.setdefault((KIND[metric], mode, novelty), []).append(float(residual[number, metric]))
    return found


def covered(data: Table, points: Array, groups: Array) -> str:
    """Share of left-out residuals inside 80% bounds that were drawn without their part of the groups."""
    parts = np.array([zlib.crc32(repr(group(c.row)).encode()[::-1]) % INTERVAL_PARTS for c in data.cases])
    lines = []
    for residual, kind, name in ((points, KNOWN, "known groups"), (groups, NEW_MODEL, "new groups")):
        inside: dict[str, list[bool]] = {}
        for part in range(INTERVAL_PARTS):
            others = Table(data.cases, data.plan, data.seen & (parts != part))
            drawn = by_stratum(others, residual, (kind,))
            tested = by_stratum(Table(data.cases, data.plan, data.seen & (parts == part)), residual, (kind,))
            for (metric, mode, _), errors in tested.items():
                low, high = bounds(stratum(drawn, metric, mode, kind)[0])
                inside.setdefault(metric, []).extend(low <= e <= high for e in errors)
        shares = ", ".join(f"{metric} {np.mean(found):.0%}" for metric, found in sorted(inside.items()))
        lines.append(f"80% intervals, {name}, out of fold: {shares}")
    return "\n".join(lines)
