"""Fit one deployment's own shifts of the terms on a handful of its measurements.

The measured experiments are linearised where the shipped calibration puts them; the shifts are the most probable ones
under Gaussian priors (catalogue data ``calibration/site.toml``) and a loss in which one bad point stops pulling; then
the experiments are replayed and linearised again, a few times. With no points the shifts are zero.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenworks.accuracy import fit
from tokenworks.accuracy.coverage import METRIC
from tokenworks.accuracy.fit import Case, linearise, predict
from tokenworks.physics.deployment import SiteTerms
from tokenworks.physics.terms import CALIBRATION, NAMES, Effects, Terms, resolve

Array = NDArray[np.float64]
ROUNDS = 4  # linearisations at most
SOLUTIONS = 8  # reweighted solutions of one linearisation
OUTLIER = 3.0  # noises from which a residual counts as a bad point
SHARES = (1.0, 0.5, 0.2)  # of a step, tried in this order
WORTH = 0.05  # fall of the objective for which another round is worth its replays
ENERGY = METRIC.index("energy")
POWER = np.isin(NAMES, fit.POWER)
DIGITS = 4  # of a shift


@dataclass(frozen=True)
class Trust:
    """How far shifts may go, shape (terms,), and how far measurements may lie from any terms, shape (metrics,)."""

    spread: Array
    noise: Array


@lru_cache(maxsize=1)
def site_table() -> dict[str, Any]:
    """The catalogue's ``calibration/site.toml``."""
    return tomllib.loads((CALIBRATION / "site.toml").read_text(encoding="utf-8"))


@lru_cache(maxsize=1)
def trust() -> Trust:
    """As in the catalogue."""
    table = site_table()
    spread = np.array([float(table["spread"][name]) for name in NAMES])
    return Trust(spread, np.array([float(table["noise"][kind]) for kind in METRIC]))


def terms_at(case: Case, shifts: Array, effects: Effects | None = None) -> Terms:
    """Terms of a case's deployment with these shifts on top of the effects (None: those shipped)."""
    site = SiteTerms("", 0, tuple(zip(NAMES, map(float, shifts), strict=True)), ())
    found = case.experiment
    return resolve(replace(found.deployment, site=site), effects, found.harness)


def predicted(cases: Sequence[Case], shifts: Array, effects: Effects | None = None) -> Array:
    """Log metrics of replayed cases, shape (cases, metrics)."""
    return np.array([predict(case.experiment, terms_at(case, shifts, effects)) for case in cases])


def fit_site(cases: Sequence[Case], effects: Effects | None = None) -> Array:
    """Shifts of the terms, shape (terms,), from measured cases of one deployment. Deterministic."""
    target = np.array([case.log_target for case in cases])
    shifts: Array = np.zeros(len(NAMES))
    for _ in range(ROUNDS):
        answers = [linearise(case, terms_at(case, shifts, effects)) for case in cases]
        here = np.array([base for base, _ in answers])
        goal = solve(target - here, _of_measured(target, np.array([slopes for _, slopes in answers])), shifts)
        before = objective(target - here, shifts)
        for share in SHARES:
            new = shifts + share * (goal - shifts)
            after = objective(target - predicted(cases, new, effects), new)
            if after < before:
                break
        else:
            break
        shifts = new
        if before - after < WORTH:
            break
    return np.round(shifts, DIGITS)


def _of_measured(target: Array, slopes: Array) -> Array:
    """Slopes without those of the power terms where no energy was measured: their pull on time, by the power limit,
    teaches nothing of watts."""
    if np.isfinite(target[:, ENERGY]).any():
        return slopes
    return np.where(POWER, 0.0, slopes)


def solve(gap: Array, slopes: Array, at: Array) -> Array:
    """Most probable shifts of the problem linearised ``at`` some: gap (cases, metrics), slopes (cases, metrics, terms)."""
    known = np.isfinite(gap)
    noise = np.broadcast_to(trust().noise, gap.shape)[known]
    a = slopes[known]
    target = gap[known] + a @ at
    prior = np.diag(1.0 / trust().spread ** 2)
    found = at
    for number in range(SOLUTIONS):
        z = (target - a @ found) / noise if number else np.zeros(len(target))
        weighted = a.T * (1.0 / noise**2 / (1.0 + (z / OUTLIER) ** 2))
        found = np.asarray(np.linalg.solve(weighted @ a + prior, weighted @ target), dtype=np.float64)
    return found


def objective(gap: Array, shifts: Array) -> float:
    """Loss of the residuals plus prior: what `solve` lowers, on replayed experiments."""
    z = (gap / trust().noise)[np.isfinite(gap)]
    loss = OUTLIER**2 * np.log1p((z / OUTLIER) ** 2).sum()
    return float(loss + ((shifts / trust().spread) ** 2).sum())


def as_effects(shifts: Array) -> Mapping[str, float]:
    """Shifts by term, those of zero left out."""
    return {name: float(shift) for name, shift in zip(NAMES, shifts, strict=True) if shift}
