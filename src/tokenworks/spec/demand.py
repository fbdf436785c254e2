"""Workloads: who asks which service for what when."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from tokenworks.spec.agents import Answers, Runs
from tokenworks.spec.part import Count, MisfitError, Name, Part
from tokenworks.spec.quantities import Dwell, Offset, Pause, Portion

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
COUNTED = ("closed-loop", "static", "offline")  # kinds of arrivals with a number of requests instead of a rate
DAILY = ("diurnal", "weekly")
MOST_RATE_S = 1e6
LONGEST_LIFE_S = 30 * 86_400.0  # of a conversation: runs begin among those of eight mean lives before
Tokens = Annotated[int, Field(ge=1, le=10**8)]
Rate = Annotated[float, Field(gt=0, le=MOST_RATE_S)]

# What each kind takes beside its name; what it needs is said by the kinds with a number of requests.
ARRIVALS_TAKE = {
    "poisson": ("rate",),
    "gamma": ("rate", "cv"),
    "weibull": ("rate", "cv"),
    "mmpp": ("rate", "peak_to_mean", "dwell"),
    "diurnal": ("rate", "peak_to_mean"),
    "weekly": ("rate", "peak_to_mean", "weekend", "first_day"),
    "closed-loop": ("clients", "requests", "think"),
    "static": ("requests",),
    "offline": ("requests",),
}
LENGTHS_TAKE = {
    "fixed": ("mean",),
    "uniform": ("low", "high"),
    "lognormal": ("mean", "sigma"),
    "empirical": ("values", "weights", "trace"),
}


def strangers(part: Part, kind: str, take: Mapping[str, tuple[str, ...]]) -> Iterator[tuple[str, str]]:
    """Fields that are written and belong to other kinds."""
    given = {info.alias or name for name, info in type(part).model_fields.items() if name in part.model_fields_set}
    for name in sorted(given - {"kind", *take[kind]}):
        owners = ", ".join(other for other, names in take.items() if name in names)
        yield name, f"belongs to {owners}, not to {kind}, which takes {', '.join(take[kind])}"


class Arrivals(Part):
    """An arrival process."""

    kind: Literal["poisson", "gamma", "weibull", "mmpp", "diurnal", "weekly", "closed-loop", "static", "offline"] = (
        Field(description="mmpp: bursts of a busy state; diurnal: a day's swing; closed-loop: callers that wait")
    )
    rate_s: Rate | None = Field(None, alias="rate", description="requests per second, mean")
    cv: Annotated[float, Field(gt=0, le=100)] = Field(1.0, description="of the gaps, for gamma and weibull")
    peak_to_mean: Annotated[float, Field(ge=1, le=100)] = Field(
        2.0, description="for mmpp, diurnal (most 2) and weekly (most 2)"
    )
    dwell_s: Dwell = Field(30.0, alias="dwell", description="mean time in a state of mmpp")
    weekend: Portion = Field(0.5, description="rate of weekend days over weekdays, for weekly")
    first_day: Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"] = Field(
        "monday", description="day on which the run begins, for weekly"
    )
    clients: Count | None = Field(None, description="callers of a closed loop")
    requests: Annotated[int, Field(ge=1, le=10_000_000)] | None = Field(
        None, description="of closed-loop (none: 10 a client), static and offline"
    )
    think_s: Pause = Field(0.0, alias="think", description="mean pause of a closed-loop caller, exponential")

    @property
    def days(self) -> tuple[float, ...]:
        """Relative rates of seven days from the first one."""
        week = [self.weekend if day in WEEKDAYS[5:] else 1.0 for day in WEEKDAYS]
        first = WEEKDAYS.index(self.first_day)
        return (*week[first:], *week[:first])

    @model_validator(mode="after")
    def _complete(self) -> Arrivals:
        findings = list(strangers(self, self.kind, ARRIVALS_TAKE))
        if self.kind == "closed-loop" and not self.clients:
            findings.append(("clients", "a closed loop needs clients: how many callers there are"))
        if self.kind in ("static", "offline") and not self.requests:
            findings.append(("requests", f"{self.kind} needs requests: how many are there from the beginning"))
        if self.kind in DAILY and self.peak_to_mean > 2:
            said = f"{self.kind} swings between 0 and twice the mean: peak_to_mean is at most 2"
            findings.append(("peak_to_mean", said))
        if findings:
            raise MisfitError(*findings)
        return self


class Lengths(Part):
    """Token lengths of prompts or answers."""

    kind: Literal["fixed", "uniform", "lognormal", "empirical"] = Field("fixed", description="distribution")
    mean: Annotated[float, Field(ge=1, le=1e8)] = Field(1024.0, description="of fixed and lognormal")
    low: Tokens | None = Field(None, description="smallest length of uniform")
    high: Tokens | None = Field(None, description="largest length of uniform")
    sigma: Annotated[float, Field(gt=0, le=10)] = Field(1.0, description="of the logarithm, for lognormal")
    values: tuple[Tokens, ...] = Field((), description="lengths of empirical")
    weights: tuple[Annotated[float, Field(ge=0, le=1e12)], ...] = Field(
        (), description="how often each value; empty: equally"
    )
    trace: str | None = Field(None, description="trace or file whose lengths empirical draws; pairs stay together")

    @model_validator(mode="after")
    def _complete(self) -> Lengths:
        findings = list(strangers(self, self.kind, LENGTHS_TAKE)) or list(self._of_kind())
        if findings:
            raise MisfitError(*findings)
        return self

    def _of_kind(self) -> Iterator[tuple[str, str]]:
        if self.kind == "uniform":
            yield from ((key, "uniform needs low and high") for key in ("low", "high") if getattr(self, key) is None)
            if self.low and self.high and self.low > self.high:
                yield "low", f"{self.low} is above high, {self.high}: swap them"
        if self.kind == "empirical" and bool(self.values) == bool(self.trace):
            yield "values", "empirical lengths come either from values or from a trace"
        if self.weights and (len(self.weights) != len(self.values) or not sum(self.weights)):
            yield "weights", f"{len(self.values)} values need as many weights, not all of them 0"


class Sessions(Part):
    """Conversations: every turn sends the whole context again, so that prefix caches have something to keep."""

    turns: Annotated[float, Field(ge=1, le=1000)] = Field(4.0, description="mean number of turns, geometric")
    gap_s: Pause = Field(60.0, alias="gap", description="mean from one turn to the next, exponential")
    system_prompt: Annotated[int, Field(ge=0, le=10**7)] = Field(
        0, description="tokens that stand before every conversation"
    )
    prompts: Count = Field(1, description="different system prompts, equally often")
    max_context: Annotated[int, Field(ge=1, le=10**7)] = Field(
        32_768, description="tokens; a longer conversation begins anew"
    )
    block: Annotated[int, Field(ge=1, le=65_536)] = Field(
        64, description="tokens that one prefix hash covers; a multiple of the engine's block"
    )

    @model_validator(mode="after")
    def _room(self) -> Sessions:
        if self.system_prompt >= self.max_context:
            raise ValueError(f"a system prompt of {self.system_prompt} tokens leaves no room in {self.max_context}")
        if self.block > self.max_context:
            raise ValueError(f"a block of {self.block} tokens is larger than the context of {self.max_context}")
        if (self.turns - 1) * self.gap_s > LONGEST_LIFE_S:
            raise ValueError(f"conversations of {self.turns:g} turns {self.gap_s:g} s apart last longer than 30 days")
        return self


class Scale(Part):
    """How a rate is set: "70% of sustainable", "2x" or "12 req/s"."""

    kind: Literal["sustainable", "factor", "rate"] = Field(description="of what the value is a multiple")
    value: Rate = Field(description="share, factor or requests per second")


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

    service: Name = Field(description="who is asked")
    trace: str | None = Field(
        None, description="shipped trace or a file: .csv (Azure, BurstGPT, plain), .jsonl, .parquet"
    )
    mix: str | None = Field(None, description="ServeGen client mix: a shipped one or a folder of client files")
    arrivals: Arrivals | None = Field(None, description="arrival process, in place of a trace or a mix")
    agents: Name | None = Field(
        None, description="agent of the catalogue whose runs ask, or coding-sessions: the recorded ones; needs runs"
    )
    runs_s: Runs | None = Field(None, alias="runs", description="runs of agents that begin, mean of a Poisson process")
    compaction: Annotated[int, Field(ge=1024, le=10**8)] | None = Field(
        None, description="longest prompt of agents, in tokens: beyond it they summarise; none: contexts grow freely"
    )
    sub_agents: Name | None = Field(None, description="service that calls of sub-agents go to; none: the same")
    answers: Answers | None = Field(None, description="how fast agents are thought to get answers; none: 1 s and 20 ms")
    sessions: Sessions | None = Field(None, description="conversations; arrivals then are those of their turns")
    scale: Scaled = Field(
        Scale(kind="factor", value=1.0), description="70% of sustainable, 2x or 12 req/s; of the mean"
    )
    offset_s: Offset = Field(0.0, alias="offset", description="time in the trace or mix at which the run begins")
    input_lengths: Lengths | None = Field(
        None, alias="input", description="prompts, with sessions: new tokens of a turn; none: 1024 tokens"
    )
    output_lengths: Lengths | None = Field(None, alias="output", description="answers; none: 1024 tokens")
    tenants: Count = Field(1, description="callers that requests belong to, equally often")
    priority: int = Field(0, ge=0, le=9, description="0 is served first")

    @property
    def source(self) -> str:
        """Where its requests come from, in a word."""
        kind = self.arrivals.kind if self.arrivals else ""
        if self.agents:
            return f"agents ({self.agents})"
        return self.trace or self.mix or (f"conversations ({kind})" if self.sessions else kind)

    @model_validator(mode="after")
    def _one_source(self) -> Workload:
        if sum(given is not None for given in (self.trace, self.mix, self.arrivals, self.agents)) != 1:
            raise ValueError("give either a trace, a mix, arrivals or agents")
        if self.agents is None:
            own = {
                "runs": self.runs_s,
                "answers": self.answers,
                "compaction": self.compaction,
                "sub_agents": self.sub_agents,
            }
            if strange := [key for key, value in own.items() if value is not None]:
                raise MisfitError(*((key, "belongs to agents") for key in strange))
        if self.agents is not None and self.runs_s is None:
            raise MisfitError(("runs", "agents need runs: how many begin (2 per minute)"))
        if self.arrivals is None and (self.input_lengths or self.output_lengths):
            given = ("input", self.input_lengths), ("output", self.output_lengths)
            said = "a trace, a mix or agents have their own lengths: leave this out"
            raise MisfitError(*((key, said) for key, lengths in given if lengths))
        if self.arrivals is not None and self.offset_s:
            raise MisfitError(("offset", "an offset belongs to a trace or a mix"))
        return self

    @model_validator(mode="after")
    def _rate(self) -> Workload:
        shape = self.arrivals
        if shape is None or shape.kind in COUNTED:
            if self.sessions:
                raise MisfitError(("sessions", "conversations need arrivals with a rate"))
            if shape and self.scale != Scale(kind="factor", value=1.0):
                raise MisfitError(("scale", f"{shape.kind} arrivals have no rate to scale: leave this out"))
        elif shape.rate_s is None and self.scale.kind == "factor":
            said = f"{shape.kind} needs a rate, or scale says it (12 req/s, 70% of sustainable)"
            raise MisfitError(("arrivals.rate", said))
        elif self.sessions and shape.kind not in ("poisson", "gamma", "weibull"):
            raise ValueError(f"conversations begin as poisson, gamma or weibull, not as {shape.kind}")
        return self
