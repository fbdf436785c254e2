"""Which effects move which term of which experiment, and the linear algebra on it.

Every experiment has one column per (term, family), so an experiment's row of the design is a short list of columns:
its *pattern*. Experiments of one deployment share a pattern. Products with the design are sums over patterns; the
dense matrix of all residuals and effects, 97% zeros, is never built.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tokenworks.physics.deployment import Deployment
from tokenworks.physics.terms import NAMES, attributes, priors

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Design:
    """Columns are effects, entries are the families of all terms in a fixed order."""

    columns: tuple[tuple[str, str], ...]  # (term, family key)
    spread: Array  # prior spread of each column
    own: Mask  # effects of single groups, fitted when the pooled ones stand
    term: Ints  # (entries,): index of the term that an entry moves
    patterns: Ints  # (patterns, entries): columns
    of_case: Ints  # (cases,): pattern

    def shifts(self, values: Array) -> Array:
        """Sum of effects by pattern and term: shape (patterns, terms)."""
        found = np.zeros((len(self.patterns), len(NAMES)))
        for entry, term in enumerate(self.term):
            found[:, term] += values[self.patterns[:, entry]]
        return found

    def only(self, free: Mask) -> Design:
        """The design of the ``free`` columns alone, numbered anew. A family's columns are free together or not at all."""
        kept = free[self.patterns].any(axis=0)
        place = np.cumsum(free) - 1
        return replace(
            self,
            columns=tuple(c for c, f in zip(self.columns, free, strict=True) if f),
            spread=self.spread[free],
            own=self.own[free],
            term=self.term[kept],
            patterns=place[self.patterns[:, kept]],
        )


def design(deployments: Iterable[tuple[Deployment, str]]) -> Design:
    """``deployments``: (deployment, harness) of every case."""
    index: dict[tuple[str, str], int] = {}
    spread: list[float] = []
    own: list[bool] = []
    known: dict[tuple[int, ...], int] = {}
    of_case = []
    families = [(name, family) for name in NAMES for family in (None, *priors()[name].families)]
    for deployment, harness in deployments:
        names = attributes(deployment, harness)
        pattern = []
        for name, family in families:
            key = family.key(names) if family else "all"
            column = index.setdefault((name, key), len(index))
            if column == len(spread):
                spread.append(family.spread if family else priors()[name].spread)
                own.append(bool(family and family.own))
            pattern.append(column)
        of_case.append(known.setdefault(tuple(pattern), len(known)))
    term = np.array([NAMES.index(name) for name, _ in families])
    return Design(tuple(index), np.array(spread), np.array(own), term, np.array(list(known)), np.array(of_case))


@dataclass(frozen=True)
class System:
    """The linearised problem: residual = gap − slope · (shifts of the effects − shifts where it was linearised)."""

    slope: Array  # (residuals, terms): ∂ log metric / ∂ shift of a term
    pattern: Ints  # (residuals,)
    gap: Array  # log target − log prediction
    metric: Ints
    case: Ints
    weight: Array

    def change(self, plan: Design, values: Array) -> Array:
        """Linear change of every residual's log prediction by these effects."""
        return np.asarray((self.slope * plan.shifts(values)[self.pattern]).sum(axis=1))

    def at(self, keep: Mask) -> System:
        """The residuals of ``keep`` alone."""
        return System(*(getattr(self, n)[keep] for n in ("slope", "pattern", "gap", "metric", "case", "weight")))


def normal_equations(problem: System, plan: Design, weight: Array, target: Array) -> tuple[Array, Array]:
    """(AᵀWA, AᵀW·target) over the columns of ``plan``; A is the design times the slopes."""
    count, terms = len(plan.patterns), len(NAMES)
    square = np.zeros((count, terms, terms))
    right = np.zeros((count, terms))
    weighted = problem.slope * weight[:, None]
    order = np.argsort(problem.pattern, kind="stable")
    starts = np.flatnonzero(np.diff(problem.pattern[order], prepend=-1))
    present = problem.pattern[order][starts]
    if len(order):
        outer = weighted[order][:, :, None] * problem.slope[order][:, None, :]
        square[present] = np.add.reduceat(outer, starts)
        right[present] = np.add.reduceat(weighted[order] * target[order][:, None], starts)
    size = len(plan.columns)
    first, second = plan.patterns[:, :, None], plan.patterns[:, None, :]
    entries = square[:, plan.term[:, None], plan.term[None, :]]
    flat = np.bincount((first * size + second).ravel(), entries.ravel(), size * size)
    summed = np.bincount(plan.patterns.ravel(), right[:, plan.term].ravel(), size)
    return np.asarray(flat, float).reshape(size, size), np.asarray(summed, float)
