"""How sure a run's figures are: 80% bands from tested errors of predictions like these."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tokenworks.accuracy.intervals import KNOWN, NEW_ACCELERATOR, NEW_MODEL, interval, novelty
from tokenworks.events.results import Interval
from tokenworks.physics.deployment import Deployment

MODE = "closed"  # a running service is nearest to a closed loop: batches that form under load
_ORDER = (KNOWN, NEW_MODEL, NEW_ACCELERATOR)
_SAID = {
    KNOWN: "accelerator, model and engine were measured together",
    NEW_MODEL: "the accelerator was measured, not with this model and engine",
    NEW_ACCELERATOR: "no measurement of this accelerator exists here: its generation stands in",
}


def kind_of(deployments: Sequence[Deployment]) -> str:
    """The least known kind among the deployments."""
    return max((novelty(d) for d in deployments), key=_ORDER.index)


def bounds(metric: str, deployments: Sequence[Deployment]) -> tuple[float, float]:
    """The 80% interval of measured / predicted: the site's where it measured this metric of all deployments (the widest
    of them), else that of the least known kind."""
    own = [b[1:] for d in deployments if d.site for b in d.site.bounds if b[0] == metric]
    if len(own) == len(deployments):
        return math.exp(min(low for low, _ in own)), math.exp(max(high for _, high in own))
    return interval(metric, MODE, kind_of(deployments), 1.0)


def band(metric: str, deployments: Sequence[Deployment], value: float, inverse: bool = False) -> Interval:
    """The 80% interval of a figure that is proportional (or inverse) to the metric."""
    low, high = bounds(metric, deployments)
    return Interval(value, value / high, value / low) if inverse else Interval(value, value * low, value * high)


def sentence(deployments: Sequence[Deployment]) -> str:
    """What the intervals mean, in plain words."""
    parts = []
    for metric, name in (
        ("throughput", "throughput"),
        ("tpot", "TPOT"),
        ("ttft", "TTFT"),
        ("energy", "joules per token"),
    ):
        low, high = bounds(metric, deployments)
        parts.append(f"{name} {low - 1:+.0%} to {high - 1:+.0%}")
    return (
        f"How sure: in 8 of 10 published measurements of this kind ({_known(deployments)}) the truth lay within "
        f"{', '.join(parts)} of the prediction."
    )


def _known(deployments: Sequence[Deployment]) -> str:
    measured_here = all(d.site for d in deployments)
    return "this very deployment was measured by its owner" if measured_here else _SAID[kind_of(deployments)]
