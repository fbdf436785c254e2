"""Usage records of Anthropic's shape: messages, and their streams.

A line is a message as the API gave it, a wrapper ``{"response": {…}}`` or ``{"stream": [event, …]}`` with tenant, run,
time … beside it (a message has no time of its own), or a line of a batch's results. Input tokens *exclude* cache reads
and cache creation: the three add up. Output tokens include thinking. What a compaction used is listed in ``iterations``
alone and is added; what an advisor used is listed there alone too, with a model of its own, and is an event of its own.
(Anthropic's pages on compaction at a token threshold and on the advisor tool, and its usage types, November 2026.)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from tokenworks.events.ledger_events import AnyEvent, UsageEvent
from tokenworks.ledger.ingest.buckets import Buckets, Shown, check_total, inclusive_output
from tokenworks.ledger.ingest.identity import Answer, beside, said, usage_event
from tokenworks.ledger.ingest.records import Context, Record, RefusedError, count, mapping, sequence, word

TEXT = ("text",)
TOOLS = ("tool_use", "server_tool_use", "mcp_tool_use")
THINKING = ("thinking", "redacted_thinking")
LIFETIMES = ("ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens")


def read(record: Record, raw: str, context: Context) -> Iterator[AnyEvent]:
    """Events of one line: its usage, and a cost event per kind of tool that the provider ran. Raises RefusedError."""
    record = _of_batch(record)
    wrapper = record if "response" in record or "stream" in record else {}
    if "stream" in record:
        message = joined(sequence(record["stream"], "stream"))
    else:
        message = mapping(record.get("response", record), "response")
    about = said(wrapper, mapping(record.get("metadata"), "metadata"))
    answer = answer_of(message, wrapper)
    usage = usage_event(answer, about, record, raw, context, "anthropic")
    yield usage
    yield from _advice(usage, mapping(message.get("usage"), "usage"))
    tools = mapping(mapping(message.get("usage"), "usage").get("server_tool_use"), "server_tool_use")
    for name in sorted(tools):
        if number := count(tools, name):
            yield beside(usage, name.removesuffix("_requests"), number)


def _of_batch(record: Record) -> Record:
    """A line of a batch's results is a wrapper too. Raises RefusedError where no model ran for it."""
    if "result" not in record or "custom_id" not in record:
        return record
    result = mapping(record["result"], "result")
    if word(result, "type") != "succeeded":
        raise RefusedError(f"a batch's request {word(result, 'type') or 'without a result'}: no model ran", "unrelated")
    return {**record, "response": result.get("message")}


def answer_of(message: Record, wrapper: Record) -> Answer:
    usage = message.get("usage")
    return Answer(
        id=word(message, "id") or word(wrapper, "id"),
        model=word(message, "model") or word(wrapper, "model", "request_model"),
        operation="chat",
        time=None,
        buckets=None if usage is None else _buckets(mapping(usage, "usage"), message, count(wrapper, "produced")),
        aborted=bool(message.get("aborted") or wrapper.get("aborted") or wrapper.get("error")),
    )


def _buckets(usage: Record, message: Record, produced: int | None) -> Buckets:
    """``produced``: what somebody counted of a stream that broke off before its final count."""
    made = count(usage, "output_tokens")
    if made is not None and produced is not None:
        made = max(made, produced)
    if made is None or count(usage, "input_tokens") is None:
        raise RefusedError("usage lacks input_tokens or output_tokens")
    thinking = count(mapping(usage.get("output_tokens_details"), "output_tokens_details"), "thinking_tokens")
    blocks = {word(mapping(b, "content"), "type") for b in sequence(message.get("content"), "content")}
    if thinking is None and blocks and blocks.isdisjoint(THINKING):
        thinking = 0
    text, hidden, tool = inclusive_output(made, thinking, _shown(blocks))
    extra = _compaction(usage)
    buckets = Buckets(
        input_fresh=_plus(count(usage, "input_tokens"), extra["input_tokens"]),
        cache_read=_plus(count(usage, "cache_read_input_tokens"), extra["cache_read_input_tokens"]),
        cache_write=_plus(_written(usage), extra["cache_creation_input_tokens"]),
        output_visible=text,
        output_reasoning=_plus(hidden, extra["output_tokens"]),  # a summary that only the model reads
        output_tool=tool,
    )
    check_total(None, buckets.known)
    return buckets


def _shown(blocks: set[str]) -> Shown:
    return Shown(not blocks.isdisjoint(TEXT), not blocks.isdisjoint(TOOLS)) if blocks else Shown()


def _written(usage: Record) -> int | None:
    """Cache writes: the sum, which must agree with its 5-minute and 1-hour parts where both are stated."""
    parts = mapping(usage.get("cache_creation"), "cache_creation")
    lives = [count(parts, name) for name in LIFETIMES]
    total = count(usage, "cache_creation_input_tokens")
    if all(life is None for life in lives):
        return total
    summed = sum(life or 0 for life in lives)
    if total is not None and total != summed:
        raise RefusedError(f"cache_creation_input_tokens {total} is not the sum of its lifetimes, {summed}")
    return summed


def _advice(usage: UsageEvent, counts: Record) -> Iterator[UsageEvent]:
    """What other models used that were asked inside the call: one event each, whose output only the model reads."""
    steps = [mapping(i, "iteration") for i in sequence(counts.get("iterations"), "iterations")]
    for number, step in enumerate((s for s in steps if s.get("type") == "advisor_message"), 1):
        made = count(step, "output_tokens")
        if not word(step, "model") or made is None:
            raise RefusedError("an advisor_message of iterations lacks model or output_tokens")
        yield msgspec.structs.replace(
            usage, id=f"{usage.id}/advisor/{number}", model=word(step, "model"), request_model="", purpose="advise",
            input_fresh=count(step, "input_tokens"), cache_read=count(step, "cache_read_input_tokens"),
            cache_write=_written(step), output_visible=0, output_reasoning=made, output_tool=0, final=False,
            ttft_us=None, duration_us=None, energy_uj=None, cost_micro_usd=None, raw="",
        )  # fmt: skip


def _compaction(usage: Record) -> dict[str, int]:
    names = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens")
    steps = [mapping(i, "iteration") for i in sequence(usage.get("iterations"), "iterations")]
    apart = [step for step in steps if step.get("type") == "compaction"]
    return {name: sum(count(step, name) or 0 for step in apart) for name in names}


def _plus(number: int | None, more: int) -> int | None:
    return number if not more else (number or 0) + more


def joined(events: list[Any]) -> Record:
    """The message of a stream: the start's counts, overwritten by the last delta's, which are cumulative."""
    kinds = [mapping(event, "event") for event in events]
    starts = [e for e in kinds if e.get("type") == "message_start"]
    if len(starts) != 1:
        raise RefusedError(f"a stream holds one message_start, this one {len(starts)}")
    message = dict(mapping(starts[0].get("message"), "message"))
    usage = dict(mapping(message.get("usage"), "usage"))
    for event in kinds:
        if event.get("type") == "message_delta":
            usage |= {k: v for k, v in mapping(event.get("usage"), "usage").items() if v is not None}
    blocks = [e.get("content_block") for e in kinds if e.get("type") == "content_block_start"]
    ended = any(e.get("type") == "message_stop" for e in kinds)
    return {**message, "usage": usage or None, "content": blocks, "aborted": not ended}
