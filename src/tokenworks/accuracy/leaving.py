"""Errors where calibration has not looked: points, whole groups, accelerators and models left out in turn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tokenworks.accuracy import fit
from tokenworks.accuracy.design import Design, System
from tokenworks.accuracy.fit import METRICS, Case
from tokenworks.accuracy.intervals import KNOWN, NEW_ACCELERATOR, NEW_GROUP, NEW_MODEL
from tokenworks.accuracy.splits import configuration, fold, group

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Folds = NDArray[np.int64]
FOLDS = 5
SHARE = 0.7  # of a step towards the solution, as in the fit itself
REFITS = 2  # replays of what stays, where more than points is left out
FAR = 0.03  # terms that move a log metric by more than this together, up or down, have its experiment replayed
FEW = 20  # accelerators or models with fewer experiments share a fold


@dataclass(frozen=True)
class Table:
    """The cases of a calibration, and which of them may be seen."""

    cases: list[Case]
    plan: Design
    seen: Mask  # not a twin of a validation row


@dataclass(frozen=True)
class Kind:
    """One way to leave measurements out: what its predictions are examples of, its folds, and its refits."""

    name: str
    novelty: str
    folds: Callable[[Table], Folds]
    refits: int


def group_folds(data: Table) -> Folds:
    """Whole (gpu, model, engine) groups share a fold."""
    return np.array([fold(group(c.row), FOLDS) for c in data.cases])


def point_folds(data: Table) -> Folds:
    """All measurements of one configuration share a fold; its neighbours in a sweep do not."""
    return np.array([fold(configuration(c.row), FOLDS) for c in data.cases])


def accelerator_folds(data: Table) -> Folds:
    """Each accelerator alone."""
    return _one_by_one([c.row.gpu for c in data.cases], data.seen)


def model_folds(data: Table) -> Folds:
    """Each model alone."""
    return _one_by_one([c.row.model for c in data.cases], data.seen)


def _one_by_one(names: list[str], seen: Mask) -> Folds:
    """A fold for each name; those with few experiments share one."""
    counts = Counter(name for name, s in zip(names, seen, strict=True) if s)
    place = {name: number for number, name in enumerate(sorted(n for n, c in counts.items() if c >= FEW))}
    return np.array([place.get(name, len(place)) for name in names])


KINDS = (
    Kind("points", KNOWN, point_folds, 0),
    Kind("groups", NEW_GROUP, group_folds, REFITS),
    Kind("accelerators", NEW_ACCELERATOR, accelerator_folds, REFITS),
    Kind("models", NEW_MODEL, model_folds, REFITS),
)


def leave_out(data: Table, problem: System, values: Array, kind: Kind, processes: int) -> Array:
    """Log predictions of every case under effects that its fold did not teach: shape (cases, metrics).

    The slopes are those of the common linearisation. What a whole group taught is not a small change: the solution
    without it is replayed where it moved far, and solved again, so that nothing but the slopes has seen it. Points
    are a small change: the difference of two solutions, with them and without.
    """
    predicted = np.full((len(data.cases), len(METRICS)), np.nan)
    whole = values if kind.refits else fit.staged(problem, data.plan, values, data.seen[problem.case])
    folds = kind.folds(data)
    for number in np.unique(folds):
        keep = (data.seen & (folds != number))[problem.case]
        if kind.refits:
            effects = _refitted(data, problem, values, keep, kind.refits, processes)
        else:
            effects = values + fit.staged(problem, data.plan, values, keep) - whole
        members = np.flatnonzero(folds == number)
        chosen = [data.cases[i] for i in members]
        terms = fit.terms_of(chosen, data.plan, effects)
        predicted[members] = fit.predict_all(chosen, terms, processes)
    return predicted


def _refitted(data: Table, problem: System, values: Array, keep: Mask, steps: int, processes: int) -> Array:
    """Effects that the kept residuals teach, replayed and solved again; groups' own at the end."""
    here, at, effects = problem, values, fit.pooled(problem, data.plan, values, keep)
    for _ in range(steps):
        here, at = followed(data, here, at, effects, keep, processes), effects
        effects = at + SHARE * (fit.pooled(here, data.plan, at, keep) - at)
    return fit.with_own(here, data.plan, at, effects, keep)


def followed(data: Table, problem: System, at: Array, to: Array, keep: Mask, processes: int) -> System:
    """The problem around ``to``: along its slopes where terms move less than FAR, else replayed."""
    parts = problem.slope * data.plan.shifts(to - at)[problem.pattern]
    gap = problem.gap - parts.sum(axis=1)
    far = np.unique(problem.case[keep & (np.abs(parts).sum(axis=1) > FAR)])
    chosen = [data.cases[i] for i in far]
    answers = fit.predict_all(chosen, fit.terms_of(chosen, data.plan, to), processes)
    place = {int(case): number for number, case in enumerate(far)}
    for row in np.flatnonzero(np.isin(problem.case, far)):
        log = answers[place[int(problem.case[row])]][problem.metric[row]]
        gap[row] = data.cases[problem.case[row]].log_target[problem.metric[row]] - log
    return replace(problem, gap=np.nan_to_num(gap))


def residuals(data: Table, predicted: Array) -> Array:
    """log(measured / predicted), NaN where nothing was measured or the case may not be seen: shape (cases, metrics)."""
    target = np.array([c.log_target for c in data.cases])
    return np.where(data.seen[:, None], target - predicted, np.nan)
