"""The batches that the wide pass looks at."""

from __future__ import annotations

from functools import cache

import numpy as np

from tokenworks.plan.ask import Array

ONE_BY_ONE = 32
STEP = 1.03  # between larger batches: plans are within 0.1% of those that look at every batch (docs/plan-proof.md)


@cache
def batches(most: int) -> Array:
    """1 … 32 one by one, then whole numbers about 3% apart, and the most."""
    steps = int(np.ceil(np.log(max(2.0, most)) / np.log(STEP)))
    apart = np.unique(np.rint(STEP ** np.arange(steps)))
    small = np.arange(1.0, min(ONE_BY_ONE, most) + 1)
    return np.unique(np.concatenate([small, apart[apart < most], [float(most)]]))
