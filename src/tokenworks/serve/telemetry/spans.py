"""Spans of attempts through OpenTelemetry's SDK: queued on the event loop, exported in batches by the SDK's own thread."""

from __future__ import annotations

import asyncio

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from tokenworks.events.ledger_events import UsageEvent
from tokenworks.serve.telemetry.attributes import error_type, of_span
from tokenworks.serve.telemetry.trace import Trace, span_of

SCOPE = InstrumentationScope("tokenworks.serve")


class Spans:
    """An observer. ``processor`` takes finished spans; samplers are the SDK's, as OTEL_TRACES_SAMPLER says."""

    def __init__(self, processor: SpanProcessor, resource: Resource):
        self._processor, self._resource = processor, resource
        self._sampler = TracerProvider(resource=resource, shutdown_on_exit=False).sampler

    def sampled(self, trace: str, parent: str, parent_sampled: bool) -> bool:
        above = None
        if parent:
            above = set_span_in_context(NonRecordingSpan(_context(trace, parent, parent_sampled, remote=True)))
        return bool(self._sampler.should_sample(above, int(trace, 16), "gen_ai").decision.is_sampled())

    def observe(self, event: UsageEvent, trace: Trace | None) -> None:
        if trace is None or not trace.sampled:
            return
        wrong = error_type(event)
        span = ReadableSpan(
            name=f"{event.operation} {event.request_model}",
            context=_context(trace.id, span_of(event.id), True),
            parent=_context(trace.id, trace.parent, True, remote=True) if trace.parent else None,
            resource=self._resource,
            attributes=of_span(event),
            kind=SpanKind.CLIENT,
            instrumentation_scope=SCOPE,
            status=Status(StatusCode.ERROR, wrong) if wrong else Status(StatusCode.UNSET),
            start_time=(event.time_us - (event.duration_us or 0)) * 1000,
            end_time=event.time_us * 1000,
        )
        self._processor.on_end(span)

    async def close(self) -> None:
        """Exports what is queued."""
        await asyncio.to_thread(self._processor.shutdown)


def _context(trace: str, span: str, sampled: bool, remote: bool = False) -> SpanContext:
    return SpanContext(int(trace, 16), int(span, 16), remote, TraceFlags(int(sampled)))
