"""Where the seconds of a recorded schedule go, operator by operator, as the accelerator spends them."""

from __future__ import annotations

import numpy as np

from tokenworks.physics.operators import Array
from tokenworks.physics.schedule import Points, Schedule, host_seconds, parts_of, step_costs
from tokenworks.physics.step import Machine, core

PROMPTS, CACHE, HOST, THROTTLED = "attention, prompts", "attention, cache", "host", "power limit"


def operator_seconds(machine: Machine, schedule: Schedule) -> dict[str, float]:
    """Seconds of all steps by operator; they sum to those of the schedule.

    ``host`` is what the accelerator waits for its host, ``power limit`` what the board's limit adds to its operators.
    """
    points, speed = Points.of(schedule), machine.terms.speed
    found: dict[str, float] = {}
    device = np.zeros(len(schedule.steps))
    for part in parts_of(machine, points):
        weight = part.factor * schedule.steps / speed
        often = np.bincount(part.at, weights=weight, minlength=len(part.arguments))
        for name, cost in part.costs.items():
            found[name] = found.get(name, 0.0) + float(often @ cost.seconds)
            device += cost.seconds[part.at] * part.factor / speed
    for name, seconds in _cores(machine, schedule).items():
        found[name] = float(schedule.steps @ seconds)
        device += seconds
    return found | _waits(machine, schedule, points, device)


def _cores(machine: Machine, schedule: Schedule) -> dict[str, Array]:
    """Attention cores in one step of every segment."""
    rates, speed = core(machine), machine.terms.speed
    return {
        PROMPTS: schedule.pairs @ rates.pair.seconds / speed,
        CACHE: schedule.keys @ rates.key.seconds / speed,
    }


def _waits(machine: Machine, schedule: Schedule, points: Points, device: Array) -> dict[str, float]:
    """What a step takes beyond its operators, by why: lines 0 and 1 wait for the host, line 2 for the power limit."""
    seconds, _ = step_costs(machine, schedule, points)
    beyond = schedule.steps * (seconds - device)
    limited = schedule.line == 2
    before = schedule.steps * (0.0 if machine.deployment.async_scheduling else host_seconds(machine, schedule, points))
    host = np.where(limited, np.minimum(before, beyond), beyond)
    return {HOST: float(host.sum()), THROTTLED: float((beyond - host)[limited].sum())}
