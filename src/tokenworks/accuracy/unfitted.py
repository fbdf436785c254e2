"""Intervals of what no fit learns from: deployments with pools of their own, and drafts whose acceptance is assumed.

Their errors are those of the shipped effects, since no fit has seen any of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tokenworks.accuracy import fit
from tokenworks.accuracy.coverage import METRIC
from tokenworks.accuracy.experiments import DISAGGREGATED, SPECULATING, Experiment
from tokenworks.accuracy.fit import Case
from tokenworks.accuracy.intervals import NOVELTIES, POOL, build
from tokenworks.accuracy.rows import Measurement
from tokenworks.accuracy.splits import configuration, validation_twins
from tokenworks.physics.terms import Effects, resolve

Errors = Mapping[tuple[str, str], list[float]]  # (metric, kind of experiment) → log(measured / predicted)


def unfitted_bounds(measured: Sequence[Measurement], effects: Effects, processes: int) -> dict[str, Any]:
    """Bounds by "metric|kind of experiment|novelty", of the kinds with enough measurements; no twin of a validation row."""
    twins = validation_twins(measured)
    cases = [
        replace(c, experiment=_with_terms(c.experiment, effects))
        for c in fit.cases(measured)
        if c.experiment.tested_as in (DISAGGREGATED, SPECULATING) and configuration(c.row) not in twins
    ]
    enough = {key: errors for key, errors in _errors(cases, effects, processes).items() if len(errors) >= POOL}
    return build({(metric, kind, n): errors for (metric, kind), errors in enough.items() for n in NOVELTIES})


def _with_terms(found: Experiment, effects: Effects) -> Experiment:
    if found.split is None:
        return found
    return replace(found, split=replace(found.split, terms=resolve(found.split.prefill, effects, found.harness)))


def _errors(cases: list[Case], effects: Effects, processes: int) -> Errors:
    terms = [resolve(c.experiment.deployment, effects, c.experiment.harness) for c in cases]
    found: dict[tuple[str, str], list[float]] = {}
    for case, logs in zip(cases, fit.predict_all(cases, terms, processes), strict=True):
        for metric, error in zip(METRIC, case.log_target - logs, strict=True):
            if np.isfinite(error):
                found.setdefault((metric, case.experiment.tested_as), []).append(float(error))
    return found
