"""The answer's capacity in the twin: flooded with its own requests, as a run of the factory file does it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from tokenworks.plan.adjust import adjusted
from tokenworks.plan.build import Layout, grown
from tokenworks.plan.market import Market
from tokenworks.plan.trial import LIVES, TOLERANCE, Trial, margins_of, uncapped
from tokenworks.rehearsal.demand import sustainable_rate_s
from tokenworks.rehearsal.plant import plant

ATTEMPTS = 3
LONG = 16.0  # mean requests that the file's run lasts at least
Stop = Callable[[], bool]


def confirmed(market: Market, trial: Trial, name: str, stop: Stop = lambda: False) -> Trial:
    """The trial with the capacity that the twin sustains, rehearsed long enough for its file: filling the pools is then a
    small part of the run. Where headroom or an objective is missing, workers are added."""
    attempts = trial.attempts
    for _ in range(ATTEMPTS):
        trial = measured(market, trial)
        layouts = [_more(one, _growth(market, one)) for one in trial.layouts]
        enough = layouts == list(trial.layouts)
        again = adjusted(market, layouts, name, stop, LONG if enough else LIVES)
        if again is None:
            break
        trial, attempts = again, attempts + again.attempts
        if enough:
            break
    return replace(trial, attempts=attempts, confirmed=True)


def measured(market: Market, trial: Trial) -> Trial:
    """With each service's sustainable rate for its capacity, less the margin of a robust plan."""
    made = plant(uncapped(market, trial.layouts, trial.factory))
    layouts = []
    for i, one in enumerate(trial.layouts):
        load = next(w for w in trial.factory.workload if w.service == trial.factory.services[i].name)
        rate_s = sustainable_rate_s(made, i, load)
        layouts.append(replace(one, capacity_s=rate_s * margins_of(market, one).throughput))
    return replace(trial, layouts=tuple(layouts))


def _growth(market: Market, one: Layout) -> float:
    """By how much the workers must grow; 1: not at all."""
    use = one.rate_s / one.capacity_s / (1 - market.demand.headroom)
    return use if use > 1 + TOLERANCE else 1.0


def _more(one: Layout, factor: float) -> Layout:
    if factor <= 1:
        return one
    return grown(one, math.ceil(one.workers * factor), math.ceil(one.prefill_workers * factor))
