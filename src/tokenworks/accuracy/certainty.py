"""How sure a figure of one's own factory is: 80% bands from tested errors of predictions like it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tokenworks.accuracy.experiments import DISAGGREGATED, SPECULATING
from tokenworks.accuracy.intervals import KNOWN, NEW_ACCELERATOR, NEW_GROUP, NEW_MODEL, NOVELTIES, interval, novelty
from tokenworks.events.results import Interval
from tokenworks.physics.deployment import Deployment, SiteTerms

CLOSED, OPEN, OFFLINE, STATIC = "closed", "open", "offline", "static"
_SAID = {
    KNOWN: "accelerator, model and engine were measured together",
    NEW_GROUP: "accelerator and model were measured, not together with this engine",
    NEW_MODEL: "the accelerator was measured, never with this model",
    NEW_ACCELERATOR: "no measurement of this accelerator exists here: its generation stands in",
}
_LOADS = {
    CLOSED: "closed loops",
    OPEN: "open loops",
    OFFLINE: "offline runs",
    STATIC: "static batches",
    DISAGGREGATED: "disaggregated deployments",
    SPECULATING: "deployments that speculate",
}
_METRICS = {"throughput": "throughput", "tpot": "TPOT", "ttft": "TTFT", "energy": "joules per token"}


@dataclass(frozen=True)
class Evidence:
    """What was measured that is like a figure: the least known kind of its deployments, kinds of load, and what a site
    calibration says where its owner measured every one of the deployments."""

    kind: str
    loads: tuple[str, ...]  # the interval covers what each of them showed
    sites: tuple[SiteTerms, ...] = ()

    def factors(self, metric: str) -> tuple[float, float]:
        """Ends of the 80% interval of a metric whose prediction is 1."""
        own = [(low, high) for site in self.sites for name, low, high in site.bounds if name == metric]
        if self.sites and len(own) == len(self.sites):
            return math.exp(min(low for low, _ in own)), math.exp(max(high for _, high in own))
        # Open loops print the rate back that they were offered: what a service sustains is known from closed ones.
        loads = [CLOSED if metric == "throughput" and load == OPEN else load for load in self.loads]
        ends = [interval(metric, load, self.kind, 1.0) for load in loads]
        return min(low for low, _ in ends), max(high for _, high in ends)

    def band(self, metric: str, value: float, inverse: bool = False) -> Interval:
        """The 80% interval of a figure that is proportional (or inverse) to the metric."""
        low, high = self.factors(metric)
        return Interval(value, value / high, value / low) if inverse else Interval(value, value * low, value * high)

    def sentence(self) -> str:
        """What the intervals mean, in plain words."""
        parts = []
        for metric, name in _METRICS.items():
            low, high = self.factors(metric)
            parts.append(f"{name} {low - 1:+.0%} to {high - 1:+.0%}".replace("-", "−"))
        return (
            "How sure: 80% is a range that held the truth in 8 of 10 published measurements like this, around the "
            f"prediction {', '.join(parts)} ({self._known()})."
        )

    def _known(self) -> str:
        if self.sites:
            said = " and ".join(dict.fromkeys(f"{s.points} points of {s.file}" for s in self.sites))
            return f"this very deployment was measured: {said}"
        return f"{' and '.join(_LOADS[load] for load in self.loads)}; {_SAID[self.kind]}"


def evidence(deployments: Sequence[Deployment], loads: Sequence[str]) -> Evidence:
    """What was measured like these deployments under these loads. Few open loops were measured, none near its limit:
    their interval also covers what closed loops showed."""
    kind = max((novelty(d) for d in deployments), key=NOVELTIES.index)
    wanted = {*loads, CLOSED} if OPEN in loads else set(loads)
    sites = tuple(d.site for d in deployments if d.site)
    return Evidence(
        kind, tuple(load for load in _LOADS if load in wanted), sites if len(sites) == len(deployments) else ()
    )
