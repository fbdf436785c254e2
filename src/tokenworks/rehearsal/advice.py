"""What would help most: likely changes, each played in the twin on a window of the same requests, the best first.

All are given the requests of the run, also where the file scales them to what the factory sustains: a change must not
bring its own demand. Effects are against the unchanged factory on the same window.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice

import numpy as np

from tokenworks.errors import InputError
from tokenworks.events.requests import Requests
from tokenworks.events.results import RunResult, WhatIf
from tokenworks.rehearsal.changes import Change, changes, strain, use
from tokenworks.rehearsal.demand import sustainable_rate_s
from tokenworks.rehearsal.objectives import missed
from tokenworks.rehearsal.plant import Plant, plant, ticks
from tokenworks.rehearsal.play import Stop, clients, outcome, play
from tokenworks.rehearsal.run import Rehearsal
from tokenworks.rehearsal.what_if import effects
from tokenworks.workload.generate import generate, merge
from tokenworks.workload.streams import chosen

TRIAL_REQUESTS = 50_000  # of a window: what a trial costs is bounded, and does not depend on the machine
TRIALS, KEPT = 7, 3
NOTHING = 0.005  # a change of less in every figure is none


def advise(done: Rehearsal, progress: Callable[[str], None] = lambda _: None, stop: Stop = lambda: False) -> RunResult:
    """The result with its advice, and a note on how it was found or why not. Once ``stop`` says so, no more is tried."""
    result, made = done.result, done.made
    reason = _reason(done)
    if reason:
        return replace(result, advice_note=f"No change was tried: {reason}.")
    window_s = _window_s(done)
    same = _within(done.requests, window_s)
    base = _play(made, same, list(done.sustainable_s), window_s, stop)
    if base is None:
        return replace(result, advice_note="No change was tried: asked to stop.")
    found: list[tuple[Change, RunResult]] = []
    for change in islice(changes(made, result), TRIALS):
        if stop():
            break
        progress(f"trying changes, {len(found)} of {TRIALS}")
        requests = _demand(done, change.load, window_s) if change.load else same
        found += [(change, other) for other in _tried(change, done, requests, window_s, stop)]
    kept = [_what_if(change.label, base, other) for change, other in sorted(found, key=lambda pair: _rank(base, *pair))]
    moved = tuple(w for w in kept if max(abs(change) for _, change in w.effects) >= NOTHING)
    return replace(result, advice=moved[:KEPT], advice_note=_note(result, base, len(found), window_s))


def _window_s(done: Rehearsal) -> float:
    """The first part of the run: so many requests at most, and no more than are at hand."""
    arrived = max(1, sum(s.arrived for s in done.result.services))
    whole = len(done.requests) >= arrived
    held_s = done.result.horizon_s if whole else float(done.requests.arrival[-1]) / ticks(1.0)
    return min(held_s, done.result.horizon_s * min(1.0, TRIAL_REQUESTS / arrived))


def _reason(done: Rehearsal) -> str:
    """Why there is nothing to try."""
    if done.result.interrupted:
        return "the run was cut short"
    if clients(done.made):
        return "a closed loop brings its own demand"
    return ""


def worth(base: RunResult, other: RunResult) -> tuple[float, ...]:
    """Less is better: by how much services are overloaded, then objectives missed, then dollars per token, then how
    near the nearest limit is, then how much of the sustainable rates is used."""
    rates = [use(s, other.horizon_s) for s in other.services]
    strains = [strain(s, other.horizon_s) for s in other.services]
    over, late = (sum(max(0.0, x - 1) for x in values) for values in (rates, strains))
    price = other.usd_per_mtok.value / base.usd_per_mtok.value
    return round(over, 2), round(late, 2), round(price, 2), round(max(strains), 1), round(sum(rates), 2)


def _rank(base: RunResult, change: Change, other: RunResult) -> tuple[float, ...]:
    """As `worth`, but who asks for help wants to serve the load: less of it comes after what serves it as well."""
    over, late, *rest = worth(base, other)
    return over, late, float(any(factor < 1 for factor in change.load)), *rest


def _what_if(label: str, base: RunResult, other: RunResult) -> WhatIf:
    return WhatIf(label, effects(base, other), tuple(_broken(other)), worth(base, other) < worth(base, base))


def _broken(result: RunResult) -> Iterator[str]:
    """What a factory does not do."""
    for s in result.services:
        if s.saturated:
            yield f"{s.name} is overloaded"
        elif missed(s):
            yield f"{s.name} misses {' and '.join(missed(s))}"


def _tried(change: Change, done: Rehearsal, requests: Requests, window_s: float, stop: Stop) -> Iterator[RunResult]:
    """The outcome of a change; none where the model does not fit, the chip cannot do it or ``stop`` says so."""
    sustainable = list(done.sustainable_s)
    try:
        made = plant(change.factory)
        for i, replicas in enumerate(made.replicas):
            if replicas.groups != done.made.replicas[i].groups:
                load = next(w for w in change.factory.workload if w.service == replicas.service.name)
                sustainable[i] = sustainable_rate_s(made, i, load)
        played = _play(made, requests, sustainable, window_s, stop)
    except InputError:
        return
    if played is not None:
        yield played


def _play(made: Plant, requests: Requests, sustainable: list[float], window_s: float, stop: Stop) -> RunResult | None:
    """A play of the window alone; half of it at most is warm-up. None where it was cut short."""
    run = made.factory.run
    warmup_s = min(run.warmup_s, window_s / 2)
    short = run.model_copy(update={"horizon_s": window_s, "given_warmup_s": warmup_s, "record_requests": False})
    there = replace(made, factory=made.factory.model_copy(update={"run": short}))
    twin = play(there, requests, stop)
    return None if stop() else outcome(there, twin, requests, sustainable, [])


def _within(requests: Requests, window_s: float) -> Requests:
    return chosen(requests, np.flatnonzero(requests.arrival < ticks(window_s)))


def _demand(done: Rehearsal, factors: tuple[float, ...], window_s: float) -> Requests:
    """The workload with each service's rate changed; services with several sources divide it evenly."""
    factory, horizon_s = done.made.factory, done.result.horizon_s
    streams = []
    for i, load in enumerate(factory.workload):
        service = next(k for k, s in enumerate(factory.services) if s.name == load.service)
        sources = sum(w.service == load.service for w in factory.workload)
        rate_s = done.result.services[service].arrived / horizon_s / sources * factors[service]
        streams.append(generate(load, service, rate_s, window_s, factory.run.seed, i))
    return merge(streams)


def _note(result: RunResult, base: RunResult, tried: int, window_s: float) -> str:
    """How it was tried, and how far the window is from the whole run."""
    pairs = [(base.usd_per_mtok.value, result.usd_per_mtok.value)]
    pairs += [
        (a.tpot.p95_s, b.tpot.p95_s)
        for a, b in zip(base.services, result.services, strict=True)
        if not (a.saturated or b.saturated)
    ]
    off = max((abs(a / b - 1) for a, b in pairs if b > 0 and a > 0), default=0.0)
    if result.overloaded:
        differs = "; overloaded, the unchanged factory has no steady state to compare with."
    else:
        differs = f"; $/Mtok and TPOT p95 there are within {off:.0%} of the whole run's." if off >= NOTHING else "."
    return f"{tried} changes tried in the twin on the first {window_s:,.0f} s of the same requests{differs}"
