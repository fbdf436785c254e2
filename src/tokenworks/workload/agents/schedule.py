"""When calls are sent: each after the calls that it waits for have ended, and the pause before it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tokenworks.workload.agents.calls import Calls
from tokenworks.workload.agents.recording import Ints
from tokenworks.workload.streams import in_ticks

NEVER = -1


@dataclass(frozen=True)
class Pace:
    """How fast answers come, where nothing better is known."""

    ttft_s: float = 1.0
    tpot_s: float = 0.02


def pauses(calls: Calls) -> Ints:
    """Ticks between the end of what a call waits for and the call."""
    return in_ticks(calls.tool_s + calls.think_s)


def answer_ticks(calls: Calls, pace: Pace) -> Ints:
    """How long each answer takes at this pace."""
    return in_ticks(np.asarray(pace.ttft_s + pace.tpot_s * calls.output_tokens, np.float64))


def sent(calls: Calls, begins: Ints, takes: Ints) -> Ints:
    """Tick at which each call is sent, NEVER where something that it waits for has no answer. ``begins``: of each
    call's run; ``takes``: ticks from sending to answer, NEVER where there is none."""
    gaps, start, time = pauses(calls).tolist(), begins.tolist(), takes.tolist()
    edges, before = calls.before_start.tolist(), calls.before.tolist()
    ends, at = [NEVER] * len(calls), [NEVER] * len(calls)
    for row in range(len(calls)):
        waits = [ends[w] for w in before[edges[row] : edges[row + 1]]] or [start[row]]
        if min(waits) != NEVER:
            at[row] = max(waits) + gaps[row]
            ends[row] = at[row] + time[row] if time[row] != NEVER else NEVER
    return np.array(at, np.int64)


def at_pace(calls: Calls, begins: Ints, pace: Pace) -> Ints:
    """Tick at which each call is sent, were every answer had at this pace."""
    return sent(calls, begins, answer_ticks(calls, pace))
