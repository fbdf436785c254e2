"""Published sweeps as stand-ins for sites: a handful of points is known, the others are predicted.

A sweep is one deployment under many loads: same dataset, accelerator, model, weights, engine, version, date and degrees.
Sweeps that hold a twin of a validation row are left out whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tokenworks.accuracy.fit import Case, cases
from tokenworks.accuracy.rows import Measurement, Row
from tokenworks.accuracy.site_fit import fit_site, predicted
from tokenworks.accuracy.splits import configuration, validation_twins
from tokenworks.physics.site import identity
from tokenworks.physics.terms import Effects, priors, shipped_effects

Array = NDArray[np.float64]
LEAST = 8  # distinct configurations of a sweep


@dataclass(frozen=True)
class Sweep:
    """Distinct configurations of one deployment; the newest measurement of each."""

    name: str
    cases: list[Case]


def sweeps(measured: Sequence[Measurement]) -> list[Sweep]:
    """Sweeps of calibration rows, ordered by name."""
    twins = validation_twins(measured)
    found: dict[tuple[object, ...], list[Case]] = {}
    for case in cases(measured):
        if case.weight > 0:
            row = case.row
            key: tuple[object, ...] = (row.dataset, row.gpus, row.date, *identity(case.experiment.deployment))
            found.setdefault(key, []).append(case)
    kept = []
    for name, members in found.items():
        distinct = {load_of(case.row): case for case in members}
        if len(distinct) >= LEAST and not any(configuration(case.row) in twins for case in members):
            kept.append(Sweep(" ".join(map(str, name)), list(distinct.values())))
    return sorted(kept, key=lambda sweep: sweep.name)


def load_of(row: Row) -> tuple[float, float, float]:
    """(Load, input length, output length): where in a sweep a row stands."""
    return (row.batch_size or row.concurrency or row.request_rate or 1.0, row.isl or 1.0, row.osl or 1.0)


def spread_points(rows: Sequence[Row], count: int) -> list[int]:
    """Indices of rows spread over the loads: the lightest and shortest, then always the one farthest from those chosen
    (in logarithms, each axis scaled to its span). Looks at no target."""
    at = np.log(np.array([load_of(row) for row in rows]))
    span = np.ptp(at, axis=0)
    at = (at - at.min(axis=0)) / np.where(span > 0, span, 1.0)
    chosen = [int(np.lexsort(at.T[::-1])[0])]
    distance = np.linalg.norm(at - at[chosen[0]], axis=1)
    while len(chosen) < min(count, len(rows)):
        chosen.append(int(np.argmax(distance)))
        distance = np.minimum(distance, np.linalg.norm(at - at[chosen[-1]], axis=1))
    return chosen


def without_own() -> Effects:
    """The shipped effects without those that single groups have to themselves: what a new deployment would get."""
    own = {(name, family.attributes) for name, prior in priors().items() for family in prior.families if family.own}
    return {
        name: {key: value for key, value in found.items() if (name, attributes_of(key)) not in own}
        for name, found in shipped_effects().items()
    }


def attributes_of(key: str) -> tuple[str, ...]:
    """
    >>> attributes_of("accelerator=b200+engine=vllm")
    ('accelerator', 'engine')
    """
    return tuple(part.partition("=")[0] for part in key.split("+"))


@dataclass(frozen=True)
class HeldOut:
    """The points of a sweep that were not known: log(measured / predicted), shape (points, metrics)."""

    sweep: str
    mode: str
    known_load: bool  # its lengths are published, not taken from the catalogue
    before: Array  # without any point of the sweep known
    after: Array


def held_out(sweep: Sweep, count: int, effects: Effects | None = None) -> HeldOut:
    """Know ``count`` points of a sweep, fewer than it has, spread over it, and predict the others on top of the effects
    (None: shipped)."""
    known = spread_points([case.row for case in sweep.cases], count)
    others = [case for number, case in enumerate(sweep.cases) if number not in known]
    shifts = fit_site([sweep.cases[number] for number in known], effects)
    target = np.array([case.log_target for case in others])
    before, after = (target - predicted(others, at, effects) for at in (np.zeros(len(shifts)), shifts))
    found = sweep.cases[0].experiment
    return HeldOut(sweep.name, found.mode, "input length" not in found.assumed, before, after)
