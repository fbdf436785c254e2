"""Chat completions as an engine answers them: the parts that other dialects are made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from tokenworks.serve.body.faults import NOT_JSON
from tokenworks.serve.body.splice import Body, read
from tokenworks.serve.body.stream import END_OF_EVENT, json_of
from tokenworks.serve.dialects.way import Unfit

LONGEST_CHUNK = 4 << 20  # bytes


class Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class ToolCall(msgspec.Struct):
    function: Function = msgspec.field(default_factory=Function)
    index: int = 0
    id: str | None = None


class Said(msgspec.Struct):
    """A message, or what a chunk adds to it."""

    content: str | None = None
    reasoning_content: str | None = None  # llama.cpp, SGLang, DeepSeek
    reasoning: str | None = None  # vLLM
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None


class LogProbs(msgspec.Struct):
    content: list[dict[str, Any]] | None = None


class Choice(msgspec.Struct):
    index: int = 0
    message: Said | None = None
    delta: Said | None = None
    finish_reason: str | None = None
    stop_reason: str | int | None = None  # vLLM: the stop sequence
    logprobs: LogProbs | None = None


class Trouble(msgspec.Struct):
    message: str = "the engine failed"


class Answer(msgspec.Struct):
    """A whole answer, or a chunk of one."""

    choices: list[Choice] = []
    usage: msgspec.Raw = msgspec.Raw()
    error: Trouble | None = None


class _Cached(msgspec.Struct):
    cached_tokens: int | None = None


class _Reasoned(msgspec.Struct):
    reasoning_tokens: int | None = None


class Usage(msgspec.Struct):
    """Tokens; those read from a cache are part of the prompt's, those of reasoning part of the completion's."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: _Cached | None = None
    completion_tokens_details: _Reasoned | None = None

    @property
    def cached(self) -> int:
        return (self.prompt_tokens_details and self.prompt_tokens_details.cached_tokens) or 0

    @property
    def reasoned(self) -> int:
        return (self.completion_tokens_details and self.completion_tokens_details.reasoning_tokens) or 0


_decode = msgspec.json.Decoder(Answer).decode
_decode_usage = msgspec.json.Decoder(Usage).decode


def decoded(text: bytes) -> Answer:
    """Raises Unfit."""
    try:
        return _decode(text)
    except NOT_JSON as error:
        raise Unfit(f"its answer is no chat completion: {error}") from None


def usage_of(text: bytes | None) -> Usage:
    """Zeros where none was stated."""
    try:
        return _decode_usage(text) if text else Usage()
    except NOT_JSON:
        return Usage()


@dataclass(slots=True)
class Piece:
    """A piece of an answer: ``kind`` reasoning, text, refusal or tool; ``place`` tells tools of one answer apart."""

    kind: str
    text: str
    place: int = 0
    id: str | None = None
    name: str | None = None
    logprobs: list[dict[str, Any]] | None = None


def pieces(said: Said | None, logprobs: LogProbs | None = None) -> Iterator[Piece]:
    """In the order in which they are shown."""
    if said is None:
        return
    if thought := said.reasoning_content or said.reasoning:
        yield Piece("reasoning", thought)
    if said.content:
        yield Piece("text", said.content, logprobs=logprobs.content if logprobs else None)
    if said.refusal:
        yield Piece("refusal", said.refusal)
    for call in said.tool_calls or ():
        yield Piece("tool", call.function.arguments or "", call.index, call.id, call.function.name)


def only(answer: Answer) -> Choice:
    """The one choice that was asked for. Raises Unfit."""
    found = next((c for c in answer.choices if c.index == 0), None)
    if found is None:
        raise Unfit("its answer has no choice")
    return found


class Writer:
    """Makes events of another dialect out of chunks. ``events``: so many, where the dialect numbers them."""

    finish: str | None = None
    events = 0

    def chunk(self, chunk: Answer) -> bytes:
        raise NotImplementedError

    def end(self, usage: Usage) -> bytes:
        raise NotImplementedError


class Translated:
    """A stream of chunks, whole events or not, as a stream of another dialect's events."""

    def __init__(self, writer: Writer):
        self._writer, self._carry, self._usage = writer, b"", b""

    @property
    def finished(self) -> bool:
        return self._writer.finish is not None

    @property
    def events(self) -> int:
        return self._writer.events

    def put(self, data: bytes) -> bytes:
        *events, self._carry = (self._carry + data).split(END_OF_EVENT)
        if len(self._carry) > LONGEST_CHUNK:
            raise Unfit("an event of its answer is too large")
        return b"".join([self._written(decoded(text)) for event in events if (text := json_of(event))])

    def _written(self, chunk: Answer) -> bytes:
        usage = bytes(chunk.usage)
        if usage not in (b"", b"null"):
            self._usage = usage
        return self._writer.chunk(chunk)

    def end(self) -> bytes:
        return self._writer.end(usage_of(self._usage))


def chat_body(chat: dict[str, Any]) -> Body:
    """A call as one of chat completions. A stream is to say its usage: every dialect tells it."""
    if chat.get("stream"):
        chat["stream_options"] = {"include_usage": True}
    return read(msgspec.json.encode(chat))


def event(name: str, content: dict[str, Any]) -> bytes:
    """A server-sent event as both dialects write it: its type as its name and in its JSON."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), msgspec.json.encode({"type": name, **content}))
