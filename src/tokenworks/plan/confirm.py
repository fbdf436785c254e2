"""The answer's capacity in the twin: flooded with its own requests, as a run of the factory file does it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tokenworks.plan.adjust import adjusted, eased
from tokenworks.plan.build import Layout
from tokenworks.plan.market import Market
from tokenworks.plan.trial import LIVES, TOLERANCE, Trial, margins_of, uncapped
from tokenworks.rehearsal.demand import sustainable_rate_s
from tokenworks.rehearsal.plant import plant

ATTEMPTS = 3  # at more workers, or a lower rate
LONG = 16.0  # mean requests that the file's run lasts at least
Stop = Callable[[], bool]


def confirmed(market: Market, trial: Trial, name: str, stop: Stop = lambda: False, lives: float = LONG) -> Trial:
    """The trial with the capacity that the twin sustains, rehearsed for so many mean requests: by default long enough for its
    file, filling the pools is then a small part of the run. Where headroom or an objective is missing, workers are added (the
    rate of goodput is lowered); where the headroom is missing still, the trial misses it."""
    attempts, trial = trial.attempts, measured(market, trial)
    for attempt in range(ATTEMPTS + 1):
        growth = [_growth(market, one) for one in trial.layouts]
        layouts = [eased(market, one, by, by) for one, by in zip(trial.layouts, growth, strict=True)]
        enough = layouts == list(trial.layouts)
        if attempt == ATTEMPTS and not enough:
            break
        again = adjusted(market, layouts, name, stop, lives if enough else LIVES)
        if again is None:
            break
        trial, attempts = again, attempts + again.attempts
        if enough:
            break
        trial = measured(market, trial)
    return replace(_with_headroom(market, trial), attempts=attempts, confirmed=True)


def measured(market: Market, trial: Trial) -> Trial:
    """With each service's sustainable rate for its capacity, less the margin of a robust plan."""
    made = plant(uncapped(market, trial.layouts, trial.factory))
    layouts = []
    for i, one in enumerate(trial.layouts):
        load = next(w for w in trial.factory.workload if w.service == trial.factory.services[i].name)
        rate_s = sustainable_rate_s(made, i, load)
        layouts.append(replace(one, capacity_s=rate_s * margins_of(market, one).throughput))
    return replace(trial, layouts=tuple(layouts))


def _with_headroom(market: Market, trial: Trial) -> Trial:
    """The trial, and what it leaves too little free of among what it misses."""
    short = [one for one in trial.layouts if _growth(market, one) > 1]
    names = [f"{market.spaces[one.service].asked.service.name}: load of capacity" for one in short]
    allowed = 1 - market.demand.headroom
    more = tuple((name, one.rate_s / one.capacity_s, allowed) for name, one in zip(names, short, strict=True))
    return replace(trial, missed=trial.missed + more)


def _growth(market: Market, one: Layout) -> float:
    """By how much the workers must grow; 1: not at all."""
    use = one.rate_s / one.capacity_s / (1 - market.demand.headroom)
    return use if use > 1 + TOLERANCE else 1.0
