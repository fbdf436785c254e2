"""The factory file as types. YAML names are short; attribute names carry their unit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, model_validator
from pydantic.json_schema import SkipJsonSchema

from tokenworks.spec.demand import Workload
from tokenworks.spec.hours import TimeOfDay
from tokenworks.spec.part import MisfitError, Name, Part
from tokenworks.spec.quantities import (
    ControlInterval,
    Depreciation,
    Horizon,
    Portion,
    Seconds,
    Usd,
    UsdGpuHour,
    UsdKwMonth,
    Watts,
)
from tokenworks.spec.service import ROUTING, Pool, Service
from tokenworks.spec.serving import Serving
from tokenworks.spec.site import Site

__all__ = ["ROUTING", "Factory", "Network", "Own", "Pool", "Rent", "Run", "Service", "Site", "System", "Workload"]


YEAR_S = 31_557_600.0
MOST_SYSTEMS = 100_000
MOST_SEED = 2**62


class Own(Part):
    """Bought hardware."""

    price_usd: Usd | None = Field(None, alias="price", description="of one system; 'catalog' or none: catalogue")
    depreciation_s: Depreciation = Field(4 * YEAR_S, alias="depreciation", description="straight line over this time")
    residual_share: Portion = Field(0.1, alias="residual", description="of the price that is left at the end")
    maintenance_share_year: Portion = Field(0.03, alias="maintenance", description="of the price, per year")

    @model_validator(mode="before")
    @classmethod
    def _catalog(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("price") == "catalog":
            return {**data, "price": None}
        return data


class Rent(Part):
    """Rented hardware."""

    usd_gpu_h: UsdGpuHour | None = Field(None, alias="price", description="per GPU and hour; none: catalogue")


class Network(Part):
    """What joins systems: switches, optics and cables outside them. Per system, its share of the whole."""

    price_usd: Usd = Field(0.0, alias="price", description="bought on the terms of the system; none where it is rented")
    watts: Watts = Field(0.0, alias="power", description="IT power at its own inlets, whatever the load")


class System(Part):
    """Servers or racks of one kind."""

    id: Name = Field(description="what services[].on names")
    system: str = Field(description="catalogue id of the server or rack")
    count: int = Field(1, ge=1, le=MOST_SYSTEMS, description="how many")
    hall: str | None = Field(None, description="where it stands, of site.halls; none: the only hall")
    own: Own | None = Field(None, description="bought; the default")
    rent: Rent | None = Field(None, description="rented by the GPU hour, space and energy included")
    colocation_usd_kw_month: UsdKwMonth | None = Field(
        None, alias="colocation", description="space and cooling plant per kW of nameplate; none: the region's"
    )

    network: Network | None = Field(None, description="what joins the systems, per system; none: not counted")

    @model_validator(mode="after")
    def _one_way_to_pay(self) -> System:
        if self.own and self.rent:
            raise ValueError("a system is owned or rented, not both")
        if self.rent and self.network and self.network.price_usd:
            raise MisfitError(("network.price", "the rent of a system includes its network: leave the price out"))
        return self


class Run(Part):
    """How the factory is rehearsed."""

    horizon_s: Horizon = Field(3600.0, alias="horizon", description="simulated time")
    start_s: TimeOfDay | None = Field(
        None,
        alias="start",
        description="time of day at which it begins; none: midnight, energy at the day's mean price",
    )
    given_warmup_s: Seconds | None = Field(
        None, alias="warmup", description="left out of latency statistics; a tenth of the horizon unless given"
    )
    seed: int = Field(0, ge=0, le=MOST_SEED, description="same seed, same bytes")
    cells: int = Field(1, ge=1, le=10_000, description="router domains: workers and requests are dealt out to them")
    control_interval_s: ControlInterval = Field(1.0, alias="control_interval", description="of the power controller")
    record_requests: bool = Field(False, description="keep every request, for --requests and --trace")

    @property
    def warmup_s(self) -> float:
        given_s: float | None = self.given_warmup_s
        return self.horizon_s / 10 if given_s is None else given_s

    @model_validator(mode="after")
    def _measured(self) -> Run:
        if self.warmup_s >= self.horizon_s:
            said = f"a warm-up of {self.warmup_s:g} s leaves nothing of a horizon of {self.horizon_s:g} s"
            raise MisfitError(("warmup", said))
        return self


class Factory(Part):
    """A factory file."""

    name: Name = Field(alias="factory", description="its name")
    site: Site = Field(Site(), description="where it stands")  # type: ignore[call-arg]
    systems: tuple[System, ...] = Field(min_length=1, description="servers and racks")
    services: tuple[Service, ...] = Field(min_length=1, description="what they serve")
    workload: tuple[Workload, ...] = Field(min_length=1, max_length=127, description="who asks for what when")
    run: Run = Field(Run(), description="how it is rehearsed")  # type: ignore[call-arg]
    serve: Serving = Field(Serving(), description="how it takes live traffic")  # type: ignore[call-arg]
    calibration: str | None = Field(
        None, min_length=1, description="file of a site calibration (`tokenworks calibrate --with`); none: as shipped"
    )
    source_file: SkipJsonSchema[str] = Field("", exclude=True)

    def system_of(self, service: Service) -> System:
        """The system that a service runs on."""
        return next(s for s in self.systems if service.on is None or s.id == service.on)

    @property
    def budget_w(self) -> float:
        """Lowest power budget in force during the run, in watts; 0: no limit."""
        limits = [w for _, w in self.site.budgets(self.run.start_s or 0.0, self.run.horizon_s) if w]
        return min(limits, default=0.0)

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
