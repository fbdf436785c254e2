"""An autoscaler: from what is seen at a look to how many replicas there are to be. All state is passed in and out."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tokenworks.control.scaling.capacity import Capacity, Load, load_of
from tokenworks.control.scaling.predictors import Floats, forecast
from tokenworks.control.scaling.seen import Seen
from tokenworks.control.scaling.sizing import for_load, for_rate
from tokenworks.control.scaling.steadying import steady

Ints = NDArray[np.int64]
SHORTEST_HISTORY = 256  # looks; with a season three of them
FADE = 0.95  # weight of what was learned of lengths, from look to look
EXPECTED_WEIGHT = 20.0  # requests for which the expected lengths stand until others have finished


class Rules(NamedTuple):
    """How one pool is scaled."""

    role: int  # of `capacity`
    least: int
    most: int
    start: int  # replicas at the beginning
    every_s: float  # between looks
    load_s: float  # a replica's cold start
    predictor: int
    season: int  # looks; 0: none
    target: float  # portion of its capacity to which a replica is to be used
    hysteresis: float  # fewer replicas only where they would be used to target·(1 − hysteresis)
    calm_s: float  # … and would have been for so long
    idle_s: float  # without a request, before the last replica goes (least 0)
    tpot_s: float  # objective; 0: none
    isl: float  # expected lengths
    osl: float
    capacity: Capacity


class Memory(NamedTuple):
    """What is carried from look to look."""

    history: Floats  # arrivals by interval
    down: Ints  # replicas needed with room to spare, at the looks of the calm
    lengths: Floats  # (requests, prompt tokens, output tokens), fading
    busy_s: float  # when there was work last
    replicas: int


def begin(rules: Rules) -> Memory:
    """A pool that starts without a replica has been idle long enough; what it starts with counts as needed for one calm."""
    lengths = EXPECTED_WEIGHT * np.array([1.0, rules.isl, rules.osl])
    busy_s = 0.0 if rules.start else -rules.idle_s
    return Memory(np.zeros(0), np.array([rules.start], np.int64), lengths, busy_s, rules.start)


def decide(rules: Rules, memory: Memory, seen: Seen) -> Memory:
    """The memory after a look; its ``replicas`` are those that are wanted from now on."""
    history = np.append(memory.history, float(seen.arrived))[-max(SHORTEST_HISTORY, 3 * rules.season) :]
    fresh = np.array([seen.finished, seen.input_tokens, seen.output_tokens], np.float64)
    lengths = memory.lengths * FADE + fresh
    ahead = forecast(rules.predictor, history, _looks(rules.load_s, rules) + 1, rules.season)
    isl, osl = lengths[1] / lengths[0], lengths[2] / lengths[0]
    one = load_of(rules.capacity, rules.role, max(1.0, isl), max(1.0, osl), rules.tpot_s)
    up = _needed(rules, one, ahead, seen, rules.target)
    spare = _needed(rules, one, ahead, seen, rules.target * (1.0 - rules.hysteresis))
    down = np.append(memory.down, spare)[-(_looks(rules.calm_s, rules) + 1) :]
    busy_s = seen.now_s if seen.arrived or seen.outstanding or seen.held else memory.busy_s
    replicas = min(rules.most, max(_floor(rules, seen, busy_s, ahead), steady(memory.replicas, up, down)))
    return Memory(history, down, lengths, busy_s, replicas)


def _looks(span_s: float, rules: Rules) -> int:
    return math.ceil(span_s / rules.every_s)


def _needed(rules: Rules, one: Load, ahead: Floats, seen: Seen, target: float) -> int:
    """For the highest rate until a replica that is started now would be of use, and for what is there now."""
    by_rate = for_rate(float(ahead.max()) / rules.every_s, one, target)
    return max(by_rate, for_load(seen.outstanding + seen.held, one, target))


def _floor(rules: Rules, seen: Seen, busy_s: float, ahead: Floats) -> int:
    """Without a minimum the last replica stays while there is work, has been some lately, or is some expected."""
    quiet = seen.now_s - busy_s >= rules.idle_s and float(ahead.sum()) < 0.5
    return rules.least if rules.least or quiet else 1
