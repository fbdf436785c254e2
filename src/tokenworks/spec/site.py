"""The site: power and its path, halls and racks, PUE, weather, tariff, carbon."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from tokenworks.spec.hours import DAY_S, GramsKwhByHour, TimeOfDay, UsdKwhByHour
from tokenworks.spec.part import Name, Part
from tokenworks.spec.pue import PueTable
from tokenworks.spec.quantities import Celsius, Efficiency, UsdKwMonth, Watts

Cooling = Literal["air", "liquid"]


class Power(Part):
    """A limit on the power drawn. 0 = none."""

    budget_w: Watts = Field(0.0, alias="budget", description="most power the site may draw, e.g. 1 MW; 0: no limit")
    scope: Literal["board", "it", "facility"] = Field("facility", description="where the budget is measured")


class Curtailment(Part):
    """A time of every day in which less power may be drawn; one that ends before it begins lasts over midnight."""

    from_s: TimeOfDay = Field(alias="from", description="time of day at which it begins, e.g. '17:00'")
    to_s: TimeOfDay = Field(alias="to", description="time of day at which it ends, e.g. '21:00'")
    budget_w: Watts = Field(alias="budget", description="most power in this time, in the scope of power.scope")

    @model_validator(mode="after")
    def _some_time(self) -> Curtailment:
        if self.from_s % DAY_S == self.to_s % DAY_S:
            raise ValueError("a curtailment needs two different times")
        if self.budget_w == 0:
            raise ValueError("a curtailment needs a budget above 0")
        return self

    def holds(self, time_s: float) -> bool:
        """Whether it is in force this many seconds after midnight of the first day."""
        now, begin, end = time_s % DAY_S, self.from_s % DAY_S, self.to_s % DAY_S
        return begin <= now < end if begin < end else now >= begin or now < end


class Stage(Part):
    """One stage of the electrical path from the utility to the rack."""

    name: Name = Field(description="e.g. UPS")
    efficiency: Efficiency = Field(description="at full load")
    redundancy: Literal["N", "N+1", "2N"] = Field("N", description="spare units share the load and lose more")


class Hall(Part):
    """A room with its own cooling and racks."""

    id: Name = Field(description="what systems[].hall names")
    cooling: Cooling = Field("liquid", description="what its racks are cooled by")
    rack_limit_w: Watts = Field(
        0.0, alias="rack_limit", description="most power of one rack; 0: as built, by air the catalogue's limit"
    )


class Site(Part):
    """Where the factory stands."""

    power: Power = Field(Power(), description="power budget")  # type: ignore[call-arg]
    curtailment: tuple[Curtailment, ...] = Field((), description="times of the day with a lower power budget")
    path: tuple[Stage, ...] = Field((), description="electrical path; empty: a typical one from the catalogue")
    cooling: Cooling = Field("liquid", description="what racks are cooled by, where no halls are named")
    rack_limit_w: Watts = Field(
        0.0, alias="rack_limit", description="most power of one rack; 0: as built, by air the catalogue's limit"
    )
    halls: tuple[Hall, ...] = Field((), description="rooms with their own cooling and rack limit; empty: one room")
    pue: PueTable | None = Field(
        None, description="a number, or a table by load and temperature; none: the catalogue's, by cooling and weather"
    )
    temperature_c: Celsius | None = Field(None, alias="temperature", description="outside; none: the region's mean")
    region: str = Field("us-central", description="tariff and carbon intensity, from the catalogue")
    energy_price_usd_kwh: UsdKwhByHour | None = Field(
        None, alias="energy_price", description="one price or 24 by hour from midnight; none: the region's"
    )
    demand_charge_usd_kw_month: UsdKwMonth | None = Field(
        None, alias="demand_charge", description="of the month's highest quarter of an hour; none: the region's"
    )
    carbon_g_kwh: GramsKwhByHour | None = Field(
        None, alias="carbon", description="grams of CO2 per kWh, one value or 24 by hour; none: the region's"
    )
    oversubscription_percentile: Annotated[float, Field(gt=50, le=100)] = Field(
        99.0, description="of the drawn power: what a budget is planned for instead of the nameplates"
    )

    @field_validator("halls")
    @classmethod
    def _names(cls, halls: tuple[Hall, ...]) -> tuple[Hall, ...]:
        names = [hall.id for hall in halls]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"hall {twice!r} stands twice")
        return halls

    def hall_of(self, name: str | None) -> Hall | None:
        """The hall with this name, or the only one; none where there is no such hall."""
        if not self.halls and name is None:
            return Hall.model_construct(id="", cooling=self.cooling, rack_limit_w=self.rack_limit_w)
        if name is None:
            return self.halls[0] if len(self.halls) == 1 else None
        return next((hall for hall in self.halls if hall.id == name), None)

    def budget_at(self, time_s: float) -> float:
        """Watts that may be drawn this many seconds after midnight of the first day; 0: no limit."""
        limits = [self.power.budget_w, *(c.budget_w for c in self.curtailment if c.holds(time_s))]
        return min((limit for limit in limits if limit), default=0.0)

    def budgets(self, start_s: float, horizon_s: float) -> tuple[tuple[float, float], ...]:
        """(seconds from the start of the run, watts from then on) of a run that begins at a time of the day."""
        edges = {edge % DAY_S for c in self.curtailment for edge in (c.from_s, c.to_s)}
        days = range(int((start_s + horizon_s) // DAY_S) + 1)
        times = sorted({start_s, *(day * DAY_S + edge for day in days for edge in edges)})
        steps: list[tuple[float, float]] = []
        for time_s in times:
            limit = self.budget_at(time_s)
            if start_s <= time_s < start_s + horizon_s and (not steps or steps[-1][1] != limit):
                steps.append((time_s - start_s, limit))
        return tuple(steps)
