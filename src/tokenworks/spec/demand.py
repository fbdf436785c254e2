"""Workloads: who asks which service for what when."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, PositiveInt, WithJsonSchema, model_validator

from tokenworks.spec.part import Part
from tokenworks.spec.quantities import Seconds, Share

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
COUNTED = ("closed-loop", "static", "offline")  # kinds of arrivals with a number of requests instead of a rate
DAILY = ("diurnal", "weekly")


class Arrivals(Part):
    """An arrival process."""

    kind: Literal["poisson", "gamma", "weibull", "mmpp", "diurnal", "weekly", "closed-loop", "static", "offline"] = (
        Field(description="mmpp: bursts of a busy state; diurnal: a day's swing; closed-loop: callers that wait")
    )
    rate_s: Annotated[float, Field(gt=0)] | None = Field(None, alias="rate", description="requests per second, mean")
    cv: Annotated[float, Field(gt=0, le=100)] = Field(1.0, description="of the gaps, for gamma and weibull")
    peak_to_mean: Annotated[float, Field(ge=1)] = Field(
        2.0, description="for mmpp, diurnal (most 2) and weekly (most 2)"
    )
    dwell_s: Annotated[Seconds, Field(gt=0)] = Field(30.0, alias="dwell", description="mean time in a state of mmpp")
    weekend: Annotated[Share, Field(le=1)] = Field(0.5, description="rate of weekend days over weekdays, for weekly")
    first_day: Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"] = Field(
        "monday", description="day on which the run begins, for weekly"
    )
    clients: PositiveInt | None = Field(None, description="callers of a closed loop")
    requests: PositiveInt | None = Field(None, description="of closed-loop (none: 10 a client), static and offline")
    think_s: Seconds = Field(0.0, alias="think", description="mean pause of a closed-loop caller, exponential")

    @property
    def days(self) -> tuple[float, ...]:
        """Relative rates of seven days from the first one."""
        week = [self.weekend if day in WEEKDAYS[5:] else 1.0 for day in WEEKDAYS]
        first = WEEKDAYS.index(self.first_day)
        return (*week[first:], *week[:first])

    @model_validator(mode="after")
    def _complete(self) -> Arrivals:
        if self.kind == "closed-loop" and not self.clients:
            raise ValueError("a closed loop needs clients")
        if self.kind in ("static", "offline") and not self.requests:
            raise ValueError(f"{self.kind} needs requests")
        if self.kind in DAILY and self.peak_to_mean > 2:
            raise ValueError(f"{self.kind} swings between 0 and twice the mean: peak_to_mean is at most 2")
        return self


class Lengths(Part):
    """Token lengths of prompts or answers."""

    kind: Literal["fixed", "uniform", "lognormal", "empirical"] = Field("fixed", description="distribution")
    mean: Annotated[float, Field(ge=1, le=1e8)] = Field(1024.0, description="of fixed and lognormal")
    low: PositiveInt | None = Field(None, description="smallest length of uniform")
    high: PositiveInt | None = Field(None, description="largest length of uniform")
    sigma: Annotated[float, Field(gt=0, le=10)] = Field(1.0, description="of the logarithm, for lognormal")
    values: tuple[Annotated[int, Field(ge=1, le=10**8)], ...] = Field((), description="lengths of empirical")
    weights: tuple[Annotated[float, Field(ge=0)], ...] = Field((), description="how often each value; empty: equally")
    trace: str | None = Field(None, description="trace or file whose lengths empirical draws; pairs stay together")

    @model_validator(mode="after")
    def _complete(self) -> Lengths:
        if self.kind == "uniform" and (self.low is None or self.high is None or self.low > self.high):
            raise ValueError("uniform needs low and high, low not above high")
        if self.kind != "uniform" and (self.low or self.high):
            raise ValueError(f"low and high belong to uniform, not to {self.kind}")
        if (self.kind == "empirical") != bool(self.values or self.trace) or (self.values and self.trace):
            raise ValueError("empirical lengths, and no others, come from values or from a trace")
        if self.weights and (len(self.weights) != len(self.values) or not sum(self.weights)):
            raise ValueError(f"{len(self.values)} values need as many weights, not all of them 0")
        return self


class Sessions(Part):
    """Conversations: every turn sends the whole context again, so that prefix caches have something to keep."""

    turns: Annotated[float, Field(ge=1, le=1000)] = Field(4.0, description="mean number of turns, geometric")
    gap_s: Seconds = Field(60.0, alias="gap", description="mean from one turn to the next, exponential")
    system_prompt: Annotated[int, Field(ge=0)] = Field(0, description="tokens that stand before every conversation")
    prompts: PositiveInt = Field(1, description="different system prompts, equally often")
    max_context: PositiveInt = Field(32_768, description="tokens; a longer conversation begins anew")
    block: PositiveInt = Field(64, description="tokens that one prefix hash covers; a multiple of the engine's block")

    @model_validator(mode="after")
    def _room(self) -> Sessions:
        if self.system_prompt >= self.max_context:
            raise ValueError(f"a system prompt of {self.system_prompt} tokens leaves no room in {self.max_context}")
        if self.block > self.max_context:
            raise ValueError(f"a block of {self.block} tokens is larger than the context of {self.max_context}")
        return self


class Scale(Part):
    """How a rate is set: "70% of sustainable", "2x" or "12 req/s"."""

    kind: Literal["sustainable", "factor", "rate"] = Field(description="of what the value is a multiple")
    value: Annotated[float, Field(gt=0)] = Field(description="share, factor or requests per second")


def parse_scale(text: Any) -> Any:
    """A Scale from its short text."""
    if isinstance(text, int | float) and not isinstance(text, bool):
        return {"kind": "factor", "value": float(text)}
    if not isinstance(text, str):
        return text
    for pattern, kind, factor in (
        (r"(\d+\.?\d*|\.\d+)\s*% of sustainable", "sustainable", 0.01),
        (r"(\d+\.?\d*|\.\d+)\s*x", "factor", 1.0),
        (r"(\d+\.?\d*|\.\d+)\s*req/s", "rate", 1.0),
    ):
        match = re.fullmatch(pattern, text.strip())
        if match:
            return {"kind": kind, "value": float(match.group(1)) * factor}
    raise ValueError(f'{text!r} is not a scale; write "70% of sustainable", "2x" or "12 req/s"')


def scale_text(scale: Scale) -> str:
    """The short text of a Scale."""
    if scale.kind == "sustainable":
        return f"{scale.value * 100:.12g}% of sustainable"
    return f"{scale.value:.12f}".rstrip("0").rstrip(".") + ("x" if scale.kind == "factor" else " req/s")


Scaled = Annotated[
    Scale,
    BeforeValidator(parse_scale),
    PlainSerializer(scale_text, return_type=str),
    WithJsonSchema({"type": ["string", "number"], "examples": ["70% of sustainable", "2x", "12 req/s"]}),
]


class Workload(Part):
    """A stream of requests for one service."""

    service: str = Field(description="who is asked")
    trace: str | None = Field(
        None, description="shipped trace or a file: .csv (Azure, BurstGPT, plain), .jsonl, .parquet"
    )
    mix: str | None = Field(None, description="ServeGen client mix: a shipped one or a folder of client files")
    arrivals: Arrivals | None = Field(None, description="arrival process, in place of a trace or a mix")
    sessions: Sessions | None = Field(None, description="conversations; arrivals then are those of their turns")
    scale: Scaled = Field(
        Scale(kind="factor", value=1.0), description="70% of sustainable, 2x or 12 req/s; of the mean"
    )
    offset_s: Seconds = Field(0.0, alias="offset", description="time in the trace or mix at which the run begins")
    input_lengths: Lengths | None = Field(
        None, alias="input", description="prompts, with sessions: new tokens of a turn; none: 1024 tokens"
    )
    output_lengths: Lengths | None = Field(None, alias="output", description="answers; none: 1024 tokens")
    tenants: PositiveInt = Field(1, description="callers that requests belong to, equally often")
    priority: int = Field(0, ge=0, le=9, description="0 is served first")

    @property
    def source(self) -> str:
        """Where its requests come from, in a word."""
        kind = self.arrivals.kind if self.arrivals else ""
        return self.trace or self.mix or (f"conversations ({kind})" if self.sessions else kind)

    @model_validator(mode="after")
    def _one_source(self) -> Workload:
        if sum(given is not None for given in (self.trace, self.mix, self.arrivals)) != 1:
            raise ValueError("give either a trace, a mix or arrivals")
        if self.arrivals is None and (self.input_lengths or self.output_lengths):
            raise ValueError("a trace or a mix has its own lengths: leave out input and output")
        if self.arrivals is not None and self.offset_s:
            raise ValueError("an offset belongs to a trace or a mix")
        return self

    @model_validator(mode="after")
    def _rate(self) -> Workload:
        shape = self.arrivals
        if shape is None or shape.kind in COUNTED:
            if self.sessions:
                raise ValueError("sessions need arrivals with a rate")
        elif shape.rate_s is None and self.scale.kind == "factor":
            raise ValueError("arrivals need a rate, or scale says it (12 req/s, 70% of sustainable)")
        elif self.sessions and shape.kind not in ("poisson", "gamma", "weibull"):
            raise ValueError(f"sessions begin as poisson, gamma or weibull, not as {shape.kind}")
        return self
