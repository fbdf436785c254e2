"""The batches that the wide pass looks at."""

from __future__ import annotations

from functools import cache

import numpy as np

from tokenworks.plan.ask import Array

STEP = 1.06  # between batches that are not looked at one by one


@cache
def batches(most: int) -> Array:
    """1 … 8 one by one, then multiples of 8 (as CUDA graphs are captured) about 6% apart, and the most."""
    if most <= 8:
        return np.arange(1.0, most + 1)
    count = int(np.ceil(np.log(most / 8) / np.log(STEP))) + 1
    coarse = np.ceil(STEP ** np.arange(1, count)) * 8
    inside = np.unique(coarse[coarse < most])
    return np.concatenate([np.arange(1.0, 9.0), inside, [float(most)]])
