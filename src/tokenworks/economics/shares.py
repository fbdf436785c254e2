"""Whole parts of a whole: amounts rounded to micro-units so that they sum to their total exactly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tokenworks.errors import InputError

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
LARGEST = 2.0**53  # floats above it have no digits for a fraction


def largest_remainder(ideal: Floats, total: int) -> Ints:
    """Each amount (≥ 0, shape (n,)) rounded down; the largest fractions (the first of equal ones) rounded up until the
    parts sum to ``total``. No part is a unit or more away from its ideal.

    Raises InputError where that cannot be: the amounts do not sum to about ``total``.

    >>> largest_remainder(np.array([0.5, 1.3, 0.2]), 2).tolist()
    [1, 1, 0]
    """
    if not (np.isfinite(ideal).all() and (ideal >= 0).all() and (ideal < LARGEST).all()):
        raise InputError("amounts to be rounded must be numbers from 0 to 2**53 micro-units")
    parts: Ints = np.floor(ideal).astype(np.int64)
    missing = total - int(parts.sum())
    whole = float(ideal.sum())
    if not 0 <= missing <= int((ideal > parts).sum()) or abs(whole - total) > 0.75 + 1e-12 * whole:
        raise InputError(f"amounts that sum to {whole:.3f} cannot be rounded to a total of {total}")
    if missing:
        parts[_largest(ideal - parts, missing)] += 1
    return parts


def _largest(fraction: Floats, count: int) -> Ints:
    """Places of the ``count`` largest, the first of equal ones."""
    least = np.partition(fraction, len(fraction) - count)[len(fraction) - count]
    above = np.flatnonzero(fraction > least)
    found: Ints = np.concatenate([above, np.flatnonzero(fraction == least)[: count - len(above)]])
    return found


def sums_by(key: NDArray[np.integer], amount: Ints, keys: int) -> Ints:
    """Exact sums of whole amounts by key (0 … keys − 1; −1: left out)."""
    order = np.argsort(key, kind="stable")
    edge = np.searchsorted(key[order], np.arange(keys + 1))
    done = np.concatenate([[0], np.cumsum(amount[order])])
    found: Ints = done[edge[1:]] - done[edge[:-1]]
    return found
