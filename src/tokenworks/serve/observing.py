"""Who observes the calls of a gateway, for as long as it runs."""

from __future__ import annotations

from typing import Any

from tokenworks.serve.gateway import Gateway
from tokenworks.serve.telemetry.call_log import CallLog
from tokenworks.serve.telemetry.otlp import exporters, wanted
from tokenworks.serve.telemetry.trace import Tracing
from tokenworks.spec.factory import Factory


class Observing:
    """Observers of a gateway's meter, as the factory file and the environment switch them on."""

    def __init__(self, factory: Factory, app: Gateway):
        """Raises InputError where OpenTelemetry is wanted and not installed, OutputError for a log that cannot be written."""
        told = factory.serve.telemetry
        wants = wanted(told)
        self._observers: list[Any] = exporters(wants, factory.name) if wants else []
        if "traces" in wants:
            app.tracing = Tracing(self._observers[0].sampled)
        if told.calls:
            self._observers.append(CallLog(told.calls))
        app.meter.observers = tuple(self._observers)

    async def close(self) -> None:
        """When everything has been metered: what is queued goes out."""
        for observer in self._observers:
            await observer.close()
