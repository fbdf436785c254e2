"""OpenTelemetry GenAI spans over OTLP/HTTP: one export request a line (JSON) or a body (protobuf).

Only leaf inference spans count. A parent (`invoke_agent`, `invoke_workflow`, an inference span around another one) restates
its children and is rejected as "restated", with its reason; `execute_tool` is a cost event without a price. By the
conventions input tokens include cached ones and output tokens include reasoning; exporters that leave cached tokens out
need ``Context(input_tokens="exclusive")``. Parents and children in different exports are not seen together: the operation
name still tells an agent from a call.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from tokenworks.events.ledger_events import MICRO, AnyEvent, CostEvent, UsageEvent
from tokenworks.ledger.ingest.buckets import Buckets, Shown, inclusive_input, inclusive_output
from tokenworks.ledger.ingest.identity import Answer, placed, said, usage_event
from tokenworks.ledger.ingest.native import check
from tokenworks.ledger.ingest.otlp_spans import INPUT, OUTPUT, PARENTS, TOOL, Span, Tree, spans_of
from tokenworks.ledger.ingest.otlp_wire import export_request
from tokenworks.ledger.ingest.records import (
    Context,
    Record,
    RefusedError,
    Rejected,
    count,
    decode,
    encode,
    mapping,
    rejected,
    text_of,
    word,
)

READS = ("gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens")
WRITES = (
    "gen_ai.usage.cache_creation.input_tokens",
    "gen_ai.usage.cache_write.input_tokens",
    "gen_ai.usage.cache_creation_input_tokens",
    "gen_ai.usage.cache_write_input_tokens",
)
REASONING = (
    "gen_ai.usage.reasoning.output_tokens",
    "gen_ai.usage.reasoning_output_tokens",
    "gen_ai.usage.reasoning_tokens",
)
FIRST = ("gen_ai.response.time_to_first_chunk", "gen_ai.latency.time_to_first_token")  # seconds
OWN = "tokenworks."  # attributes that name fields of an event


def parse(lines: Iterable[str | bytes], context: Context) -> Iterator[AnyEvent | Rejected]:
    """Events of export requests in JSON, one a line."""
    for number, line in enumerate(lines, 1):
        try:
            text = text_of(line)
            if text:
                yield from read_export(mapping(decode(text), "the line"), context, number)
        except RefusedError as why:
            yield rejected(number, _shown(line), why)


def parse_protobuf(body: bytes, context: Context) -> Iterator[AnyEvent | Rejected]:
    """Events of one export request in protobuf; a body that cannot be read is one rejection, in hexadecimal."""
    try:
        yield from read_export(export_request(body), context, 1)
    except RefusedError as why:
        yield rejected(1, body.hex(), why)


def read_export(export: Record, context: Context, number: int) -> Iterator[AnyEvent | Rejected]:
    if "resourceSpans" not in export and "resource_spans" not in export:
        raise RefusedError("no resourceSpans: not an export request of traces")
    found = list(spans_of(export))
    spans = [span for span in found if isinstance(span, Span)]
    tree = Tree(spans)
    for item in found:
        if isinstance(item, Span):
            try:
                event = _event(item, tree, context)
                check(event, context)
                yield event
            except RefusedError as why:
                yield rejected(number, encode(item.raw), why)
        else:
            yield rejected(number, encode(item[0]), item[1])


def _event(span: Span, tree: Tree, context: Context) -> UsageEvent | CostEvent:
    if span.operation == TOOL:
        return _tool(span, tree, context)
    if span.operation in PARENTS or (span.inference and tree.restates(span)):
        raise RefusedError(_parent(span, tree), "restated")
    if span.inference and not span.operation and not context.engine_spans:
        raise RefusedError("an engine's span: by the context, the clients of this engine state its calls", "restated")
    if not span.inference:
        raise RefusedError(f"a span of no model ({span.operation or span.name or 'nameless'})", "unrelated")
    return usage_event(_answer(span, context), _about(span, tree), span.raw, encode(span.raw), context, "otlp")


def _parent(span: Span, tree: Tree) -> str:
    name = span.operation or "inference"
    if tree.restates(span):
        return f"a span of {name} restates what the calls inside it state"
    if span.states_usage:
        return f"a span of {name} states totals of calls that this export does not hold: agents are never billed"
    return f"a span of {name} stands for no call of its own"


def _answer(span: Span, context: Context) -> Answer:
    return Answer(
        id=f"{span.trace}/{span.span}",
        model=word(span.values, "gen_ai.response.model", "gen_ai.request.model"),
        operation=span.operation or "chat",
        time=None,
        buckets=_buckets(span, context) if span.states_usage else None,
        aborted=span.failed,
        ttft_us=_micro(span.values, FIRST),
        duration_us=_duration(span),
    )


def _buckets(span: Span, context: Context) -> Buckets:
    values = span.values
    told, made = count(values, *INPUT), count(values, *OUTPUT)
    read, write = count(values, *READS), count(values, *WRITES)
    if write is None and read is not None:
        write = 0
    if context.input_tokens == "exclusive" and told is not None:
        told += (read or 0) + (write or 0)
    fresh, read, write = inclusive_input(told, read, write)
    visible, hidden, tool = inclusive_output(made, count(values, *REASONING), _answered(values))
    return Buckets(fresh, read, write, visible, hidden, tool)


def _answered(values: Record) -> Shown:
    """By the finish reasons: an answer that stopped for tools may hold text besides; one that did not holds no tools."""
    reasons = values.get("gen_ai.response.finish_reasons")
    if not isinstance(reasons, list) or not reasons:
        return Shown()
    tools = any(reason in ("tool_calls", "tool_call", "tool_use", "function_call") for reason in reasons)
    return Shown(None if tools else True, tools)


def _about(span: Span, tree: Tree) -> dict[str, Any]:
    """The outermost agent is the root run, under the trace's id; an agent inside it is a run of its own."""
    agents = tree.agents(span)
    runs = [f"{span.trace}/{agent.span}" for agent in agents[:-1]] + [span.trace]
    found: dict[str, Any] = {
        "tenant": word(span.values, "tenant.id", "tenant"),
        "root_run": span.trace,
        "run": runs[0],
        "parent_run": runs[1] if len(runs) > 1 else "",
        "agent": word(span.values, "gen_ai.agent.name") or _agent(agents),
        "service": word(span.values, "service.name"),
        "conversation": word(span.values, "gen_ai.conversation.id"),
        "provider": word(span.values, "gen_ai.provider.name", "gen_ai.system"),
        "request_model": word(span.values, "gen_ai.request.model"),
        "failed": span.failed,
        "time_us": span.end_us if span.end_us is not None else span.start_us,
    }
    own = {k.removeprefix(OWN): v for k, v in span.values.items() if k.startswith(OWN)}
    return said({**{k: v for k, v in found.items() if v not in ("", None)}, **own}, {})


def _agent(agents: list[Span]) -> str:
    return next((name for a in agents if (name := word(a.values, "gen_ai.agent.name"))), "")


def _tool(span: Span, tree: Tree, context: Context) -> CostEvent:
    """A tool's use: one call, its price not known."""
    answer = Answer(f"{span.trace}/{span.span}", "", TOOL, None, None)
    about = _about(span, tree)
    tool = word(span.values, "gen_ai.tool.name")
    about["tags"] = {**about["tags"], **({"tool": tool} if tool else {})}
    return CostEvent(
        **placed(about, answer, span.raw, context, "otlp"),
        meter="tool_call",
        quantity_micro=MICRO,
        unit="call",
        amount_micro=None,
        raw=encode(span.raw),
    )


def _micro(values: Record, names: tuple[str, ...]) -> int | None:
    found = [values[name] for name in names if isinstance(values.get(name), (int, float))]
    return round(found[0] * MICRO) if found and 0 <= found[0] < 1e9 else None


def _duration(span: Span) -> int | None:
    if span.start_us is None or span.end_us is None or span.end_us < span.start_us:
        return None
    return span.end_us - span.start_us


def _shown(line: str | bytes) -> str:
    return line if isinstance(line, str) else line.decode(errors="replace")
