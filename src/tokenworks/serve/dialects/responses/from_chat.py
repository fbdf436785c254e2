"""Answers of chat completions as responses, whole or as events."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from tokenworks.serve.dialects.chat import Answer, Piece, Usage, Writer, decoded, event, only, pieces, usage_of
from tokenworks.serve.dialects.messages.from_chat import new_id
from tokenworks.serve.dialects.responses.asked import ResponsesRequest
from tokenworks.serve.dialects.responses.items import Item, Json, part
from tokenworks.serve.dialects.way import Unfit

CUT_OFF = {"length": "max_output_tokens", "content_filter": "content_filter"}
ECHOED = (
    "instructions",
    "max_output_tokens",
    "temperature",
    "top_p",
    "metadata",
    "user",
    "prompt_cache_key",
    "safety_identifier",
)


def response(text: bytes, asked: ResponsesRequest) -> bytes:
    """A whole answer. Raises Unfit."""
    answer = decoded(text)
    choice, items = only(answer), list[Item]()
    for piece in pieces(choice.message, choice.logprobs):
        if not items or not items[-1].takes(piece) or piece.kind == "tool":
            items.append(Item(piece))
        items[-1].add(piece)
    usage = usage_of(bytes(answer.usage))
    return msgspec.json.encode(frame(asked) | ending(choice.finish_reason, items) | {"usage": usage_block(usage)})


def frame(asked: ResponsesRequest) -> Json:
    """What is known before the answer."""
    wanted: dict[str, Any] = msgspec.to_builtins(asked)
    text = wanted["text"] or {}
    return {
        "id": new_id("resp"), "object": "response", "created_at": int(time.time()), "status": "in_progress", "model": asked.model,
        "output": [], "error": None, "incomplete_details": None, "previous_response_id": None, "store": False,
        "background": False, "truncation": "disabled", "usage": None, **{name: wanted[name] for name in ECHOED},
        "tools": wanted["tools"] or [], "tool_choice": wanted["tool_choice"] or "auto",
        "parallel_tool_calls": asked.parallel_tool_calls is not False,
        "text": {**text, "format": text.get("format") or {"type": "text"}},
        "reasoning": wanted["reasoning"] or {"effort": None, "summary": None},
    }  # fmt: skip


def ending(finish: str | None, items: list[Item]) -> Json:
    cut_off = CUT_OFF.get(finish or "")
    status = "incomplete" if cut_off else "completed"
    whole = [item.whole("completed" if item is not items[-1] else status) for item in items]
    return {"status": status, "incomplete_details": {"reason": cut_off} if cut_off else None, "output": whole}


def usage_block(usage: Usage) -> Json:
    return {
        "input_tokens": usage.prompt_tokens, "input_tokens_details": {"cached_tokens": usage.cached},
        "output_tokens": usage.completion_tokens, "output_tokens_details": {"reasoning_tokens": usage.reasoned},
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }  # fmt: skip


class ResponseEvents(Writer):
    """response.created and in_progress, the items one after the other, and response.completed, incomplete or failed."""

    def __init__(self, asked: ResponsesRequest):
        self._asked = asked
        self._frame: Json | None = None
        self._items: list[Item] = []
        self._open: Item | None = None
        self._trouble: str | None = None

    def _event(self, kind: str, **content: Any) -> bytes:
        self.events += 1
        return event(kind, {"sequence_number": self.events - 1, **content})

    def chunk(self, chunk: Answer) -> bytes:
        out = [self._start()]
        if chunk.error:
            self._trouble, self.finish = chunk.error.message, "error"
        for choice in chunk.choices:
            if choice.index:
                continue
            out += [self._piece(piece) for piece in pieces(choice.delta, choice.logprobs)]
            self.finish = choice.finish_reason or self.finish
        return b"".join(out)

    def _start(self) -> bytes:
        if self._frame is not None:
            return b""
        self._frame = frame(self._asked)
        return self._event("response.created", response=self._frame) + self._event(
            "response.in_progress", response=self._frame
        )

    def _piece(self, piece: Piece) -> bytes:
        out = b""
        if self._open is None or not self._open.takes(piece):
            out = self._close("completed") + self._begin(piece)
        item = self._open
        assert item is not None
        before = len(item.parts)
        if not piece.text:
            return out
        if item.add(piece) and item.kind != "tool":
            out += self._part_done(item, before - 1) if before else b""
            empty = part(piece.kind, (), [])
            out += self._event("response.content_part.added", **self._at(item, len(item.parts) - 1), part=empty)
        return out + self._delta(item, piece)

    def _begin(self, piece: Piece) -> bytes:
        if piece.kind == "tool" and any(item.takes(piece) for item in self._items):
            raise Unfit("it goes on with a call of a function that was over")
        self._open = Item(piece)
        self._items.append(self._open)
        return self._event("response.output_item.added", output_index=len(self._items) - 1, item=self._open.empty())

    def _at(self, item: Item, place: int | None = None) -> Json:
        where = {"item_id": item.id, "output_index": len(self._items) - 1}
        return where if place is None else {**where, "content_index": place}

    def _delta(self, item: Item, piece: Piece) -> bytes:
        if item.kind == "tool":
            return self._event("response.function_call_arguments.delta", **self._at(item), delta=piece.text)
        more = (
            {"logprobs": item.parts[-1][2][-len(piece.logprobs or ()) or len(item.parts[-1][2]) :]}
            if piece.kind == "text"
            else {}
        )
        return self._event(
            f"response.{NAMES[piece.kind]}.delta", **self._at(item, len(item.parts) - 1), delta=piece.text, **more
        )

    def _part_done(self, item: Item, place: int) -> bytes:
        kind, texts, chances = item.parts[place]
        field = "refusal" if kind == "refusal" else "text"
        more = {"logprobs": chances} if kind == "text" else {}
        at, whole = self._at(item, place), part(kind, texts, chances)
        done = self._event(f"response.{NAMES[kind]}.done", **at, **{field: whole[field]}, **more)
        return done + self._event("response.content_part.done", **at, part=whole)

    def _close(self, status: str) -> bytes:
        item, self._open = self._open, None
        if item is None:
            return b""
        whole = item.whole(status)
        if item.kind == "tool":
            out = self._event(
                "response.function_call_arguments.done", **self._at(item), name=item.name, arguments=whole["arguments"]
            )
        else:
            out = self._part_done(item, len(item.parts) - 1) if item.parts else b""
        return out + self._event("response.output_item.done", output_index=len(self._items) - 1, item=whole)

    def end(self, usage: Usage) -> bytes:
        out = self._start()
        status = "incomplete" if self._trouble or self.finish in CUT_OFF else "completed"
        out += self._close(status)
        found = (self._frame or {}) | ending(self.finish, self._items) | {"usage": usage_block(usage)}
        if self._trouble:
            found |= {"status": "failed", "error": {"code": "server_error", "message": self._trouble}}
        return out + self._event(f"response.{found['status']}", response=found)


NAMES = {"text": "output_text", "refusal": "refusal", "reasoning": "reasoning_text"}
