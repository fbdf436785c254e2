"""`tokenworks calibrate`: effects and intervals from measurements, with an honest split."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenworks.accuracy import fit
from tokenworks.accuracy.fit import METRICS, Case, Design, System
from tokenworks.accuracy.intervals import KNOWN, NEW_ACCELERATOR, NEW_MODEL, build
from tokenworks.accuracy.rows import Measurement
from tokenworks.accuracy.splits import configuration, fold, group, validation_twins

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
FOLDS = 5
INNER = 4  # steps on one linearisation: slopes change slowly, predictions are replayed each time
KIND = ("throughput", "tpot", "tpot", "ttft", "ttft", "energy")  # of each metric


@dataclass(frozen=True)
class Table:
    """The cases of a calibration, and which of them may be seen."""

    cases: list[Case]
    plan: Design
    seen: Mask  # not a twin of a validation row


def table(measured: Sequence[Measurement], every: int = 1) -> Table:
    """Cases with weight; every N-th, validation twins always (they are only looked at)."""
    twins = validation_twins(measured)
    found = [c for c in fit.cases(measured) if c.weight > 0]
    hidden = np.array([configuration(c.row) in twins for c in found])
    keep = (np.arange(len(found)) % every == 0) | hidden
    kept = [c for c, k in zip(found, keep, strict=True) if k]
    return Table(kept, fit.design(kept), ~hidden[keep])


def calibrate(
    measured: Sequence[Measurement],
    folder: Path,
    rounds: int,
    every: int,
    processes: int,
    say: Callable[[str], None],
    start: Path | None = None,
) -> None:
    """Fit, leave groups out, write ``effects.json`` and ``intervals.json`` into the folder."""
    data = table(measured, every)
    say(f"{len(data.cases)} distinct experiments, {len(data.plan.columns)} effects")
    values = _start(data.plan, start)
    problem: System | None = None
    for number in range(rounds + 1):
        began = time.perf_counter()
        answers = fit.linearise_all(data.cases, fit.terms_of(data.cases, data.plan, values), processes)
        problem = fit.system(data.cases, answers, data.plan)
        say(f"round {number}, {time.perf_counter() - began:.0f} s\n{summary(problem, data)}")
        for _ in range(INNER if number < rounds else 0):
            goal = fit.solve(problem, data.plan, values, data.seen[problem.case])
            step = best_step(data, problem, values, goal, processes, say)
            if step is None:
                break
            values, problem = step
    assert problem is not None
    out = left_out(data, problem, values, processes, say)
    _write(folder / "effects.json", _effects_file(data, values, every))
    _write(folder / "intervals.json", _intervals_file(data, problem, out))


def _start(plan: Design, path: Path | None) -> Array:
    """Effects to start from: none, or those of a file."""
    values = np.zeros(len(plan.columns))
    if path is None:
        return values
    known = json.loads(path.read_text())["effects"]
    for column, (term, key) in enumerate(plan.columns):
        values[column] = known.get(term, {}).get(key, 0.0)
    return values


def best_step(
    data: Table, problem: System, old: Array, goal: Array, processes: int, say: Callable[[str], None]
) -> tuple[Array, System] | None:
    """The first of ever shorter steps towards the linearised solution that lowers the true objective of replayed
    experiments, with the problem around it; None where none does."""
    before = objective(data, problem, old)
    for share in (0.7, 0.3, 0.1):
        new = old + share * (goal - old)
        predicted = fit.predict_all(data.cases, fit.terms_of(data.cases, data.plan, new), processes)
        moved = fit.moved(problem, data.cases, predicted)
        after = objective(data, moved, new)
        if after < before - 1.0:
            say(f"  step {share:g}, objective {before:.1f} to {after:.1f}")
            return new, moved
    return None


def objective(data: Table, problem: System, values: Array) -> float:
    """Soft-L1 loss plus priors, on what may be seen."""
    keep = data.seen[problem.case]
    residual = problem.gap[keep] / fit.SCALE[problem.metric[keep]]
    loss = (problem.weight[keep] * 2 * (np.sqrt(1 + residual**2) - 1)).sum()
    return float(loss + ((values / data.plan.spread) ** 2).sum())


def left_out(data: Table, problem: System, values: Array, processes: int, say: Callable[[str], None]) -> Array:
    """Residuals log(measured / predicted) with each whole (gpu, model, engine) group left out, replayed.

    Shape (cases, metrics); NaN where nothing was measured. Each fold's effects come from the common linearisation.
    """
    folds = np.array([fold(group(c.row), FOLDS) for c in data.cases])
    residual = np.full((len(data.cases), len(METRICS)), np.nan)
    whole = fit.solve(problem, data.plan, values, data.seen[problem.case])
    for number in range(FOLDS):
        keep = data.seen & (folds != number)
        # The difference of two solutions of one linearisation: what the fold's rows contributed.
        effects = values + fit.solve(problem, data.plan, values, keep[problem.case]) - whole
        members = np.flatnonzero(folds == number)
        chosen = [data.cases[i] for i in members]
        predicted = fit.predict_all(chosen, fit.terms_of_some(data.cases, data.plan, effects, members), processes)
        for i, logs in zip(members, predicted, strict=True):
            residual[i] = data.cases[i].log_target - logs
    for metric, name in enumerate(METRICS):
        r = residual[data.seen, metric]
        r = r[np.isfinite(r)]
        if len(r):
            e = np.abs(np.expm1(-r)) * 100
            say(f"groups left out: {name:26} {np.median(e):5.1f}% (p90 {np.quantile(e, 0.9):.0f}%) of {len(r)}")
    return residual


def summary(problem: System, data: Table) -> str:
    """Median and p90 errors of calibration and validation cases."""
    lines = []
    valid = np.array([c.split == "validation" for c in data.cases])
    for split, mask in (("calibration", data.seen), ("validation", valid)):
        parts = []
        for metric, label in enumerate(METRICS):
            pick = mask[problem.case] & (problem.metric == metric)
            if pick.any():
                e = np.abs(np.expm1(-problem.gap[pick])) * 100
                name = label.replace("output_tokens_s_gpu", "rate").replace("_s_", " ")
                parts.append(f"{name} {np.median(e):.1f}/{np.quantile(e, 0.9):.0f} ({pick.sum()})")
        lines.append(f"  {split}: " + ", ".join(parts))
    return "\n".join(lines)


def _effects_file(data: Table, values: Array, every: int) -> dict[str, Any]:
    effects = fit.as_effects(data.plan, values)
    return {
        "source": "tokenworks-fit",
        "fitted_on": f"{int(data.seen.sum())} distinct experiments, one in {every} of the packed measurements; "
        "no twins of validation rows",
        "effects": {term: dict(sorted(found.items())) for term, found in effects.items()},
    }


def _intervals_file(data: Table, problem: System, out: Array) -> dict[str, Any]:
    """Known groups: residuals of the fit itself, of seen rows, widened by nothing; new ones: left-out residuals."""
    residuals: dict[tuple[str, str, str], list[float]] = {}
    for gap, metric, case in zip(problem.gap, problem.metric, problem.case, strict=True):
        if data.seen[case]:
            residuals.setdefault((KIND[metric], data.cases[case].experiment.mode, KNOWN), []).append(float(gap))
    for number, case in enumerate(data.cases):
        for metric in np.flatnonzero(np.isfinite(out[number]) & data.seen[number]):
            for novelty in (NEW_MODEL, NEW_ACCELERATOR):
                residuals.setdefault((KIND[metric], case.experiment.mode, novelty), []).append(
                    float(out[number, metric])
                )
    seen = [c.experiment.deployment for c, s in zip(data.cases, data.seen, strict=True) if s]
    return {
        "source": "tokenworks-fit",
        "bounds": build(residuals),
        "known": {
            "accelerators": sorted({d.accelerator for d in seen}),
            "groups": sorted({f"{d.accelerator}|{d.model}|{d.engine}" for d in seen}),
        },
    }


def _write(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    part.replace(path)
