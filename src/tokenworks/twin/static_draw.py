"""What stepping workers draw anyway, divided by worker time: as it goes where the draw is constant, else at the end."""

from __future__ import annotations

import numpy as np

from tokenworks.twin.cell import Cell
from tokenworks.twin.layout import Ints

WEIGHT_BITS = 51  # weights are cut to so many bits: with DIGIT more they are below 2**62
DIGIT = 10
MICROWATTS_TICKS_PER_MICROJOULE = 10**11
PART = 10**6  # of MICROWATTS_TICKS_PER_MICROJOULE, for long division


def draws_of(cell: Cell) -> Ints:
    """Microwatts of each worker while it steps; −1 where its clock level may change them."""
    capped = {w for cap in cell.caps for w in cap.workers}
    draws = []
    for w, m in enumerate(cell.workers):
        levels = {round(level.active_w * 10**6) for level in cell.models[m].levels}
        draws.append(round(cell.models[m].levels[0].active_w * 10**6) if w not in capped or len(levels) == 1 else -1)
    return np.array(draws, np.int64)


def microjoules_upto(ticks: Ints, microwatts: Ints) -> Ints:
    """⌊ticks · microwatts / 10**11⌋, whose product may need 93 bits: long division. Microwatts below 10**12.

    >>> int(microjoules_upto(np.array([3 * 10**18]), np.array([700 * 10**6]))[0]) == 3 * 10**18 * 700 * 10**6 // 10**11
    True
    """
    whole, rest = np.divmod(ticks, MICROWATTS_TICKS_PER_MICROJOULE)
    high, low = np.divmod(rest, PART)
    upper, left = np.divmod(high * microwatts, MICROWATTS_TICKS_PER_MICROJOULE // PART)
    found: Ints = whole * microwatts + upper + (left * PART + low * microwatts) // MICROWATTS_TICKS_PER_MICROJOULE
    return found


def by_weight(total: int, weights: Ints) -> Ints:
    """Whole parts of a total ≥ 0 in proportion to weights ≥ 0, in their order: differences of rounded-down running sums, so that
    the parts add up. Nothing where all weights are 0.

    >>> by_weight(10, np.array([1, 1, 1])).tolist()
    [3, 3, 4]
    """
    done = np.cumsum(weights)
    whole = int(done[-1])
    if whole == 0:
        return np.zeros_like(weights)
    shift = max(0, whole.bit_length() - WEIGHT_BITS)
    done >>= shift
    whole >>= shift
    upto, rest = np.zeros_like(done), np.zeros_like(done)
    for place in range(0, 64, DIGIT)[::-1]:  # long division: the product needs more than 63 bits
        digit = (total >> place) & ((1 << DIGIT) - 1)
        if digit or rest.any():
            quotient, rest = np.divmod((rest << DIGIT) + digit * done, whole)
            upto = (upto << DIGIT) + quotient
        else:
            upto <<= DIGIT
    parts: Ints = np.diff(upto, prepend=0)
    return parts
