"""Usage records of OpenAI's shape: chat completions, completions, responses, and streams of chunks of any of them.

A line is an answer as the API gave it, a wrapper ``{"response": {…}}`` or ``{"stream": [chunk, …]}`` with tenant, run,
time, attempt … beside it, or a line of a batch's results. Prompt tokens *include* cached ones and cache writes;
completion tokens *include* reasoning and rejected predictions: subsets, never added on top.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tokenworks.events.ledger_events import AnyEvent
from tokenworks.ledger.ingest.buckets import Buckets, Shown, check_total, inclusive_input, inclusive_output
from tokenworks.ledger.ingest.identity import Answer, beside, said, usage_event
from tokenworks.ledger.ingest.openai_stream import joined
from tokenworks.ledger.ingest.records import Context, Record, RefusedError, count, mapping, sequence, word

SERVER_TOOLS = ("web_search_call", "file_search_call", "code_interpreter_call", "image_generation_call")
BROKEN = ("failed", "cancelled", "in_progress", "queued")
INPUT_DETAILS = ("prompt_tokens_details", "input_tokens_details")
OUTPUT_DETAILS = ("completion_tokens_details", "output_tokens_details")
WRITES = ("cache_write_tokens", "cache_creation_tokens")


def read(record: Record, raw: str, context: Context) -> Iterator[AnyEvent]:
    """Events of one line: its usage, and a cost event per kind of tool that the provider ran. Raises RefusedError."""
    wrapper = record if "response" in record or "stream" in record else {}
    response = joined(sequence(record["stream"], "stream")) if "stream" in record else _response(record)
    about = said(wrapper, response.get("metadata") or {})
    usage = usage_event(answer_of(response, wrapper), about, record, raw, context, "openai")
    yield usage
    for kind in SERVER_TOOLS:
        if number := sum(item.get("type") == kind for item in _items(response)):
            yield beside(usage, kind.removesuffix("_call"), number)


def _response(record: Record) -> Record:
    response = record.get("response", record)
    if response is None:
        return {}
    response = mapping(response, "response")
    return mapping(response["body"], "body") if "status_code" in response else response


def answer_of(response: Record, wrapper: Record) -> Answer:
    """One attempt. A wrapper's ``produced`` is what somebody counted of a stream that broke off."""
    usage = response.get("usage")
    buckets = buckets_of(mapping(usage, "usage"), shown(response)) if usage is not None else None
    produced = count(wrapper, "produced")
    if buckets is None and produced:
        buckets = Buckets(None, None, None, produced, None, None)
    return Answer(
        id=word(response, "id") or word(wrapper, "id"),
        model=word(response, "model") or word(wrapper, "model", "request_model"),
        operation=_operation(response),
        time=response.get("created", response.get("created_at")),
        buckets=buckets,
        aborted=_aborted(response, wrapper),
        source_of_usage="provider" if usage is not None or not produced else "estimate",
    )


def buckets_of(usage: Record, seen: Shown) -> Buckets:
    """Disjoint buckets of a usage block; the fields of both APIs are understood. Raises RefusedError."""
    told = count(usage, "prompt_tokens", "input_tokens")
    made = count(usage, "completion_tokens", "output_tokens")
    if told is None and made is None:
        raise RefusedError("usage states neither input nor output tokens")
    total = count(usage, "total_tokens")
    if made is None and total == told:
        made = 0  # an embedding: its total is its input
    inside, outside = _details(usage, INPUT_DETAILS), _details(usage, OUTPUT_DETAILS)
    read_ = count({**inside, **_flat(usage, "cache_read_input_tokens")}, "cached_tokens", "cache_read_input_tokens")
    write = count({**inside, **_flat(usage, "cache_creation_input_tokens")}, *WRITES, "cache_creation_input_tokens")
    if write is None and read_ is not None:
        write = 0  # who states cache reads and no writes charges none: they are fresh input
    fresh, read_, write = inclusive_input(told, read_, write)
    visible, hidden, tool = inclusive_output(made, _hidden(outside), seen)
    check_total(total, told, made)
    return Buckets(fresh, read_, write, visible, hidden, tool)


def _hidden(details: Record) -> int | None:
    """Output that nobody sees: reasoning and rejected predictions; None where neither is stated."""
    parts = [count(details, name) for name in ("reasoning_tokens", "rejected_prediction_tokens")]
    return None if parts[0] is None else parts[0] + (parts[1] or 0)


def _details(usage: Record, names: tuple[str, ...]) -> Record:
    return next((mapping(usage[name], name) for name in names if usage.get(name) is not None), {})


def _flat(usage: Record, name: str) -> dict[str, Any]:
    """A part that gateways print beside the totals."""
    return {name: usage[name]} if usage.get(name) is not None else {}


def shown(response: Record) -> Shown:
    """Whether the answer holds text and calls of tools, where the record holds the answer."""
    if response.get("choices"):
        messages = [mapping(mapping(c, "choice").get("message"), "message") for c in response["choices"]]
        if not any(messages):
            return Shown(text=True, tools=False) if any("text" in c for c in response["choices"]) else Shown()
        called = any(m.get("tool_calls") or m.get("function_call") for m in messages)
        return Shown(any(m.get("content") or m.get("refusal") for m in messages), called)
    if items := _items(response):
        kinds = [word(item, "type") for item in items]
        return Shown("message" in kinds, any(k.endswith("_call") for k in kinds))
    return Shown()


def _items(response: Record) -> list[Record]:
    return [mapping(item, "output item") for item in sequence(response.get("output"), "output")]


def _operation(response: Record) -> str:
    kind = word(response, "object")
    return {"text_completion": "text_completion", "list": "embeddings"}.get(kind, "chat")


def _aborted(response: Record, wrapper: Record) -> bool:
    """Broken off: the wrapper says so, the answer carries an error, or its status is no end."""
    return bool(
        wrapper.get("aborted")
        or wrapper.get("error")
        or response.get("aborted")
        or response.get("error")
        or word(response, "status") in BROKEN
    )
