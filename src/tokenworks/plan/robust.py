"""Plans against the errors of the model: how wrong predictions like these were, by metric, and what holds in spite of it.

The intervals of the accuracy room say between which bounds log(measured / predicted) lay in 80% of held-out residuals. Here
an error is drawn from two half-normals around 0, one to each bound (10% lie beyond each). A robust plan counts on the
bounds at which every metric with an objective holds in 0.9^(1/m) of the draws, m of them: independently drawn, all hold in
90%.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import exp, log
from statistics import NormalDist

import numpy as np

from tokenworks.accuracy.certainty import OPEN, Evidence, evidence
from tokenworks.accuracy.experiments import DISAGGREGATED
from tokenworks.physics.deployment import Deployment
from tokenworks.plan.ask import Array
from tokenworks.plan.candidates import Space
from tokenworks.plan.sample import Asked

HOLDS = 0.9  # of the draws
Z80 = NormalDist().inv_cdf(0.9)  # the bounds of an 80% interval
DRAWS = 20_000


@dataclass(frozen=True)
class Errors:
    """Bounds of log(measured / predicted) of one kind of prediction, 10% of the residuals beyond each."""

    ttft: tuple[float, float]
    tpot: tuple[float, float]
    throughput: tuple[float, float]


@lru_cache(maxsize=4096)
def errors_of(deployments: tuple[Deployment, ...]) -> Errors:
    """Of a service that runs these deployments under an open load."""
    known: Evidence = evidence(deployments, [DISAGGREGATED if len(deployments) > 1 else OPEN])
    return Errors(*((log(low), log(high)) for low, high in map(known.factors, ("ttft", "tpot", "throughput"))))


def level(asked: Asked) -> float:
    """Share of the draws in which each metric must hold, so that all do in `HOLDS` of them."""
    ask = asked.ask
    metrics = 1 + sum(limit is not None for limit in (ask.ttft_s, ask.tpot_s)) + (ask.e2e_s is not None)
    return float(HOLDS ** (1 / metrics))


@dataclass(frozen=True)
class Margins:
    """Factors that a robust plan puts on predictions."""

    ttft: float = 1.0
    tpot: float = 1.0
    throughput: float = 1.0


def margins(errors: Errors, at: float) -> Margins:
    """At a one-sided level.

    >>> margins(Errors((-0.1, 0.2), (-0.1, 0.1), (-0.3, 0.1)), 0.9).throughput == exp(-0.3)
    True
    """
    scale = NormalDist().inv_cdf(at) / Z80
    return Margins(exp(errors.ttft[1] * scale), exp(errors.tpot[1] * scale), exp(errors.throughput[0] * scale))


def pessimistic(space: Space) -> Space:
    """The wide pass with every replica as slow as the margins say, by what was measured of its like."""
    at, wide = level(space.asked), space.wide
    found = [_margins(s.deployment, s.role, at) for s in space.shapes]
    ttft, tpot, rate = (
        np.array([getattr(m, name) for m in found])[wide.shape] for name in ("ttft", "tpot", "throughput")
    )
    slowed = replace(
        wide,
        ttft_s=wide.ttft_s * ttft,
        tpot_s=wide.tpot_s * tpot,
        requests_s=wide.requests_s * rate,
        output_tokens_s=wide.output_tokens_s * rate,
    )
    return replace(space, wide=slowed)


def _margins(deployment: Deployment, role: str, at: float) -> Margins:
    pair = (deployment,) if role == "serve" else (deployment, deployment)
    return margins(_like(pair), at)


_BY_KIND: dict[tuple[str, str, str, int], Errors] = {}


def _like(deployments: tuple[Deployment, ...]) -> Errors:
    """Evidence is by accelerator, model and engine: asked once for each."""
    d = deployments[0]
    if d.site is not None:
        return errors_of(deployments)
    key = (d.accelerator, d.model, d.engine, len(deployments))
    if key not in _BY_KIND:
        _BY_KIND[key] = errors_of(deployments)
    return _BY_KIND[key]


def held_share(errors: Errors, latencies: Sequence[tuple[str, float, float]], use: float, seed: int = 0) -> float:
    """Share of draws in which all hold: ``latencies`` are (metric, predicted, limit), ``use`` the share of the capacity
    that is needed."""
    rng = np.random.default_rng(seed)
    held = np.ones(DRAWS, bool)
    draws = {name: _drawn(getattr(errors, name), rng) for name in ("ttft", "tpot", "throughput")}
    for metric, predicted, limit in latencies:
        held &= predicted * np.exp(draws[metric]) <= limit
    return float((held & (use <= np.exp(draws["throughput"]))).mean())


def _drawn(bounds: tuple[float, float], rng: np.random.Generator) -> Array:
    normal = rng.standard_normal(DRAWS)
    return np.where(normal > 0, normal * max(0.0, bounds[1]), -normal * min(0.0, bounds[0])) / Z80
