"""Residuals of every row with what may explain them: its inputs, how it was rehearsed, where its seconds went."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from tokenworks.accuracy.breakdown import Breakdown, breakdown, memory_pressure
from tokenworks.accuracy.intervals import novelty
from tokenworks.accuracy.rows import Measurement, Targets
from tokenworks.accuracy.tables import METRICS, pairs
from tokenworks.accuracy.validate import Answer, Rehearsed, fenced, of_each
from tokenworks.accuracy.validate import answer as answer_row
from tokenworks.physics.deployment import Deployment
from tokenworks.physics.terms import attributes
from tokenworks.twin.spread import Crew


@dataclass(frozen=True)
class Setting:
    """How a row was rehearsed."""

    mode: str  # offline, closed, open, static
    novelty: str
    harness: str  # "" = none that is known
    era: str  # of the engine: version or month, "unknown"
    quarter: str
    kind: str  # of the model: dense, moe, mla
    family: str  # of the engine
    deployment: Deployment
    replicas: float
    memory_pressure: float
    work: Breakdown


@dataclass(frozen=True)
class Residual:
    """One row: what was measured, what was predicted, and how; no setting where it could not be rehearsed."""

    number: int  # of the row in its table, from 0
    measured: Measurement
    answer: Answer
    setting: Setting | None

    def logs(self) -> dict[str, float]:
        """ln(predicted / measured) of every metric that has both; above 0 the prediction is too high."""
        both = pairs(self.measured, self.answer)
        return {name: math.log(p / t) for name, (p, t) in both.items() if p > 0}


def setting_of(done: Rehearsed) -> Setting:
    """The setting of a recorded rehearsal."""
    found = done.experiment
    names, work = attributes(found.deployment, found.harness), breakdown(done)
    return Setting(
        mode=found.mode,
        novelty=novelty(found.deployment),
        harness=found.harness,
        era=names["era"],
        quarter=names["quarter"],
        kind=names["kind"],
        family=names["engine"],
        deployment=found.deployment,
        replicas=found.replicas,
        memory_pressure=memory_pressure(found, done.terms, work.sequences),
        work=work,
    )


def _looked_at(measured: Measurement) -> tuple[Answer, Setting | None]:
    seen: list[Setting] = []
    answer = fenced(measured, partial(answer_row, look=lambda done: seen.append(setting_of(done))))
    return answer, seen[0] if seen and answer.rate else None


def residuals(
    measured: Sequence[Measurement], processes: int, say: Callable[[str], None], ray: bool = False
) -> list[Residual]:
    """Residuals in the order of the rows; the answers are those of `validate`."""
    found = of_each(_looked_at, measured, Crew(processes, ray), say)
    return [Residual(i, m, *one) for i, (m, one) in enumerate(zip(measured, found, strict=True))]


def printed(targets: Targets) -> dict[str, float | None]:
    """What was measured, by metric; joules of the board alone."""
    t = targets
    joules = t.joules_per_output_token if t.power_scope == "per-GPU board" else None
    values = (t.output_tokens_s_gpu, t.tpot_ms_mean, t.tpot_ms_median, t.ttft_ms_mean, t.ttft_ms_median, joules)
    return {name: v or None for name, v in zip(METRICS, values, strict=True)}


def predicted(answer: Answer) -> dict[str, float | None]:
    """What was predicted, by metric."""
    a = answer
    values = (a.rate and a.rate[0], a.tpot_mean, a.tpot_median, a.ttft_mean, a.ttft_median, a.joules and a.joules[0])
    return dict(zip(METRICS, values, strict=True))


def bounds(answer: Answer) -> dict[str, tuple[float, float]]:
    """80% intervals, of the metrics that have one."""
    a = answer
    found = {"throughput": a.rate and a.rate[1:], "tpot mean": a.tpot_band, "ttft mean": a.ttft_band}
    return {name: band for name, band in (found | {"energy": a.joules and a.joules[1:]}).items() if band}


def inside(residual: Residual) -> dict[str, bool]:
    """Whether the measured value lies in the interval, of the metrics that have both."""
    truth = printed(residual.measured.targets)
    found = {name: (truth[name], band) for name, band in bounds(residual.answer).items()}
    return {name: low <= value <= high for name, (value, (low, high)) in found.items() if value}
