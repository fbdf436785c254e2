"""Answers of chat completions as Anthropic's messages, whole or as events."""

from __future__ import annotations

from typing import Any

import msgspec

from tokenworks.serve.body.faults import NOT_JSON
from tokenworks.serve.dialects.chat import Answer, Choice, Piece, Usage, Writer, decoded, event, only, pieces, usage_of
from tokenworks.serve.dialects.way import Unfit
from tokenworks.serve.uuids import uuid7

Json = dict[str, Any]
REASONS = {
    "stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "function_call": "tool_use",
    "content_filter": "refusal",
}  # fmt: skip


def new_id(prefix: str) -> str:
    return f"{prefix}_{uuid7().replace('-', '')}"


def message(text: bytes, model: str) -> bytes:
    """A whole answer. Raises Unfit."""
    answer = decoded(text)
    choice = only(answer)
    content = [_block(piece, choice) for piece in pieces(choice.message)]
    called = any(block["type"] == "tool_use" for block in content)
    reason, sequence = _ending(choice, refused=bool(choice.message and choice.message.refusal), called=called)
    ended = {"stop_reason": reason, "stop_sequence": sequence, "usage": usage_block(usage_of(bytes(answer.usage)))}
    return msgspec.json.encode(_frame(model) | {"content": content} | ended)


def _frame(model: str) -> Json:
    return {"id": new_id("msg"), "type": "message", "role": "assistant", "model": model}


def _block(piece: Piece, choice: Choice) -> Json:
    if piece.kind == "tool":
        return {
            "type": "tool_use",
            "id": piece.id or new_id("toolu"),
            "name": _name(piece),
            "input": _input(piece, choice),
        }
    if piece.kind == "reasoning":
        return {"type": "thinking", "thinking": piece.text, "signature": ""}
    return {"type": "text", "text": piece.text}


def _name(piece: Piece) -> str:
    if not piece.name:
        raise Unfit("its call of a tool has no name")
    return piece.name


def _input(piece: Piece, choice: Choice) -> Json:
    """What the limit cut off is no JSON: such a call has no input, and ``max_tokens`` says why."""
    try:
        return msgspec.json.decode(piece.text or "{}", type=Json)
    except NOT_JSON:
        if choice.finish_reason == "length":
            return {}
        raise Unfit(f"what it calls the tool {piece.name} with is no JSON object") from None


def _ending(choice: Choice, refused: bool, called: bool) -> tuple[str, str | None]:
    """``called``: a tool. Engines say ``stop`` all the same where the caller named it."""
    if refused:
        return "refusal", None
    if called and choice.finish_reason in (None, "stop"):
        return "tool_use", None
    if choice.finish_reason == "stop" and isinstance(choice.stop_reason, str):
        return "stop_sequence", choice.stop_reason
    return REASONS.get(choice.finish_reason or "stop", "end_turn"), None


def usage_block(usage: Usage) -> Json:
    """Anthropic's input excludes what was read from the cache."""
    return {
        "input_tokens": max(0, usage.prompt_tokens - usage.cached), "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cached, "output_tokens": usage.completion_tokens,
    }  # fmt: skip


class MessageEvents(Writer):
    """message_start, ping, then blocks one after the other, message_delta, message_stop. Chat completions tell the input's
    tokens at the end: message_start says 0, message_delta the truth."""

    def __init__(self, model: str):
        self._model = model
        self._started = self._failed = self._refused = self._called = False
        self._open: tuple[str, int] | None = None  # kind and place of the block that is being written
        self._closed: set[tuple[str, int]] = set()
        self._index = -1
        self._last = Choice()

    def chunk(self, chunk: Answer) -> bytes:
        if chunk.error:
            self._failed, self.finish = True, "error"
            return event("error", {"error": {"type": "api_error", "message": chunk.error.message}})
        out = [] if self._started else [self._start()]
        for choice in chunk.choices:
            if choice.index:
                continue
            out += [self._piece(piece) for piece in pieces(choice.delta)]
            if choice.finish_reason:
                self.finish, self._last = choice.finish_reason, choice
        return b"".join(out)

    def _start(self) -> bytes:
        self._started = True
        empty: Json = {"content": [], "stop_reason": None, "stop_sequence": None, "usage": usage_block(Usage())}
        return event("message_start", {"message": _frame(self._model) | empty}) + event("ping", {})

    def _piece(self, piece: Piece) -> bytes:
        kind = "text" if piece.kind == "refusal" else piece.kind
        self._refused |= piece.kind == "refusal"
        self._called |= piece.kind == "tool"
        out = b"" if self._open == (kind, piece.place) else self._close() + self._begin(kind, piece)
        return out + (self._delta(kind, piece.text) if piece.text else b"")

    def _begin(self, kind: str, piece: Piece) -> bytes:
        self._open = (kind, piece.place)
        if kind == "tool" and self._open in self._closed:
            raise Unfit("it goes on with a call of a tool that was over")
        self._index += 1
        return event("content_block_start", {"index": self._index, "content_block": _empty(kind, piece)})

    def _delta(self, kind: str, text: str) -> bytes:
        name, field = {
            "tool": ("input_json_delta", "partial_json"), "reasoning": ("thinking_delta", "thinking"),
            "text": ("text_delta", "text"),
        }[kind]  # fmt: skip
        return event("content_block_delta", {"index": self._index, "delta": {"type": name, field: text}})

    def _close(self) -> bytes:
        if self._open is None:
            return b""
        self._closed.add(self._open)
        self._open = None
        return event("content_block_stop", {"index": self._index})

    def end(self, usage: Usage) -> bytes:
        if self._failed:
            return b""
        begin = b"" if self._started else self._start()
        reason, sequence = _ending(self._last, self._refused, self._called)
        delta = {"delta": {"stop_reason": reason, "stop_sequence": sequence}, "usage": usage_block(usage)}
        return begin + self._close() + event("message_delta", delta) + event("message_stop", {})


def _empty(kind: str, piece: Piece) -> Json:
    if kind == "tool":
        return {"type": "tool_use", "id": piece.id or new_id("toolu"), "name": _name(piece), "input": {}}
    return (
        {"type": "thinking", "thinking": "", "signature": ""} if kind == "reasoning" else {"type": "text", "text": ""}
    )
