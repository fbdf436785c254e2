"""Two-batch overlap: a step runs as two halves, and one half communicates while the other computes (DeepSeek-V3 report,
3.4; dual-batch overlap in vLLM, two-batch overlap in SGLang).

Both halves stream the weights and launch the kernels, and each collective runs twice. With 2·L equal pieces of work in
turn on two resources, the step takes the longer resource's time, and one piece of the shorter that nothing hides:

    max(compute, communication) + min(compute, communication) / (2·L)

with compute and communication those of both halves, so at most twice the plain step. Attention over the cached keys
hides nothing here (it is priced per key, after these tables), nor does communication slow down what it runs beside.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tokenworks.physics.operators import Array, Cost

COMMUNICATION = ("all-reduce", "dispatch and combine")
Costs = dict[str, Cost]
Mask = NDArray[np.bool_]


def halved(costs_of: Callable[[Array], Costs], tokens: Array, split: Mask) -> Costs:
    """Operators of both halves where ``split``, communication not yet hidden; elsewhere those of the plain step."""
    once, half = costs_of(tokens), costs_of(tokens / 2.0)
    return {name: _either(split, half[name], once[name]) for name in once}


def _either(split: Mask, half: Cost, once: Cost) -> Cost:
    seconds, flop, byte, busy = (
        np.where(split, 2.0 * getattr(half, n), getattr(once, n)) for n in ("seconds", "flop_s", "byte_s", "busy_s")
    )
    return Cost(seconds, flop, byte, np.where(split, half.bound_by_compute, once.bound_by_compute), busy)


def hidden(costs: Costs, split: Mask, layers: float, credit: Array | float = 0.0) -> Costs:
    """The operators with only that part of the communication that no computation hides.

    credit: seconds of computation outside these operators that may hide it too.
    """
    shown = dict(costs)
    for name in set(COMMUNICATION) & set(costs):
        sent, spare = costs[name], computing(costs) + credit
        rest = np.maximum(sent.seconds - spare, 0.0) + np.minimum(sent.seconds, spare) / (2.0 * layers)
        seconds = np.where(split, rest, sent.seconds)
        shown[name] = replace(sent, seconds=seconds)
    return shown


def computing(costs: Costs) -> Array:
    """Seconds of everything that is not communication."""
    return np.asarray(sum(cost.seconds for name, cost in costs.items() if name not in COMMUNICATION))


def unused(costs: Costs) -> Array:
    """Seconds of computation that the operators' own communication leaves free to hide that of others."""
    sent = sum(cost.seconds for name, cost in costs.items() if name in COMMUNICATION)
    return np.maximum(computing(costs) - sent, 0.0)
