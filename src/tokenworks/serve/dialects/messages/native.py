"""Answers of upstreams that speak Anthropic's dialect themselves: forwarded as they are, their usage read on the way."""

from __future__ import annotations

from typing import Any

import msgspec

from tokenworks.ledger.ingest import anthropic
from tokenworks.ledger.ingest.buckets import Buckets, never_zero
from tokenworks.ledger.ingest.records import RefusedError
from tokenworks.serve.body.faults import NOT_JSON
from tokenworks.serve.body.stream import json_of
from tokenworks.serve.body.usage import MISSING, Told
from tokenworks.serve.dialects.events import Events

START, DELTA, STOP = b"message_start", b"message_delta", b"message_stop"
PIECE = (b'_delta","text":"', b'_delta","thinking":"', b'_delta","partial_json":"')


def told_of(message: bytes) -> Told:
    """Of a whole message."""
    try:
        found = msgspec.json.decode(message, type=dict[str, Any])
    except NOT_JSON:
        return MISSING
    buckets = _buckets(found)
    return Told(buckets, "engine", "final") if buckets else MISSING


def _buckets(message: dict[str, Any]) -> Buckets | None:
    try:
        return anthropic.answer_of(message, {}).buckets
    except RefusedError:
        return None


class MessageStream(Events):
    """Held back from message_delta on, which says why and with how many tokens the answer ends."""

    ends = (DELTA, STOP)
    last = STOP

    def __init__(self) -> None:
        super().__init__()
        self._start: dict[str, Any] = {}
        self._usage: dict[str, Any] = {}
        self._pieces = 0

    def seen(self, name: bytes, event: bytes) -> None:
        if name not in (START, DELTA):
            self._pieces += name == b"content_block_delta"
            return
        try:
            found = msgspec.json.decode(json_of(event), type=dict[str, Any])
            self._start = found["message"] if name == START else self._start
            usage = self._start["usage"] if name == START else found["usage"]
            self._usage |= {k: v for k, v in usage.items() if v is not None}
        except (*NOT_JSON, KeyError, AttributeError, TypeError):
            return  # what is stated otherwise is not stated

    def told(self, whole: bool) -> Told:
        if not self._usage:
            return (
                Told(Buckets(None, None, None, self._pieces, None, None), "estimate", "partial")
                if self._pieces
                else MISSING
            )
        made = self._usage.get("output_tokens")
        counted = not self.held and isinstance(made, int) and made < self._pieces
        buckets = _buckets(
            {**self._start, "usage": {**self._usage, "output_tokens": self._pieces} if counted else self._usage}
        )
        if buckets is None:
            return MISSING
        return Told(
            buckets if whole else never_zero(buckets),
            "estimate" if counted else "engine",
            "final" if whole else "partial",
        )
