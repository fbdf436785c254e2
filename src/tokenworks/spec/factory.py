"""The factory file as types. YAML names are short; attribute names carry their unit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveInt, model_validator

from tokenworks.spec.quantities import (
    Bytes,
    BytesPerSecond,
    Celsius,
    Seconds,
    Share,
    Usd,
    UsdGpuHour,
    UsdKwh,
    UsdKwMonth,
    Watts,
)


class Part(BaseModel):
    """Base of every part: immutable, no unknown keys, YAML aliases."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False)


class Power(Part):
    """A limit on the power drawn. 0 = none."""

    budget_w: Watts = Field(0.0, alias="budget", description="most power the site may draw, e.g. 1 MW")
    scope: Literal["board", "it", "facility"] = Field("facility", description="where the budget is measured")


class Stage(Part):
    """One stage of the electrical path from the utility to the rack."""

    name: str
    efficiency: Annotated[Share, Field(gt=0, le=1)]
    redundancy: Literal["N", "N+1", "2N"] = "N"


class Site(Part):
    power: Power = Power()  # type: ignore[call-arg]
    path: tuple[Stage, ...] = Field((), description="electrical path; empty: a typical one from the catalogue")
    cooling: Literal["air", "liquid"] = "liquid"
    rack_limit_w: Watts = Field(0.0, alias="rack_limit", description="most power of one rack; 0: as built")
    pue: Annotated[float, Field(ge=1.0, le=3.0)] | None = Field(None, description="none: from cooling and weather")
    temperature_c: Celsius | None = Field(None, alias="temperature", description="outside; none: the region's mean")
    region: str = Field("us-central", description="tariff and carbon intensity, from the catalogue")
    energy_price_usd_kwh: UsdKwh | None = Field(None, alias="energy_price")
    demand_charge_usd_kw_month: UsdKwMonth | None = Field(None, alias="demand_charge")
    oversubscription_percentile: Annotated[float, Field(gt=50, le=100)] = 99.0


class Own(Part):
    """Bought hardware."""

    price_usd: Usd | None = Field(None, alias="price", description="of one system; 'catalog' or none: catalogue")
    depreciation_s: Seconds = Field(4 * 31_557_600.0, alias="depreciation")
    residual_share: Annotated[Share, Field(le=1)] = Field(0.1, alias="residual")
    maintenance_share_year: Share = Field(0.03, alias="maintenance")

    @model_validator(mode="before")
    @classmethod
    def _catalog(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("price") == "catalog":
            return {**data, "price": None}
        return data


class Rent(Part):
    """Rented hardware."""

    usd_gpu_h: UsdGpuHour | None = Field(None, alias="price", description="per GPU and hour; none: catalogue")


class System(Part):
    id: str
    system: str = Field(description="catalogue id of the server or rack")
    count: PositiveInt = 1
    own: Own | None = None
    rent: Rent | None = None
    colocation_usd_kw_month: UsdKwMonth | None = Field(None, alias="colocation")

    @model_validator(mode="after")
    def _one_way_to_pay(self) -> System:
        if self.own and self.rent:
            raise ValueError("a system is owned or rented, not both")
        return self


class Pool(Part):
    """Prefill or decode workers of a disaggregated service."""

    workers: PositiveInt = 1
    tp: PositiveInt = 1
    pp: PositiveInt = 1
    dp: PositiveInt = Field(1, alias="dp_attention")
    ep: PositiveInt = 1
    max_seqs: PositiveInt | None = None
    token_budget: PositiveInt | None = None

    @property
    def gpus(self) -> int:
        return self.tp * self.pp * self.dp


class Tier(Part):
    """Where evicted prefix blocks go: capacity per replica."""

    name: Literal["host", "grace", "nvme", "shared"]
    capacity_bytes: Bytes = Field(alias="capacity")
    bandwidth_b_s: BytesPerSecond | None = Field(None, alias="bandwidth")


class Speculative(Part):
    kind: Literal["mtp", "eagle", "ngram", "draft"] = "mtp"
    draft_tokens: PositiveInt = 1
    tokens_per_step: Annotated[float, Field(ge=1.0)] = 1.0

    @model_validator(mode="after")
    def _possible(self) -> Speculative:
        if self.tokens_per_step > self.draft_tokens + 1:
            raise ValueError(f"at most {self.draft_tokens + 1} tokens a step from {self.draft_tokens} draft tokens")
        return self


class Slo(Part):
    """Objectives for the 95th percentile of each request latency."""

    ttft_p95_s: Seconds | None = Field(None, alias="ttft_p95")
    tpot_p95_s: Seconds | None = Field(None, alias="tpot_p95")
    e2e_p95_s: Seconds | None = Field(None, alias="e2e_p95")


ROUTING = ("round-robin", "random", "least-loaded", "power-of-two", "session", "kv-aware")


class Service(Part):
    name: str
    model: str
    precision: str = Field("bf16", description="of the weights")
    kv_precision: Literal["bf16", "fp8"] = "bf16"
    engine: str = "vllm"
    engine_version: str = ""
    on: str | None = Field(None, description="system id; none: the only system")
    workers: PositiveInt | None = Field(None, description="replicas; none: as many as the free GPUs hold")
    tp: PositiveInt = 1
    pp: PositiveInt = 1
    dp: PositiveInt = Field(1, alias="dp_attention")
    ep: PositiveInt = 1
    prefill: Pool | None = None
    decode: Pool | None = None
    max_seqs: PositiveInt | None = None
    token_budget: PositiveInt | None = None
    memory_fraction: Annotated[Share, Field(gt=0, le=1)] | None = None
    chunked_prefill: bool | None = None
    prefix_cache: bool | None = None
    kv_tiers: tuple[Tier, ...] = ()
    speculative: Speculative | None = None
    routing: Literal["round-robin", "random", "least-loaded", "power-of-two", "session", "kv-aware"] = "least-loaded"
    kv_weight: Annotated[float, Field(ge=0, le=100)] = 1.0
    max_waiting: int = Field(0, ge=0, description="requests that may queue; 0: no limit")
    timeout_s: Seconds = Field(0.0, alias="timeout", description="to the first token; 0: none")
    slo: Slo = Slo()  # type: ignore[call-arg]

    @model_validator(mode="after")
    def _pools(self) -> Service:
        if (self.prefill is None) != (self.decode is None):
            raise ValueError("a disaggregated service needs both prefill and decode")
        if self.prefill and self.workers:
            raise ValueError("workers belongs to an aggregated service; prefill and decode have their own")
        return self

    @property
    def gpus_per_worker(self) -> int:
        return self.tp * self.pp * self.dp


class Arrivals(Part):
    kind: Literal["poisson", "gamma", "weibull", "mmpp", "diurnal", "closed-loop", "static", "offline"]
    rate_s: Annotated[float, Field(gt=0)] | None = Field(None, alias="rate", description="requests per second")
    cv: Annotated[float, Field(gt=0)] = 1.0
    peak_to_mean: Annotated[float, Field(ge=1)] = 2.0
    clients: PositiveInt | None = None
    requests: PositiveInt | None = None
    think_s: Seconds = Field(0.0, alias="think")


class Lengths(Part):
    """Token lengths of prompts or answers."""

    kind: Literal["fixed", "uniform", "lognormal"] = "fixed"
    mean: Annotated[float, Field(ge=1)] = 1024.0
    low: PositiveInt | None = None
    high: PositiveInt | None = None
    sigma: Annotated[float, Field(gt=0)] = 1.0


class Scale(Part):
    """How a trace's rate is set: "70% of sustainable", "2x" or "12 req/s"."""

    kind: Literal["sustainable", "factor", "rate"]
    value: Annotated[float, Field(gt=0)]


def parse_scale(text: Any) -> Any:
    """A Scale from its short text."""
    if isinstance(text, int | float) and not isinstance(text, bool):
        return {"kind": "factor", "value": float(text)}
    if not isinstance(text, str):
        return text
    for pattern, kind, factor in (
        (r"([\d.]+)\s*% of sustainable", "sustainable", 0.01),
        (r"([\d.]+)\s*x", "factor", 1.0),
        (r"([\d.]+)\s*req/s", "rate", 1.0),
    ):
        match = re.fullmatch(pattern, text.strip())
        if match:
            return {"kind": kind, "value": float(match.group(1)) * factor}
    raise ValueError(f'{text!r} is not a scale; write "70% of sustainable", "2x" or "12 req/s"')


class Workload(Part):
    service: str
    trace: str | None = Field(None, description="shipped trace or a file")
    arrivals: Arrivals | None = None
    scale: Annotated[Scale, BeforeValidator(parse_scale)] = Scale(kind="factor", value=1.0)
    input_lengths: Lengths | None = Field(None, alias="input")
    output_lengths: Lengths | None = Field(None, alias="output")
    tenants: PositiveInt = 1
    priority: int = Field(0, ge=0, le=9)

    @model_validator(mode="after")
    def _one_source(self) -> Workload:
        if (self.trace is None) == (self.arrivals is None):
            raise ValueError("give either a trace or arrivals")
        return self


class Run(Part):
    horizon_s: Seconds = Field(3600.0, alias="horizon")
    given_warmup_s: Seconds | None = Field(
        None, alias="warmup", description="left out of latency statistics; a tenth of the horizon unless given"
    )
    seed: int = Field(0, ge=0)
    cells: PositiveInt = Field(1, description="router domains: workers and requests are dealt out to them")
    control_interval_s: Seconds = Field(1.0, alias="control_interval", description="of the power controller")
    record_requests: bool = False

    @property
    def warmup_s(self) -> float:
        given_s: float | None = self.given_warmup_s
        return self.horizon_s / 10 if given_s is None else given_s

    @model_validator(mode="after")
    def _measured(self) -> Run:
        if self.warmup_s >= self.horizon_s:
            raise ValueError(f"a warm-up of {self.warmup_s:g} s leaves nothing of a horizon of {self.horizon_s:g} s")
        return self


class Factory(Part):
    name: str = Field(alias="factory")
    site: Site = Site()  # type: ignore[call-arg]
    systems: tuple[System, ...] = Field(min_length=1)
    services: tuple[Service, ...] = Field(min_length=1)
    workload: tuple[Workload, ...] = Field(min_length=1)
    run: Run = Run()  # type: ignore[call-arg]
    source_file: str = Field("", exclude=True)

    def system_of(self, service: Service) -> System:
        """The system that a service runs on."""
        return next(s for s in self.systems if service.on is None or s.id == service.on)

    def replace(self, path: str, value: Any) -> Factory:
        """A factory with one field changed, e.g. ``replace("services.reasoner.precision", "fp8")``. Raises SpecError."""
        return self.replace_all({path: value})

    def replace_all(self, changes: Mapping[str, Any]) -> Factory:
        """A factory with several fields changed and then checked as a whole. Raises SpecError."""
        from tokenworks.spec.loading import replaced

        return replaced(self, changes)

    def to_yaml(self) -> str:
        from tokenworks.spec.loading import dumps

        return dumps(self)
