"""The demand file as types: who asks for what, what may be bought, within which limits, and what counts."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, field_validator, model_validator
from pydantic.json_schema import SkipJsonSchema

from tokenworks.spec.clocks import Clock
from tokenworks.spec.demand import DAILY, MOST_RATE_S, Arrivals, Scale, Workload
from tokenworks.spec.factory import MOST_SEED, MOST_SYSTEMS, Own, Rent
from tokenworks.spec.part import MisfitError, Name, Part
from tokenworks.spec.quantities import Horizon, Portion, Seconds, Usd, parse, quantity
from tokenworks.spec.service import Slo
from tokenworks.spec.site import Power, Site

Objective = Literal["usd_per_mtok", "tokens_per_joule", "goodput", "capex", "carbon"]
RATE_EXAMPLE = "40/s"
PER_S = {"/s": 1.0, "/min": 1 / 60, "/h": 1 / 3600}
GramsMtok: Any = quantity(
    {"g/Mtok": 1.0, "kg/Mtok": 1e3}, "500 g/Mtok", lambda value: f"{value:.12g} g/Mtok", most="1000000 kg/Mtok"
)
UsdHour: Any = quantity({"/h": 1.0, "": 1.0}, "$900/h", lambda value: f"{value:.12g}/h", most="$1000000000/h")
Degree = Annotated[int, Field(ge=1, le=4096)]


def parse_rate(text: Any) -> float:
    """Requests per second of "40/s". Raises ValueError."""
    rate_s = parse(text, PER_S, RATE_EXAMPLE)
    if not 0 < rate_s <= MOST_RATE_S:
        raise ValueError(f"{text!r}: nobody asks, or too many do; above 0 and at most {MOST_RATE_S:,.0f}/s")
    return rate_s


RequestRate = Annotated[
    float,
    BeforeValidator(parse_rate),
    PlainSerializer(lambda value: f"{value:.12g}/s", return_type=str),
    WithJsonSchema({"type": "string", "examples": [RATE_EXAMPLE]}),
]


class Load(Workload):
    """A stream of requests, as in a factory file, at an absolute rate."""

    rate_s: RequestRate | None = Field(
        None, alias="rate", description="requests per second, e.g. 40/s; as scale: 40 req/s"
    )

    @model_validator(mode="before")
    @classmethod
    def _rate_is_a_scale(cls, data: Any) -> Any:
        if not isinstance(data, dict) or "rate" not in data:
            return data
        if "scale" in data:
            raise MisfitError(("rate", "give either a rate or a scale"))
        try:
            return {**data, "scale": f"{parse_rate(data['rate']):.12f} req/s"}
        except ValueError:
            return data  # the field says what is wrong with it

    def plain(self) -> Workload:
        """As a factory file has it."""
        fields = {name: getattr(self, name) for name in Workload.model_fields}
        return Workload.model_construct(_fields_set=set(self.model_fields_set) - {"rate_s"}, **fields)


class AskedService(Part):
    """A model that is to be served."""

    name: Name = Field(description="what workloads and reports call it")
    model: str = Field(description="catalogue id")
    engines: tuple[str, ...] = Field((), description="catalogue ids; none: vllm, sglang, tensorrt-llm")
    precisions: tuple[str, ...] = Field((), description="of the weights; none: the model's own and narrower ones")
    kv_precisions: tuple[Literal["bf16", "fp8"], ...] = Field((), description="of the KV cache; none: both")
    slo: Slo = Field(Slo(), description="latency objectives")  # type: ignore[call-arg]


class Degrees(Part):
    """Largest degrees of parallelism that may be used."""

    tp: Degree | None = Field(None, description="tensor-parallel")
    pp: Degree | None = Field(None, description="pipeline stages")
    dp: Degree | None = Field(None, alias="dp_attention", description="attention data-parallel ranks")
    ep: Degree | None = Field(None, description="expert-parallel ranks")
    gpus: Degree | None = Field(None, description="GPUs of one worker")


class MayUse(Part):
    """What the plan may choose from."""

    systems: tuple[str, ...] = Field((), description="catalogue ids of servers and racks")
    accelerators: tuple[str, ...] = Field((), description="catalogue ids; systems with others are left out")
    vendors: tuple[str, ...] = Field((), description="of accelerators; none: all")
    most: Degrees = Field(Degrees(), alias="max_degrees", description="of parallelism; none: the system's")  # type: ignore[call-arg]
    serving: Literal["aggregated", "disaggregated", "both"] = Field(
        "both", description="prefill and decode apart or not"
    )
    clocks: tuple[Clock, ...] = Field(
        (), description="shares of the boost clock; none: full, and lower ones of what could win by them"
    )
    pay: tuple[Literal["own", "rent"], ...] = Field(("own",), min_length=1, description="buy, rent, or either")
    own: Own = Field(Own(), description="terms of what is bought, as in a factory file")  # type: ignore[call-arg]
    rent: Rent = Field(Rent(), description="terms of what is rented")  # type: ignore[call-arg]


class Availability(Part):
    """Spare systems, so that enough of them are up."""

    share: Portion = Field(0.999, description="of the time in which all that is needed is up, e.g. 99.9%")

    @field_validator("share")
    @classmethod
    def _below_one(cls, share: float) -> float:
        if not share < 1:
            raise ValueError("nothing is up all the time: below 100%, e.g. 99.9%")
        return share


class Limits(Part):
    """What a plan must keep to; none: no limit."""

    power: Power | None = Field(None, description="watts in a scope; in place of site.power")
    gpus: Annotated[int, Field(ge=1, le=10**7)] | None = Field(None, description="most GPUs")
    systems: Annotated[int, Field(ge=1, le=MOST_SYSTEMS)] | None = Field(None, description="most servers or racks")
    capex_usd: Usd | None = Field(None, alias="capex", description="most dollars to buy hardware for")
    usd_h: UsdHour | None = Field(None, alias="usd_per_hour", description="most dollars an hour, all costs")
    carbon_g_mtok: GramsMtok | None = Field(None, alias="co2", description="grams of CO2 per million output tokens")
    availability: Availability | None = Field(None, description="spares are added until this holds")


class Existing(Part):
    """Systems that are there: they cost nothing to buy, but their power, space and care."""

    system: str = Field(description="catalogue id")
    count: int = Field(1, ge=1, le=MOST_SYSTEMS)


class Rehearsals(Part):
    """How survivors are rehearsed."""

    horizon_s: Horizon | None = Field(None, alias="horizon", description="simulated time; none: as the requests need")
    given_warmup_s: Seconds | None = Field(None, alias="warmup", description="left out of statistics; none: a fifth")
    requests: int = Field(2000, ge=200, le=1_000_000, description="of a rehearsal, where no horizon is given")
    seed: int = Field(0, ge=0, le=MOST_SEED, description="same seed, same plan")
    refine: bool = Field(True, description="try other settings around the best fleets in the twin")

    @model_validator(mode="after")
    def _measured(self) -> Rehearsals:
        if self.horizon_s is not None and (self.given_warmup_s or 0.0) >= self.horizon_s:
            said = f"a warm-up of {self.given_warmup_s:g} s leaves nothing of a horizon of {self.horizon_s:g} s"
            raise MisfitError(("warmup", said))
        return self


class Demand(Part):
    """A demand file."""

    name: Name = Field(alias="demand", description="its name")
    site: Site = Field(Site(), description="where the factory will stand, as in a factory file")  # type: ignore[call-arg]
    services: tuple[AskedService, ...] = Field(min_length=1, max_length=16, description="what is to be served")
    workload: tuple[Load, ...] = Field(min_length=1, max_length=127, description="who asks for what when")
    may_use: MayUse = Field(MayUse(), description="what the plan may choose from")  # type: ignore[call-arg]
    limits: Limits = Field(Limits(), description="what it must keep to")  # type: ignore[call-arg]
    existing: tuple[Existing, ...] = Field((), description="systems that are there already")
    objectives: tuple[Objective, ...] = Field(
        ("usd_per_mtok",), alias="objective", min_length=1, max_length=3,
        description="what counts, one or two or three of them: a Pareto front",
    )  # fmt: skip
    headroom: Portion = Field(0.15, description="of the capacity that stays free at the mean demand")
    run: Rehearsals = Field(Rehearsals(), description="how survivors are rehearsed")  # type: ignore[call-arg]
    calibration: str | None = Field(None, min_length=1, description="file of a site calibration; none: as shipped")
    source_file: SkipJsonSchema[str] = Field("", exclude=True)

    @model_validator(mode="before")
    @classmethod
    def _one_objective(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("objective"), str):
            return {**data, "objective": [data["objective"]]}
        return data

    @model_validator(mode="after")
    def _sound(self) -> Demand:
        findings = []
        if len(set(self.objectives)) < len(self.objectives):
            findings.append(("objective", "an objective stands twice"))
        if self.headroom >= 0.95:
            findings.append(("headroom", f"{self.headroom:.0%} leaves no capacity to use; at most 95%"))
        if self.limits.power and self.site.power.budget_w:
            findings.append(("limits.power", "site.power says it already: leave one of them out"))
        if findings:
            raise MisfitError(*findings)
        return self

    @property
    def planned_site(self) -> Site:
        """The site with the power limit that holds."""
        return self.site.model_copy(update={"power": self.limits.power}) if self.limits.power else self.site

    def loads_of(self, service: str) -> list[tuple[int, Load]]:
        """(number, workload) of a service."""
        return [(i, load) for i, load in enumerate(self.workload) if load.service == service]

    def have(self, system: str) -> int:
        """Systems of a kind that are there."""
        return sum(e.count for e in self.existing if e.system == system)


def peak_of(load: Load) -> float:
    """Rate of the busiest time of the day or week over the mean; 1 where the file says nothing of days."""
    shape = load.arrivals
    if shape is None or shape.kind not in DAILY:
        return 1.0
    days = shape.days if shape.kind == "weekly" else (1.0,)
    return float(shape.peak_to_mean) * max(days) / (sum(days) / len(days))


def busiest(load: Load, rate_s: float) -> Workload:
    """The workload at a rate; one that follows the day as its busiest time, in which the rate stands still."""
    plain, scale = load.plain(), Scale(kind="rate", value=rate_s)
    if peak_of(load) == 1.0:
        return plain.model_copy(update={"scale": scale})
    return plain.model_copy(update={"scale": scale, "arrivals": Arrivals.model_validate({"kind": "poisson"})})
