"""Drawn power against a budget that changes by time: the budget that binds most, and what is drawn while it holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tokenworks.economics.power import rolling_means

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Held:
    """One budget of a run and the power drawn while it held, in watts."""

    budget_w: float  # 0: none
    peak_w: float  # highest mean over the peak interval
    typical_w: float  # the percentile that the power is planned for

    @property
    def use(self) -> float:
        """Peak over budget; 0 where there is none.

        >>> Held(200.0, 150.0, 100.0).use
        0.75
        """
        return self.peak_w / self.budget_w if self.budget_w else 0.0


def tightest(
    watts: Floats, bucket_s: float, interval_s: float, percentile: float, budgets: tuple[tuple[float, float], ...]
) -> Held:
    """The budget that is used most. ``budgets``: (seconds from the start, watts from then on; 0: none).

    Means of the peak interval never reach over a change of the budget.
    """
    held = []
    for budget_w, drawn in _stretches(watts, bucket_s, budgets):
        calm = rolling_means(drawn, bucket_s, interval_s)
        held.append(Held(budget_w, float(calm.max()), float(np.percentile(calm, percentile))))
    return max(held, key=lambda h: (h.use, h.peak_w))


def _stretches(
    watts: Floats, bucket_s: float, budgets: tuple[tuple[float, float], ...]
) -> Iterator[tuple[float, Floats]]:
    """(budget, watts of the buckets that begin while it holds)."""
    edges = [min(len(watts), int(np.ceil(at_s / bucket_s - 1e-9))) for at_s, _ in budgets] + [len(watts)]
    for (_, budget_w), first, last in zip(budgets, edges[:-1], edges[1:], strict=True):
        if last > first:
            yield budget_w, watts[first:last]
