"""Spare systems: how many more than needed, so that enough of them are up.

A system is up a = MTBF / (MTBF + repair) of the time, independently of the others; of n + s systems at least n are up with
the binomial probability P(X ≥ n). MTBF of a system: GPU-days between failures ÷ its GPUs.
"""

from __future__ import annotations

from functools import lru_cache
from math import exp, lgamma, log, log1p

import numpy as np

from tokenworks import catalog
from tokenworks.plan.ask import Array

MOST_SPARES = 10_000


def system_availability(gpus: int) -> float:
    """Share of the time that one system with so many GPUs is up."""
    facts = catalog.load("sites", "default")
    mtbf_h = float(facts["failure_gpu_days"]) * 24 / gpus
    return mtbf_h / (mtbf_h + float(facts["repair_h"]))


def at_least(needed: int, there: int, up: float) -> float:
    """P(at least ``needed`` of ``there`` systems are up): the shorter tail of the binomial, summed.

    >>> round(at_least(1, 2, 0.9), 6), at_least(0, 0, 0.5)
    (0.99, 1.0)
    """
    if up >= 1.0 or needed <= 0:
        return 1.0
    down = there - needed
    total = 0.0
    for k in range(down + 1):  # k systems down
        total += exp(lgamma(there + 1) - lgamma(k + 1) - lgamma(there - k + 1) + k * log1p(-up) + (there - k) * log(up))
    return min(1.0, total)


@lru_cache(maxsize=65_536)
def spares(needed: int, up: float, share: float) -> int:
    """Fewest spares for which enough systems are up ``share`` of the time.

    >>> spares(10, 0.99, 0.999), spares(0, 0.99, 0.999)
    (2, 0)
    """
    count = 0
    while needed and at_least(needed, needed + count, up) < share and count < MOST_SPARES:
        count += 1
    return count


def spares_of(needed: Array, gpus: int, share: float | None) -> Array:
    """(n,) spares for arrays of needed systems; none without a share."""
    if share is None:
        return np.zeros_like(needed)
    up = system_availability(gpus)
    distinct, back = np.unique(needed, return_inverse=True)
    return np.array([spares(int(n), up, share) for n in distinct], float)[back]
