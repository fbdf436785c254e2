"""What the gateway tells others about its calls: OpenTelemetry, a log of calls."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from tokenworks.spec.address import address
from tokenworks.spec.part import Name, Part


class Telemetry(Part):
    """Nothing of it is on by default, and none of it ever holds a prompt or an answer."""

    otlp: Annotated[str, AfterValidator(address)] | None = Field(
        None, description="OTLP/HTTP collector of spans and metrics, e.g. http://127.0.0.1:4318; none: as OTEL_* say"
    )
    calls: Name | None = Field(None, description="file that gets a line of JSON for each attempt; stderr: standard error")
