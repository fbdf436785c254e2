"""How live traffic is steered: splits over services, a queue in front of full engines, second attempts."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tokenworks.spec.part import Count, Name, Part
from tokenworks.spec.quantities import Portion, SomePortion, Wait

Weight = Annotated[float, Field(gt=0, le=1e6)]


class Split(Part):
    """Another name of several services, each with its part of the traffic: a canary."""

    weights: dict[str, Annotated[float, Field(ge=0, le=1e6)]] = Field(
        min_length=1, description="parts by service, e.g. {chat: 95, canary: 5}"
    )
    by: Literal["session", "tenant", "request"] = Field(
        "session", description="what stays with one service; calls without a session are dealt out one by one"
    )


class Queue(Part):
    """Where requests wait while all upstreams of their service are full (`max_requests`)."""

    most: Count = Field(1000, description="requests that wait, by service")
    longest_s: Wait = Field(10.0, alias="longest", description="expected wait beyond which a request is refused")
    weights: dict[Name, Weight] = Field({}, description="parts of the places by tenant; 1 where none is stated")


class Hedging(Part):
    """Streams that let their callers wait are asked for at a second upstream; who begins first answers."""

    share: SomePortion = Field(0.05, description="of calls that are asked for twice, at most")
    quantile: Portion = Field(0.95, description="of the times to the first token of late: how long the first one has")
