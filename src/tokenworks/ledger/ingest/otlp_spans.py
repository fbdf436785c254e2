"""OTLP's spans as flat records, and which of them bill: the tree of an export."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tokenworks.ledger.ingest.records import Record, RefusedError, mapping, sequence, word

INFERENCE = ("chat", "text_completion", "generate_content", "embeddings")
PARENTS = ("invoke_agent", "create_agent", "invoke_workflow", "plan")
TOOL = "execute_tool"
INPUT = ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens")
OUTPUT = ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens")


@dataclass(frozen=True)
class Span:
    """One span with its attributes as plain values, the resource's beneath them."""

    trace: str
    span: str
    parent: str
    start_us: int | None
    end_us: int | None
    failed: bool
    name: str
    values: Mapping[str, Any]
    raw: Record = field(repr=False)  # an export request of this span alone, with its resource: it can be read again

    @property
    def operation(self) -> str:
        return word(self.values, "gen_ai.operation.name")

    @property
    def states_usage(self) -> bool:
        return any(self.values.get(name) is not None for name in (*INPUT, *OUTPUT))

    @property
    def inference(self) -> bool:
        """Of a model: by its operation, or, where it names none (engines do not), because it states usage."""
        return self.operation in INFERENCE or (not self.operation and self.states_usage)


def spans_of(export: Record) -> Iterator[Span | tuple[Record, RefusedError]]:
    """All spans of an export request, each broken one as what it was and why. Raises RefusedError for a broken request."""
    for group in sequence(export.get("resourceSpans", export.get("resource_spans")), "resourceSpans"):
        group = mapping(group, "resourceSpans")
        holder = mapping(group.get("resource"), "resource")
        resource = _plain(holder.get("attributes"))
        for scope in sequence(group.get("scopeSpans", group.get("scope_spans")), "scopeSpans"):
            for span in sequence(mapping(scope, "scopeSpans").get("spans"), "spans"):
                span = mapping(span, "span")
                alone = {"resourceSpans": [{"resource": holder, "scopeSpans": [{"spans": [span]}]}]}
                try:
                    yield _span(span, resource, alone)
                except RefusedError as why:
                    yield alone, why


def _span(span: Record, resource: Record, alone: Record) -> Span:
    trace, own = word(span, "traceId", "trace_id"), word(span, "spanId", "span_id")
    if not trace or not own:
        raise RefusedError("a span lacks traceId or spanId")
    status = mapping(span.get("status"), "status").get("code", 0)
    values = {**resource, **_plain(span.get("attributes"))}
    return Span(
        trace=trace.lower(),
        span=own.lower(),
        parent=word(span, "parentSpanId", "parent_span_id").lower(),
        start_us=_us(span, "startTimeUnixNano", "start_time_unix_nano"),
        end_us=_us(span, "endTimeUnixNano", "end_time_unix_nano"),
        failed=status in (2, "STATUS_CODE_ERROR") or bool(word(values, "error.type")),
        values=values,
        name=word(span, "name"),
        raw=alone,
    )


def _us(span: Record, *names: str) -> int | None:
    text = word(span, *names)
    return int(text) // 1000 if text.isdigit() and int(text) else None


def _plain(attributes: Any) -> dict[str, Any]:
    return {word(mapping(a, "attribute"), "key"): _value(a.get("value")) for a in sequence(attributes, "attributes")}


def _value(value: Any) -> Any:
    """JSON writes 64-bit numbers as text; a value of no known kind is nothing."""
    value = mapping(value, "value")
    if "intValue" in value:
        text = str(value["intValue"])
        if not text.removeprefix("-").isdigit():
            raise RefusedError(f"intValue {text!r} is not a whole number")
        return int(text)
    for name in ("stringValue", "boolValue", "doubleValue"):
        if name in value:
            return value[name]
    if "arrayValue" in value:
        return [_value(item) for item in sequence(mapping(value["arrayValue"], "arrayValue").get("values"), "values")]
    return None


class Tree:
    """The spans of one export by parent, to find the agents above a call and the calls inside one."""

    def __init__(self, spans: list[Span]):
        self.by_id = {(s.trace, s.span): s for s in spans}
        self.restating = {id(above) for s in spans if s.inference and s.states_usage for above in self.above(s)}

    def above(self, span: Span) -> Iterator[Span]:
        """Ancestors, nearest first, as far as the export holds them; a circle of parents ends where it closes."""
        seen = {span.span}
        while (span.trace, span.parent) in self.by_id and span.parent not in seen:
            span = self.by_id[span.trace, span.parent]
            seen.add(span.span)
            yield span

    def restates(self, span: Span) -> bool:
        """Does a call inside this span state usage of its own?"""
        return id(span) in self.restating

    def agents(self, span: Span) -> list[Span]:
        """Agents that the span belongs to, innermost first."""
        return [s for s in self.above(span) if s.operation == "invoke_agent"]
