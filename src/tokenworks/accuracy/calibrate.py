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

from tokenworks.accuracy import coverage, fit, recording
from tokenworks.accuracy.design import Design, System
from tokenworks.accuracy.fit import METRICS
from tokenworks.accuracy.intervals import KNOWN, build
from tokenworks.accuracy.leaving import KINDS, Table, leave_out, residuals
from tokenworks.accuracy.rows import Measurement
from tokenworks.accuracy.splits import configuration, validation_twins
from tokenworks.accuracy.unfitted import unfitted_bounds
from tokenworks.errors import InputError
from tokenworks.physics.terms import Effects

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
COARSE = 6  # the first rounds use one experiment in so many: far from the solution all say the same
INNER = 4  # steps on one linearisation: slopes change slowly, predictions are replayed each time


def table(measured: Sequence[Measurement], every: int = 1) -> Table:
    """Cases with weight; every N-th, validation twins always (they are only looked at). Raises InputError where nothing is left."""
    twins = validation_twins(measured)
    found = [c for c in fit.cases(measured) if c.weight > 0]
    if all(configuration(c.row) in twins for c in found):
        raise InputError("the table holds no measurement to fit: none can be rehearsed, has targets and is no hold-out")
    hidden = np.array([configuration(c.row) in twins for c in found])
    keep = (np.arange(len(found)) % every == 0) | hidden
    kept = [c for c, k in zip(found, keep, strict=True) if k]
    return Table(kept, fit.design_of(kept), ~hidden[keep])


@dataclass(frozen=True)
class Fitted:
    """A table with effects and the problem around them: without groups' own effects, and with them."""

    data: Table
    pooled: tuple[Array, System]
    whole: tuple[Array, System]

    @property
    def effects(self) -> Effects:
        return fit.as_effects(self.data.plan, self.whole[0])


def calibrate(
    measured: Sequence[Measurement],
    folder: Path,
    rounds: int,
    every: int,
    processes: int,
    say: Callable[[str], None],
    start: Path | None = None,
) -> None:
    """Fit, leave points, groups, accelerators and models out; write ``effects.json``, ``intervals.json`` and
    ``left_out.json`` into the folder."""
    began = time.perf_counter()
    fitted = _fitted(measured, _read(start) if start else {}, rounds, every, processes, say)
    data = fitted.data
    say(f"fitted in {time.perf_counter() - began:.0f} s")
    predicted = {}
    for kind in KINDS:
        values, problem = fitted.whole if kind.novelty == KNOWN else fitted.pooled
        predicted[kind.name] = leave_out(data, problem, values, kind, processes)
        say(f"{kind.name} left out, {time.perf_counter() - began:.0f} s after the start")
    residual = {name: residuals(data, logs) for name, logs in predicted.items()}
    record, shares = recording.record(data, predicted), coverage.coverage(data, residual)
    say(recording.said(record) + "\n" + coverage.said(shares))
    bounds = build(coverage.by_stratum(data, residual)) | unfitted_bounds(measured, fitted.effects, processes)
    _write(folder / "effects.json", _effects_file(fitted, every))
    _write(folder / "left_out.json", {"source": "tokenworks-fit", **record, "coverage": shares}, None)
    _write(folder / "intervals.json", _intervals_file(data, bounds))


def _fitted(
    measured: Sequence[Measurement], known: Effects, rounds: int, every: int, processes: int, say: Callable[[str], None]
) -> Fitted:
    """Pooled effects, first on a part of the experiments, then on all; then groups' own."""
    data = table(measured, every)
    say(f"{len(data.cases)} distinct experiments, {len(data.plan.columns)} effects")
    if rounds > 1:
        part = table(measured, every * COARSE)
        say(f"first on {len(part.cases)} of them")
        values = np.where(part.plan.own, 0.0, _start(part.plan, known))
        near = descend(
            part, linearised(part, values, processes, say), values, ~part.plan.own, rounds - 1, processes, say
        )
        known = fit.as_effects(part.plan, near[0])
    values = np.where(data.plan.own, 0.0, _start(data.plan, known))
    problem = linearised(data, values, processes, say)
    pooled = descend(data, problem, values, ~data.plan.own, min(1, rounds), processes, say)
    whole = descend(data, pooled[1], pooled[0], data.plan.own, 1, processes, say)
    return Fitted(data, pooled, whole)


def linearised(data: Table, values: Array, processes: int, say: Callable[[str], None]) -> System:
    began = time.perf_counter()
    answers = fit.linearise_all(data.cases, fit.terms_of(data.cases, data.plan, values), processes)
    problem = fit.system(data.cases, answers, data.plan)
    say(f"linearised in {time.perf_counter() - began:.0f} s\n{summary(problem, data)}")
    return problem


def descend(
    data: Table,
    problem: System,
    values: Array,
    free: Mask,
    rounds: int,
    processes: int,
    say: Callable[[str], None],
) -> tuple[Array, System]:
    """Damped Gauss-Newton steps of the ``free`` effects, and the linearisation at the end."""
    for _ in range(rounds):
        for _ in range(INNER):
            goal = fit.solve(problem, data.plan, values, data.seen[problem.case], free)
            step = best_step(data, problem, values, goal, processes, say)
            if step is None:
                break
            values, problem = step
        problem = linearised(data, values, processes, say)
    return values, problem


def _read(path: Path) -> Effects:
    """Effects of a file that `calibrate` wrote. Raises InputError for another file."""
    try:
        found: Effects = json.loads(path.read_text(encoding="utf-8"))["effects"]
        return {term: {key: float(value) for key, value in known.items()} for term, known in found.items()}
    except (ValueError, LookupError, TypeError, AttributeError):
        raise InputError(f"{path} is not a file of effects, as `calibrate` writes it") from None


def _start(plan: Design, known: Effects) -> Array:
    """Known effects as values of the columns; 0 for the others."""
    return np.array([known.get(term, {}).get(key, 0.0) for term, key in plan.columns])


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
    """Cauchy loss plus priors, on what may be seen."""
    keep = data.seen[problem.case]
    residual = problem.gap[keep] / fit.SCALE[problem.metric[keep]]
    loss = (problem.weight[keep] * np.log1p(residual**2)).sum()
    return float(loss + ((values / data.plan.spread) ** 2).sum())


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


def _effects_file(fitted: Fitted, every: int) -> dict[str, Any]:
    return {
        "source": "tokenworks-fit",
        "fitted_on": f"{int(fitted.data.seen.sum())} distinct experiments, one in {every} of the packed measurements; "
        "no twins of validation rows",
        "effects": {term: dict(sorted(found.items())) for term, found in fitted.effects.items()},
    }


def _intervals_file(data: Table, bounds: dict[str, Any]) -> dict[str, Any]:
    seen = [c.experiment.deployment for c, s in zip(data.cases, data.seen, strict=True) if s]
    return {
        "source": "tokenworks-fit",
        "bounds": bounds,
        "known": {
            "accelerators": sorted({d.accelerator for d in seen}),
            "models": sorted({d.model for d in seen}),
            "groups": sorted({f"{d.accelerator}|{d.model}|{d.engine}" for d in seen}),
        },
    }


def _write(path: Path, content: dict[str, Any], indent: int | None = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(content, indent=indent, ensure_ascii=False) + "\n")
    part.replace(path)
