"""What the gateway tells others about its calls: OpenTelemetry, a log of calls."""

from __future__ import annotations

from pydantic import Field

from tokenworks.spec.address import Address
from tokenworks.spec.part import Name, Part


class Telemetry(Part):
    """Nothing of it is on by default, and none of it ever holds a prompt or an answer."""

    otlp: Address | None = Field(
        None, description="OTLP/HTTP collector of spans and metrics, e.g. http://127.0.0.1:4318; none: as OTEL_* say"
    )
    calls: Name | None = Field(
        None, description="file that gets a line of JSON for each attempt; stderr: standard error"
    )
