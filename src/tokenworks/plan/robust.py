"""Plans against the errors of the model: how wrong predictions like these were, by metric, and what holds in spite of it.

The intervals of the accuracy room say between which bounds log(measured / predicted) lay in 80% of left-out residuals. How the
errors of TTFT, TPOT and throughput come together is known from rows that print all three (`accuracy.joint`): each such row,
stretched to the bounds of a prediction, is a draw of its errors.

A robust plan counts on margins at which all metrics with an objective hold together in 94% of these draws: made of half of the
groups they then hold in 91 or 92% of the rows of the other half (means of 200 halves). There are many such
margins: a wider one for what is cheap to have leaves a narrower one for what is dear. `WAYS` are tried and the cheapest
plan is taken. At the margin of throughput, 5% of the capacity stay free, not the whole headroom: that is a reserve for what
is not known, and the model's error is part of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import exp, log

import numpy as np

from tokenworks.accuracy.certainty import OPEN, Evidence, evidence
from tokenworks.accuracy.experiments import DISAGGREGATED, SPECULATING
from tokenworks.accuracy.joint import METRICS, joint_errors
from tokenworks.physics.deployment import Deployment
from tokenworks.plan.ask import Array
from tokenworks.plan.candidates import Space
from tokenworks.plan.sample import Asked

HOLDS = 0.94  # of the rows that margins are made of, so that 90% hold in groups that they have not seen (docs/plan.md)
WAYS = (
    (3.0, 1.0, 1.0),
    (3.0, 3.0, 1.0),
    (3.0, 1.0, 3.0),
)  # how wide, by metric; TTFT is known least, its margin never narrow
SPARE = 0.05  # of the capacity, at the margin of throughput: a replica nearer to its limit has no steady latency
ADVERSE = np.array([1.0, 1.0, -1.0])  # longer is worse, slower is worse


@dataclass(frozen=True)
class Errors:
    """Bounds of log(measured / predicted) of one kind of prediction, 10% of the residuals beyond each."""

    ttft: tuple[float, float]
    tpot: tuple[float, float]
    throughput: tuple[float, float]


@lru_cache(maxsize=4096)
def errors_of(deployments: tuple[Deployment, ...]) -> Errors:
    """Of a service that runs these deployments under an open load."""
    speculates = SPECULATING if deployments[0].draft_tokens else OPEN
    known: Evidence = evidence(deployments, [DISAGGREGATED if len(deployments) > 1 else speculates])
    return Errors(*((log(low), log(high)) for low, high in map(known.factors, ("ttft", "tpot", "throughput"))))


Levels = tuple[float, float, float]  # of TTFT, TPOT and throughput, in bounds


@lru_cache(maxsize=64)
def levels(metrics: tuple[str, ...], way: int) -> Levels:
    """In bounds, how far each metric may go wrong so that all of ``metrics`` hold in `HOLDS` of the draws."""
    used = [METRICS.index(name) for name in metrics]
    wide = np.array(WAYS[way])
    worst = (joint_errors() * ADVERSE / wide)[:, used].max(axis=1)
    scale = max(0.0, float(np.sort(worst)[int(np.ceil(HOLDS * len(worst))) - 1]))
    ttft, tpot, throughput = (scale * wide).tolist()
    return ttft, tpot, throughput


def levels_of(asked: Asked, way: int) -> Levels:
    """For the objectives of a service."""
    ask = asked.ask
    whole = ask.e2e_s is not None
    names = {"ttft": ask.ttft_s is not None or whole, "tpot": ask.tpot_s is not None or whole, "throughput": True}
    return levels(tuple(name for name, there in names.items() if there), way)


@dataclass(frozen=True)
class Margins:
    """Factors that a robust plan puts on predictions."""

    ttft: float = 1.0
    tpot: float = 1.0
    throughput: float = 1.0  # before the headroom is taken off


def margins(errors: Errors, at: Levels, headroom: float) -> Margins:
    """At levels of the metrics. Of throughput that share that leaves the headroom as predicted, and `SPARE` at its margin.

    >>> m = margins(Errors((-0.1, 0.2), (-0.1, 0.1), (-0.3, 0.1)), (1.0, 1.0, 1.0), 0.15)
    >>> m.ttft == exp(0.2), m.throughput * 0.85 == exp(-0.3) * 0.95
    (True, True)
    """
    slow = exp(errors.throughput[0] * at[2])
    counted = min(1.0, slow * (1 - SPARE) / (1 - headroom))
    return Margins(exp(errors.ttft[1] * at[0]), exp(errors.tpot[1] * at[1]), counted)


def most_capacity(deployments: tuple[Deployment, ...], metrics: tuple[str, ...], headroom: float) -> float:
    """Share of what a replica is predicted to do that a robust plan counts on, under the way that takes off least."""
    of = errors_of(deployments)
    return max(margins(of, levels(metrics, way), headroom).throughput for way in range(len(WAYS)))


def forget() -> None:
    """What was read of the errors is read again."""
    for known in (errors_of, levels):
        known.cache_clear()
    _BY_KIND.clear()


def pessimistic(space: Space, way: int, headroom: float) -> Space:
    """The wide pass with every replica as slow as the margins say, by what was measured of its like."""
    at, wide = levels_of(space.asked, way), space.wide
    found = [_margins(s.deployment, s.role, at, headroom) for s in space.shapes]
    ttft, tpot, rate = (
        np.array([getattr(m, name) for m in found])[wide.shape] for name in ("ttft", "tpot", "throughput")
    )
    slowed = replace(
        wide,
        ttft_s=wide.ttft_s * ttft,
        tpot_s=wide.tpot_s * tpot,
        near_tpot_s=wide.near_tpot_s * tpot,
        requests_s=wide.requests_s * rate,
        output_tokens_s=wide.output_tokens_s * rate,
    )
    return replace(space, wide=slowed)


def _margins(deployment: Deployment, role: str, at: Levels, headroom: float) -> Margins:
    pair = (deployment,) if role == "serve" else (deployment, deployment)
    return margins(_like(pair), at, headroom)


_BY_KIND: dict[tuple[object, ...], Errors] = {}


def _like(deployments: tuple[Deployment, ...]) -> Errors:
    """Evidence is by accelerator, model and engine: asked once for each."""
    d = deployments[0]
    if d.site is not None:
        return errors_of(deployments)
    key = (d.accelerator, d.model, d.engine, d.draft_tokens > 0, len(deployments))
    if key not in _BY_KIND:
        _BY_KIND[key] = errors_of(deployments)
    return _BY_KIND[key]


def held_share(errors: Errors, latencies: Sequence[tuple[str, float, float]], use: float) -> float:
    """Share of draws in which all hold: ``latencies`` are (metric, predicted, limit), ``use`` the share of the capacity
    that is needed."""
    drawn = _drawn(errors)
    held = use <= np.exp(drawn["throughput"])
    for metric, predicted, limit in latencies:
        held &= predicted * np.exp(drawn[metric]) <= limit * (1 + 1e-9)
    return float(held.mean())


def _drawn(errors: Errors) -> dict[str, Array]:
    """Errors of every metric, a joint draw each."""
    found = {}
    for name, column in zip(METRICS, joint_errors().T, strict=True):
        low, high = getattr(errors, name)
        found[name] = np.where(column > 0, column * max(0.0, high), -column * min(0.0, low))
    return found
