"""LiteLLM's request logs: one StandardLoggingPayload a line (or a wrapper with it as ``standard_logging_object``).

LiteLLM brings every provider's usage into OpenAI's shape: prompt tokens include cache reads and writes. Every retry is a
payload of its own with an id of its own; ``trace_id`` joins them. An answer from LiteLLM's own cache used no model.
"""

from __future__ import annotations

from collections.abc import Iterator

from tokenworks.events.ledger_events import MICRO, AnyEvent
from tokenworks.ledger.ingest.buckets import Buckets, check_total
from tokenworks.ledger.ingest.identity import OWN, SAID, Answer, said, usage_event
from tokenworks.ledger.ingest.openai import buckets_of, shown
from tokenworks.ledger.ingest.records import Context, Record, RefusedError, count, mapping, sequence, word

OPERATIONS = {"completion": "chat", "embedding": "embeddings", "text_completion": "text_completion"}
TENANTS = ("user_api_key_org_id", "user_api_key_team_id", "user_api_key_alias", "user_api_key_hash")


def read(record: Record, raw: str, context: Context) -> Iterator[AnyEvent]:
    """The attempt's event. Raises RefusedError; of the kind "restated" for an answer out of LiteLLM's cache."""
    payload = mapping(record.get("standard_logging_object", record), "standard_logging_object")
    if payload.get("cache_hit") is True:
        raise RefusedError(
            "answered from LiteLLM's own cache: no model ran, the tokens are those of an earlier call", "restated"
        )
    yield usage_event(_answer(payload), _about(record, payload), payload, raw, context, "litellm")


def _answer(payload: Record) -> Answer:
    failed = word(payload, "status") == "failure"
    start, end = payload.get("startTime"), payload.get("endTime")
    return Answer(
        id=word(payload, "id", "litellm_call_id"),
        model=word(payload, "model"),
        operation=OPERATIONS.get(word(payload, "call_type").removeprefix("a"), word(payload, "call_type") or "chat"),
        time=start if end is None else end,
        buckets=_buckets(payload),
        aborted=failed,
        ttft_us=_span(start, payload.get("completionStartTime")) if payload.get("stream") else None,
        duration_us=_span(start, end),
    )


def _buckets(payload: Record) -> Buckets | None:
    """The usage object where there is one (it holds the parts), else the payload's three totals, else nothing."""
    response = payload.get("response")
    response = response if isinstance(response, dict) else {}
    metadata = mapping(payload.get("metadata"), "metadata")
    usage = metadata.get("usage_object") or response.get("usage")
    told, made = count(payload, "prompt_tokens"), count(payload, "completion_tokens")
    if usage is None:
        if told is None and made is None:
            return None
        usage = {k: payload[k] for k in ("prompt_tokens", "completion_tokens", "total_tokens") if k in payload}
    buckets = buckets_of(mapping(usage, "usage"), shown(response))
    check_total(count(payload, "total_tokens"), told, made)
    if None not in (told, made):
        _same(told, mapping(usage, "usage"), ("prompt_tokens", "input_tokens"))
        _same(made, mapping(usage, "usage"), ("completion_tokens", "output_tokens"))
    return buckets


def _same(stated: int | None, usage: Record, names: tuple[str, str]) -> None:
    if count(usage, *names) != stated:
        raise RefusedError(f"the payload's {names[0]} {stated} is not its usage object's {count(usage, *names)}")


def _about(record: Record, payload: Record) -> Record:
    """A key's organisation, team, alias or hash is the tenant; the trace is the run; request tags are tags. What the
    caller logged about the run itself (``spend_logs_metadata``) comes before these."""
    metadata = mapping(payload.get("metadata"), "metadata")
    own = mapping(metadata.get("spend_logs_metadata"), "spend_logs_metadata")
    tags = {str(tag): "true" for tag in sequence(payload.get("request_tags"), "request_tags")}
    if word(payload, "end_user"):
        tags["end_user"] = word(payload, "end_user")
    found = {
        "tenant": word(metadata, *TENANTS),
        "root_run": word(payload, "trace_id"),
        "request_model": word(payload, "model_group"),
        "provider": word(payload, "custom_llm_provider"),
        "failed": word(payload, "status") == "failure",
    }
    about = {k: v for k, v in {**found, **{k: own[k] for k in SAID if k in own}}.items() if v not in (None, "")}
    if record is not payload:
        about |= {k: v for k, v in record.items() if k in OWN and v not in (None, "")}
    return said({**about, "tags": tags}, own)


def _span(start: object, end: object) -> int | None:
    """Microseconds between two times in seconds; None where one is missing or they run backwards."""
    if isinstance(start, (int, float)) and isinstance(end, (int, float)) and end >= start:
        return round((end - start) * MICRO)
    return None
