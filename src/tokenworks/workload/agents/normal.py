"""The normal distribution function without SciPy."""

from __future__ import annotations

import math

import numpy as np

from tokenworks.workload.agents.recording import Floats


def share_below(score: Floats) -> Floats:
    """Φ of each score, by the error function: exact to the last bits.

    >>> share_below(np.array([0.0, 1.96])).round(4).tolist()
    [0.5, 0.975]
    """
    return np.array([0.5 * math.erfc(-x / math.sqrt(2)) for x in score.tolist()])
