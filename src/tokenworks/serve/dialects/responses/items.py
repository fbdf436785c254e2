"""Items of a response's output: reasoning, messages, calls of functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tokenworks.serve.dialects.chat import Piece
from tokenworks.serve.dialects.messages.from_chat import new_id
from tokenworks.serve.dialects.way import Unfit

Json = dict[str, Any]
PREFIX = {"reasoning": "rs", "message": "msg", "tool": "fc"}


def kind_of(piece: Piece) -> str:
    return "message" if piece.kind in ("text", "refusal") else piece.kind


class Item:
    """One item, as far as it is written. ``kind``: reasoning, message, tool; ``parts``: of its content, [kind, text, logprobs]."""

    def __init__(self, piece: Piece):
        """Raises Unfit for a call without a name."""
        self.kind, self.place = kind_of(piece), piece.place
        self.id = new_id(PREFIX[self.kind])
        self.call_id, self.name = piece.id or new_id("call"), piece.name or ""
        if self.kind == "tool" and not self.name:
            raise Unfit("its call of a function has no name")
        self.parts: list[tuple[str, list[str], list[Json]]] = []

    def takes(self, piece: Piece) -> bool:
        """Whether the piece goes on with it."""
        return (self.kind, self.place) == (kind_of(piece), piece.place)

    def add(self, piece: Piece) -> bool:
        """Whether the piece began a part."""
        begins = not self.parts or self.parts[-1][0] != piece.kind
        if begins:
            self.parts.append((piece.kind, [], []))
        self.parts[-1][1].append(piece.text)
        self.parts[-1][2].extend(logprobs(piece.logprobs))
        return begins

    def whole(self, status: str) -> Json:
        shared: Json = {"id": self.id, "status": status}
        content = [part(*p) for p in self.parts]
        if self.kind == "tool":
            arguments = "".join(text for _, texts, _ in self.parts for text in texts)
            return {
                **shared,
                "type": "function_call",
                "call_id": self.call_id,
                "name": self.name,
                "arguments": arguments,
            }
        if self.kind == "reasoning":
            return {**shared, "type": "reasoning", "summary": [], "content": content}
        return {**shared, "type": "message", "role": "assistant", "content": content}

    def empty(self) -> Json:
        """As it begins."""
        parts, self.parts = self.parts, []
        found = self.whole("in_progress")
        self.parts = parts
        return found


def part(kind: str, texts: Sequence[str], chances: list[Json]) -> Json:
    text = "".join(texts)
    if kind == "refusal":
        return {"type": "refusal", "refusal": text}
    if kind == "reasoning":
        return {"type": "reasoning_text", "text": text}
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": chances}


def logprobs(found: list[Json] | None) -> list[Json]:
    """Of the fields that engines give those that the dialect has."""
    return [_chance(one) | {"top_logprobs": [_chance(o) for o in one.get("top_logprobs") or ()]} for one in found or ()]


def _chance(one: Json) -> Json:
    return {"token": one.get("token", ""), "bytes": one.get("bytes") or [], "logprob": one.get("logprob", 0.0)}
