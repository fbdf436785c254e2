"""How sure a run's figures are: 80% bands from tested errors of predictions like these."""

from __future__ import annotations

from collections.abc import Sequence

from tokenworks.accuracy.intervals import KNOWN, NEW_ACCELERATOR, NEW_GROUP, NEW_MODEL, NOVELTIES, interval, novelty
from tokenworks.events.results import Interval
from tokenworks.physics.deployment import Deployment

MODE = "closed"  # a running service is nearest to a closed loop: batches that form under load
_SAID = {
    KNOWN: "accelerator, model and engine were measured together",
    NEW_GROUP: "accelerator and model were measured, not together with this engine",
    NEW_MODEL: "the accelerator was measured, never with this model",
    NEW_ACCELERATOR: "no measurement of this accelerator exists here: its generation stands in",
}


def kind_of(deployments: Sequence[Deployment]) -> str:
    """The least known kind among the deployments."""
    return max((novelty(d) for d in deployments), key=NOVELTIES.index)


def band(metric: str, deployments: Sequence[Deployment], value: float, inverse: bool = False) -> Interval:
    """The 80% interval of a figure that is proportional (or inverse) to the metric."""
    low, high = interval(metric, MODE, kind_of(deployments), 1.0)
    return Interval(value, value / high, value / low) if inverse else Interval(value, value * low, value * high)


def sentence(deployments: Sequence[Deployment]) -> str:
    """What the intervals mean, in plain words."""
    kind = kind_of(deployments)
    parts = []
    for metric, name in (
        ("throughput", "throughput"),
        ("tpot", "TPOT"),
        ("ttft", "TTFT"),
        ("energy", "joules per token"),
    ):
        low, high = interval(metric, MODE, kind, 1.0)
        parts.append(f"{name} {low - 1:+.0%} to {high - 1:+.0%}")
    return (
        f"How sure: in 8 of 10 published measurements of this kind ({_SAID[kind]}) the truth lay within "
        f"{', '.join(parts)} of the prediction."
    )
