"""Short ways to make records and to look at what became of them."""

import json

from tokenworks.events.ledger_events import BUCKETS, UsageEvent
from tokenworks.ledger.ingest.parse import parse
from tokenworks.ledger.ingest.records import Context, Rejected

ACME = Context(tenant="acme")
NOON = "2026-03-01T12:00:00Z"
NOON_US = 1_772_366_400_000_000

NATIVE = {
    "type": "usage",
    "source": "s",
    "id": "1",
    "time_us": NOON_US,
    "tenant": "t",
    "model": "m",
    "input_fresh": 1,
    "cache_read": 0,
    "output_visible": 1,
}


def read(format, *records, context=ACME):
    return list(parse(format, [r if isinstance(r, (str, bytes)) else json.dumps(r) for r in records], context))


def one(format, *records, context=ACME):
    """The only event of the records, which is a usage event."""
    (event,) = read(format, *records, context=context)
    assert isinstance(event, UsageEvent), event
    return event


def reason(format, record, context=ACME):
    """Why the record is rejected."""
    (found,) = read(format, record, context=context)
    assert isinstance(found, Rejected), found
    return found.reason


def buckets(event):
    return tuple(getattr(event, name) for name in BUCKETS)


def total(event):
    return sum(n or 0 for n in buckets(event))


def chat(usage, *, message=None, **more):
    """An answer of OpenAI's chat completions."""
    choices = {} if message is None else {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1772366400,
        "model": "gpt-5",
        "usage": usage,
        **choices,
        **more,
    }


def message(usage, content=(), **more):
    """A message of Anthropic's, in a wrapper that gives it a time."""
    answer = {"id": "msg_1", "type": "message", "model": "claude-sonnet-4-5", "content": list(content), "usage": usage}
    return {"time": NOON, "response": answer, **more}


def payload(**more):
    """A LiteLLM StandardLoggingPayload."""
    return {
        "id": "chatcmpl-9",
        "trace_id": "trace-1",
        "call_type": "acompletion",
        "status": "success",
        "model": "gpt-5",
        "model_group": "smart",
        "custom_llm_provider": "openai",
        "startTime": 1772366400.0,
        "endTime": 1772366402.5,
        "completionStartTime": 1772366400.4,
        "stream": True,
        "prompt_tokens": 1000,
        "completion_tokens": 200,
        "total_tokens": 1200,
        "metadata": {"user_api_key_team_id": "team-red"},
        "cache_hit": False,
        "request_tags": ["prod"],
        **more,
    }


def span(operation, number, parent="", **values):
    """An OTLP span in JSON; values are attributes, with dots for double underscores."""
    attributes = {"gen_ai.operation.name": operation} if operation else {}
    attributes |= {name.replace("__", "."): value for name, value in values.items()}
    return {
        "traceId": "0af7651916cd43dd8448eb211c80319c",
        "spanId": f"{number:016x}",
        "parentSpanId": parent and f"{parent:016x}",
        "name": f"{operation} x",
        "kind": 3,
        "startTimeUnixNano": str((NOON_US + number) * 1000),
        "endTimeUnixNano": str((NOON_US + number + 250_000) * 1000),
        "attributes": [{"key": k, "value": _value(v)} for k, v in attributes.items()],
    }


def _value(value):
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [_value(v) for v in value]}}
    return {"stringValue": value}


def export(*spans, **resource):
    attributes = [{"key": k.replace("__", "."), "value": _value(v)} for k, v in resource.items()]
    return {"resourceSpans": [{"resource": {"attributes": attributes}, "scopeSpans": [{"spans": list(spans)}]}]}


def use(told, made, **more):
    """Usage attributes of a span."""
    return {
        "gen_ai__usage__input_tokens": told,
        "gen_ai__usage__output_tokens": made,
        "gen_ai__response__model": "gpt-5",
        **more,
    }
