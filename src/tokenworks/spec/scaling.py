"""How many replicas of a pool are up: by what is asked, between bounds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from tokenworks.spec.part import Count, MisfitError, Part
from tokenworks.spec.quantities import Look, Patience, Portion, Seconds, SomePortion

if TYPE_CHECKING:
    from tokenworks.spec.factory import Factory


class Scaling(Part):
    """Replicas follow the demand. The workers of the pool are the most that there can be."""

    least: int = Field(
        1, alias="min", ge=0, le=1_000_000, description="replicas at any time; 0: none while nobody asks"
    )
    most: Count | None = Field(None, alias="max", description="replicas at any time; none: all workers of the pool")
    start: int | None = Field(None, ge=0, le=1_000_000, description="replicas at the beginning; none: max")
    every_s: Look = Field(15.0, alias="every", description="between looks at the load")
    predictor: Literal["constant", "holt-winters", "arima", "kalman"] = Field(
        "kalman", description="forecast of the requests until a replica that is started now takes some"
    )
    season_s: Seconds = Field(0.0, alias="season", description="of holt-winters, e.g. 1 d; 0: none")
    target: SomePortion = Field(0.8, description="of what a replica carries within its objectives, to be used")
    hysteresis: Portion = Field(
        0.1, description="fewer replicas only where they would be used so much below the target"
    )
    calm_s: Patience = Field(
        300.0, alias="calm", description="fewer replicas only after they would have been enough for so long"
    )
    idle_s: Patience = Field(
        600.0, alias="idle", description="without a request, before the last replica stops (min 0)"
    )
    start_up_s: Patience = Field(
        0.0, alias="start_up", description="what a start takes besides loading the weights: container, engine, graphs"
    )

    @model_validator(mode="after")
    def _in_order(self) -> Scaling:
        if self.most is not None and self.least > self.most:
            raise MisfitError(("min", f"{self.least} replicas at least, but {self.most} at most"))
        if self.start is not None and not self.least <= self.start <= (self.most or self.start):
            said = f"between {self.least} and {self.most}" if self.most else f"at least {self.least}"
            raise MisfitError(("start", f"{self.start} replicas at the beginning: {said} are possible"))
        if self.season_s and self.predictor != "holt-winters":
            raise MisfitError(("season", f"{self.predictor} knows no season: choose holt-winters"))
        if self.season_s and self.season_s < 2 * self.every_s:
            raise MisfitError(("season", f"two looks at least, {2 * self.every_s:g} s"))
        return self


def scaling_findings(factory: Factory) -> Iterator[tuple[tuple[Any, ...], str]]:
    """Bounds that a pool does not have room for."""
    for i, service in enumerate(factory.services):
        pools = (("", service, service.workers), ("prefill", service.prefill, None), ("decode", service.decode, None))
        for role, pool, workers in pools:
            scaling = getattr(pool, "scaling", None)
            if scaling is None:
                continue
            place = ("services", i, *([role] if role else []), "scaling")
            count = workers if not role else pool.workers  # type: ignore[union-attr]
            for field, value in (("max", scaling.most), ("min", scaling.least), ("start", scaling.start)):
                if count is not None and value is not None and value > count:
                    yield (*place, field), f"{value} replicas, but the pool has {count} workers"
            if role == "decode" and scaling.least < 1:
                yield (
                    (*place, "min"),
                    "a decode pool keeps a replica: its KV caches have nowhere to wait; write at least 1",
                )
            if factory.run.cells > 1:
                yield place, "replicas are scaled in one router domain: leave run.cells out"
