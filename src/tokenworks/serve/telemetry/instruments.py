"""Metrics of attempts through OpenTelemetry's SDK, exported every so often by its own thread (OTEL_METRIC_EXPORT_INTERVAL).

Names, units and edges: semantic conventions for generative AI metrics.
"""

from __future__ import annotations

import asyncio

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader
from opentelemetry.sdk.resources import Resource

from tokenworks.events.ledger_events import INPUT, OUTPUT, UsageEvent
from tokenworks.serve.telemetry.attributes import common, error_type, tokens
from tokenworks.serve.telemetry.trace import Trace

TOKENS = tuple(4**n for n in range(14))
DURATION_S = tuple(0.01 * 2**n for n in range(14))
FIRST_S = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
PER_TOKEN_S = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)


class Instruments:
    """An observer."""

    def __init__(self, reader: MetricReader, resource: Resource):
        self._provider = MeterProvider([reader], resource, shutdown_on_exit=False)
        meter = self._provider.get_meter("tokenworks.serve")

        def histogram(name: str, unit: str, edges: tuple[float, ...]):  # type: ignore[no-untyped-def]
            return meter.create_histogram(name, unit, explicit_bucket_boundaries_advisory=edges)

        self._tokens = histogram("gen_ai.client.token.usage", "{token}", TOKENS)
        self._duration = histogram("gen_ai.server.request.duration", "s", DURATION_S)
        self._first = histogram("gen_ai.server.time_to_first_token", "s", FIRST_S)
        self._per_token = histogram("gen_ai.server.time_per_output_token", "s", PER_TOKEN_S)

    def observe(self, event: UsageEvent, trace: Trace | None) -> None:
        about, wrong = common(event), error_type(event)
        for kind, names in (("input", INPUT), ("output", OUTPUT)):
            count = tokens(event, names)
            if count is not None:
                self._tokens.record(count, {**about, "gen_ai.token.type": kind})
        if event.duration_us is None:
            return
        self._duration.record(event.duration_us / 1e6, {**about, "error.type": wrong} if wrong else about)
        if event.ttft_us is None or wrong:  # both are of answers that succeeded
            return
        self._first.record(event.ttft_us / 1e6, about)
        made = tokens(event, OUTPUT) or 0
        if made > 1:
            self._per_token.record((event.duration_us - event.ttft_us) / 1e6 / (made - 1), about)

    async def close(self) -> None:
        """Exports what has changed since the last export."""
        await asyncio.to_thread(self._provider.shutdown)
