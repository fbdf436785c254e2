"""A stream of chunks joined into one answer: the last usage that any chunk states, and whether it ended."""

from __future__ import annotations

from typing import Any

from tokenworks.ledger.ingest.records import Record, RefusedError, mapping

ENDS = ("response.completed", "response.incomplete")


def joined(chunks: list[Any]) -> Record:
    """The answer of a stream. ``aborted`` where no chunk says that it ended; usage is missing where none states it.

    Usage in a chunk is cumulative: the last one counts, they are never added.
    """
    events = [mapping(chunk, "chunk") for chunk in chunks]
    if not events:
        raise RefusedError("an empty stream")
    if any("response" in event for event in events):
        return _of_responses(events)
    return _of_chat(events)


def _of_responses(events: list[Record]) -> Record:
    last = mapping([e for e in events if e.get("response")][-1]["response"], "response")
    return {**last, "aborted": events[-1].get("type") not in ENDS}


def _of_chat(events: list[Record]) -> Record:
    first = next((e for e in events if e.get("id")), events[0])
    usage = [e["usage"] for e in events if e.get("usage") is not None]
    choices = [mapping(c, "choice") for e in events for c in e.get("choices") or ()]
    deltas = [mapping(c.get("delta"), "delta") for c in choices]
    message = {
        "content": "".join(d["content"] for d in deltas if isinstance(d.get("content"), str)),
        "tool_calls": [call for d in deltas for call in d.get("tool_calls") or ()],
    }
    ended = any(c.get("finish_reason") for c in choices)
    answered = any(message.values())
    return {
        **{k: first[k] for k in ("id", "model", "created") if k in first},
        "usage": usage[-1] if usage else None,
        "choices": [{"message": message}] if answered else [],
        "aborted": not ended,
    }
