"""Agents as a workload: which one, how many runs, and how fast answers are thought to come."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

from tokenworks.spec.part import Part
from tokenworks.spec.quantities import Pause

RECORDED = "coding-sessions"  # in place of an agent of the catalogue: the recorded sessions, one after the other
PER_S = {
    "second": 1.0,
    "s": 1.0,
    "minute": 60.0,
    "min": 60.0,
    "hour": 3600.0,
    "h": 3600.0,
    "day": 86_400.0,
    "d": 86_400.0,
}
MOST_RUNS_S = 1e4
LEAST_RUNS_S = 1e-6  # a run in eleven days
EXAMPLE = "2 per minute"


def parse_runs(text: Any) -> Any:
    """Runs per second from "2 per minute". Raises ValueError."""
    match = re.fullmatch(r"\s*(\d+\.?\d*|\.\d+)\s*(?:per\s+|/\s*)(\w+)\s*", text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"{text!r} is no rate of runs; write for example {EXAMPLE!r}")
    if match.group(2) not in PER_S:
        raise ValueError(f"unknown unit {match.group(2)!r} in {text!r}; known are {', '.join(PER_S)}")
    return _bounded(float(match.group(1)) / PER_S[match.group(2)], text)


def _bounded(runs_s: float, text: Any) -> float:
    if not LEAST_RUNS_S <= runs_s <= MOST_RUNS_S:
        raise ValueError(f"{text!r} is out of bounds: from one run in eleven days to {MOST_RUNS_S:,.0f} per second")
    return runs_s


def runs_text(runs_s: float) -> str:
    """
    >>> runs_text(1 / 30), runs_text(0.5), runs_text(5 / 3600)
    ('2 per minute', '30 per minute', '5 per hour')
    """
    unit = "minute" if runs_s * 60 >= 1 else "hour"
    return f"{runs_s * PER_S[unit]:.12g} per {unit}"


Runs = Annotated[
    float,
    BeforeValidator(parse_runs),
    PlainSerializer(runs_text, return_type=str),
    WithJsonSchema({"type": "string", "examples": [EXAMPLE]}),
]


class Answers(Part):
    """How fast answers are thought to come: when the next call of a run is sent."""

    ttft_s: Pause = Field(1.0, alias="ttft", description="time to the first token")
    tpot_s: Pause = Field(0.02, alias="tpot", description="time per token after it")
