"""How many replicas: for a rate, for a load."""

from __future__ import annotations

import math

from tokenworks.control.scaling.capacity import Load

SLACK = 1e-9  # a need of 2.0000000001 replicas is one of 2


def for_rate(requests_s: float, one: Load, target: float) -> int:
    """Replicas that carry a rate, each used to the portion ``target``."""
    return math.ceil(requests_s / (target * one.requests_s) - SLACK)


def for_load(outstanding: int, one: Load, target: float) -> int:
    """Replicas that work on so many requests at a time: by Little's law what `for_rate` says while the objectives are
    kept, more where a queue has built up."""
    return math.ceil(outstanding / (target * one.batch) - SLACK)
