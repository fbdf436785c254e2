"""OpenTelemetry, where the factory file or the standard variables switch it on. The SDK is imported then and not before."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import Any

from tokenworks.errors import InputError
from tokenworks.spec.telemetry import Telemetry

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


Wanted = dict[str, str | None]
"""A collector's address by signal; None there: the SDK reads it from the variables. A signal that is off is not in it."""


def wanted(told: Telemetry) -> Wanted:
    """By the factory file, else by OTEL_EXPORTER_OTLP_ENDPOINT or that of a signal. OTEL_SDK_DISABLED=true turns all off,
    OTEL_TRACES_EXPORTER=none or OTEL_METRICS_EXPORTER=none one signal."""
    found: Wanted = {}
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return found
    for signal in ("traces", "metrics"):
        if os.environ.get(f"OTEL_{signal.upper()}_EXPORTER") == "none":
            continue
        if told.otlp:
            found[signal] = f"{told.otlp.rstrip('/')}/v1/{signal}"
        elif os.environ.get(ENDPOINT) or os.environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT"):
            found[signal] = None
    return found


def require_sdk() -> None:
    """Raises InputError where it is not installed."""
    try:
        there = all(find_spec(name) for name in ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http"))
    except ModuleNotFoundError:
        there = False
    if not there:
        raise InputError(
            f"OpenTelemetry is switched on (serve.telemetry.otlp or {ENDPOINT}) and needs the extra otel: "
            "pip install 'tokenworks[otel]'; OTEL_SDK_DISABLED=true switches it off"
        )


def exporters(wants: Wanted, factory: str) -> list[Any]:
    """Spans and Instruments, as far as they are wanted. Raises InputError without the SDK."""
    require_sdk()
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    from tokenworks.serve.telemetry.instruments import Instruments
    from tokenworks.serve.telemetry.spans import Spans

    named = {} if os.environ.get("OTEL_SERVICE_NAME") else {SERVICE_NAME: "tokenworks", "tokenworks.factory": factory}
    resource, found = Resource.create(named), list[Any]()
    if "traces" in wants:
        exporter = OTLPSpanExporter(endpoint=wants["traces"])
        found.append(Spans(BatchSpanProcessor(exporter), resource))
    if "metrics" in wants:
        reader = PeriodicExportingMetricReader(OTLPMetricExporter(endpoint=wants["metrics"]))
        found.append(Instruments(reader, resource))
    return found
