"""Rows that no other beats in every column: Pareto fronts, compiled."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tokenworks.control.compiled import njit
from tokenworks.plan.ask import Array


def pareto(values: Array) -> NDArray[np.int64]:
    """Rows that no other is at least as good as in all columns and better in one; less is better, by the first column.
    Of equal rows the first.

    >>> pareto(np.array([[1.0, 3.0], [2.0, 2.0], [2.0, 3.0], [3.0, 1.0]])).tolist()
    [0, 1, 3]
    """
    values = np.ascontiguousarray(values, dtype=np.float64)
    return np.asarray(_front(values, np.lexsort(values.T[::-1]).astype(np.int64)))


@njit(cache=True)
def _front(values: Array, order: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sorted by all columns, a row can be beaten by one before it alone, and what beats a beaten row is kept."""
    kept = np.empty(len(order), np.int64)
    count = 0
    for row in order:
        beaten = False
        for k in range(count):
            worse = True
            for j in range(values.shape[1]):
                if values[kept[k], j] > values[row, j]:
                    worse = False
                    break
            if worse:
                beaten = True
                break
        if not beaten:
            kept[count] = row
            count += 1
    return kept[:count].copy()
