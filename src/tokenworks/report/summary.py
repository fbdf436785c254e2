"""The small answer to "how was it?": a dataclass that shows itself as the terminal report."""

from __future__ import annotations

from dataclasses import dataclass, field

from tokenworks.events.results import Interval, RunResult
from tokenworks.rehearsal.objectives import missed
from tokenworks.report.terminal import render
from tokenworks.report.verdict import headroom, verdict


@dataclass(frozen=True, repr=False)
class Summary:
    """Headline figures of a run; intervals are 80%. Printed, it is the terminal report."""

    verdict: str
    sustains: bool
    within_objectives: bool
    headroom: float  # least share of a sustainable rate that is not used
    output_tokens_s: Interval
    tokens_s_user: Interval
    usd_per_mtok: Interval  # all cost over output tokens
    usd_per_mtok_blended: float  # all cost over input and output tokens
    tokens_per_usd: float
    tokens_per_j: Interval  # at the boards
    tokens_per_j_it: float
    tokens_per_j_facility: float
    mean_power_w: float  # in the scope of the budget
    stranded_w: float
    utilisation: float  # measured in the twin
    carbon_kg: float
    water_l: float
    report: str = field(compare=False)

    def __repr__(self) -> str:
        return self.report


def summary(result: RunResult) -> Summary:
    """The summary of a result."""
    same = {name: getattr(result, name) for name in Summary.__dataclass_fields__ if hasattr(result, name)}
    return Summary(
        **same,
        verdict=verdict(result),
        sustains=not result.overloaded,
        within_objectives=not (result.overloaded or any(missed(s) for s in result.services)),
        headroom=min((headroom(s, result.horizon_s) for s in result.services), default=0.0),
        usd_per_mtok_blended=result.money.usd_per_mtok_blended,
        tokens_per_usd=result.money.tokens_per_usd,
        report=render(result),
    )
