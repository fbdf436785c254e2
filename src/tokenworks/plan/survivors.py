"""The wide pass of those shapes alone that may win: the others' bounds say that they cannot (`plan.bounds`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from tokenworks.plan.ask import Ask
from tokenworks.plan.bounds import Limits, limits
from tokenworks.plan.machines import Machines
from tokenworks.plan.shapes import Shape
from tokenworks.plan.wide import Wide, wide
from tokenworks.plan.wide.traffic import Traffics


def survivors(
    shapes: Sequence[Shape], ask: Ask, usd_h: Sequence[float], slack: float = 0.0
) -> tuple[list[int], Wide | None]:
    """(numbers of the shapes that were priced, their wide pass): all but those whose bound says that no batch of theirs
    keeps the objectives at less than (1 + slack) times the dollars per request of the best one known.

    usd_h: of each shape's replica. Means are held against the objectives. Only shapes that serve alone are compared; prefill
    and decode shapes are kept. The best configuration is always among those priced.
    """
    machines, asked = Machines(), Traffics(ask)
    floor = np.array([_floor(_limits(s, machines, asked), ask) for s in shapes])
    usd_s = np.asarray(usd_h) / 3600.0
    least = np.where([s.role == "serve" for s in shapes], usd_s / np.maximum(floor, 1e-300), 0.0)
    best, kept = np.inf, list[int]()
    parts: list[Wide] = []
    order = [int(i) for i in np.argsort(least, kind="stable") if floor[i] > 0]
    for chunk in _chunks(order):
        chosen = [i for i in chunk if least[i] <= best * (1.0 + slack)]
        if not chosen:
            break
        found = wide([shapes[i] for i in chosen], ask, machines)
        serving = np.array([shapes[i].role == "serve" for i in chosen])[found.shape]
        price = usd_s[np.array(chosen)[found.shape]] / found.requests_s
        fits = serving & keeps(found, ask)
        best = min(best, float(price[fits].min(initial=np.inf)))
        parts.append(_renumbered(found, len(kept)))
        kept += chosen
    return kept, _together(parts)


def keeps(found: Wide, ask: Ask) -> NDArray[np.bool_]:
    """Rows whose mean latencies keep the objectives."""
    output = float(np.mean(ask.output_tokens))
    limit = [np.inf if x is None else x for x in (ask.ttft_s, ask.tpot_s, ask.e2e_s)]
    whole = found.ttft_s + found.tpot_s * (output - 1.0)
    return np.asarray((found.ttft_s <= limit[0]) & (found.tpot_s <= limit[1]) & (whole <= limit[2]))


def _limits(shape: Shape, machines: Machines, asked: Traffics) -> Limits:
    machine = machines.of(shape.deployment)
    return limits(shape, machine, asked.of(machine))


def _floor(of: Limits, ask: Ask) -> float:
    """The most requests per second that the shape may reach within the objectives; 0: none."""
    if ask.ttft_s is not None and of.ttft_s > ask.ttft_s:
        return 0.0
    allowed = of.tpot_s <= (np.inf if ask.tpot_s is None else ask.tpot_s)
    return float(of.requests_s[allowed].max(initial=0.0))


def _chunks(order: list[int], size: int = 64) -> list[list[int]]:
    """Few at first, so that a good one is known early."""
    edges = [0, 8, *range(size, len(order) + size, size)]
    return [order[a:b] for a, b in pairwise(edges) if order[a:b]]


def _renumbered(found: Wide, start: int) -> Wide:
    return replace(found, shape=found.shape + start)


def _together(parts: Sequence[Wide]) -> Wide | None:
    if not parts:
        return None
    return Wide(**{n: np.concatenate([getattr(p, n) for p in parts]) for n in Wide.__dataclass_fields__})
