"""How long recorded requests took, and the pauses between them.

The recording's own think time is not used: it counts from the end of the last request whose duration was recorded, so
that after requests without one (streamed ones, 9% of all) it covers several requests.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tokenworks.workload.agents.recording import Floats, Ints, Recording


def own_before(r: Recording) -> Ints:
    """Row of the request before each one of its agent; −1: none."""
    last, found = dict[tuple[int, int], int](), np.full(len(r), -1, np.int64)
    for row, key in enumerate(zip(r.session.tolist(), r.agent.tolist(), strict=True)):
        found[row] = last.get(key, -1)
        last[key] = row
    return found


def took_s(r: Recording) -> Floats:
    """Seconds from request to end of answer: recorded, or by the straight line through those that are (over output
    tokens), but no longer than until the agent's next request."""
    known = ~np.isnan(r.api_s)
    usual = known & (r.api_s <= np.quantile(r.api_s[known], 0.99))  # a hung connection tells nothing of a token's time
    slope, base = np.polyfit(r.output_tokens[usual], r.api_s[usual], 1)
    guess = base + slope * r.output_tokens
    before = own_before(r)
    has = before >= 0
    gap = np.full(len(r), np.inf)
    gap[before[has]] = (r.start_s[has] - r.start_s[before[has]]).clip(min=0)
    return np.where(known, r.api_s, np.minimum(guess, gap))


def pauses_s(r: Recording) -> tuple[Floats, NDArray[np.bool_]]:
    """(seconds from the end of the agent's request before to each request, whether that end was recorded). None are
    negative: a request may be sent before the answer to the one before is complete."""
    before = own_before(r)
    has = before >= 0
    end = (r.start_s + took_s(r))[before]
    pause = np.where(has, np.maximum(0.0, r.start_s - end), 0.0)
    return pause, has & ~np.isnan(r.api_s[before])
