"""One streamed answer: when its tokens came, what it says of itself, how it ended."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import Any

import msgspec

from tokenworks.serve.bench.response import Response
from tokenworks.serve.bench.server_events import ServerEvents

MOST_SAID = 2048  # bytes of an error's body that are kept


class Details(msgspec.Struct):
    cached_tokens: int | None = None


class Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: Details | None = None


class Delta(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[msgspec.Raw] | None = None

    def says(self) -> bool:
        return bool(self.content or self.reasoning_content or self.reasoning or self.tool_calls)


class Choice(msgspec.Struct):
    delta: Delta | None = None
    text: str | None = None
    finish_reason: str | None = None


class Chunk(msgspec.Struct):
    choices: list[Choice] = []
    usage: Usage | None = None
    error: Any = None


@dataclass(slots=True)
class Answer:
    """Times in seconds of one clock, from the start of the bench; NaN where something did not happen."""

    number: int  # of the request
    at_s: float  # when it was to be sent: every latency counts from here
    input_asked: int
    output_asked: int
    session: int = -1
    sent_s: float = float("nan")  # the generator had it ready: only connecting and the server come after that
    end_s: float = float("nan")
    stamps_s: array[float] = field(default_factory=lambda: array("d"))  # of chunks that carry output
    input_tokens: int | None = None  # the server's own count
    cached_tokens: int | None = None
    output_tokens: int | None = None
    finish: str = ""
    error: str = ""  # kind; "": none
    said: str = ""  # the server's words with it

    @property
    def chunks(self) -> int:
        return len(self.stamps_s)

    @property
    def tokens(self) -> int:
        """Output tokens: the server's count, else one per chunk."""
        return self.chunks if self.output_tokens is None else self.output_tokens

    @property
    def ttft_s(self) -> float:
        return self.stamps_s[0] - self.at_s if self.stamps_s else float("nan")

    @property
    def tpot_s(self) -> float:
        """(last − first chunk) / (tokens − 1); NaN below two tokens."""
        n = self.tokens
        return (self.stamps_s[-1] - self.stamps_s[0]) / (n - 1) if n > 1 and self.stamps_s else float("nan")

    @property
    def e2e_s(self) -> float:
        return self.end_s - self.at_s


class Reader:
    """Reads the body of a response into an answer."""

    def __init__(self, answer: Answer, start_s: float):
        self._answer, self._start_s = answer, start_s
        self._events, self._decoder = ServerEvents(), msgspec.json.Decoder(Chunk)
        self._body, self._ended = b"", False

    def take(self, response: Response, piece: bytes, now_s: float) -> None:
        """Raises ValueError for what is no stream of chunks."""
        if response.status != 200 or not _streams(response):
            self._body = (self._body + piece)[:MOST_SAID]
            return
        for data in self._events.feed(piece):
            if data == b"[DONE]":
                self._ended = True
            elif data:
                self._chunk(data, now_s - self._start_s)

    def _chunk(self, data: bytes, at_s: float) -> None:
        answer = self._answer
        try:
            chunk = self._decoder.decode(data)
        except msgspec.DecodeError as error:
            raise ValueError(f"no chunk of an answer: {error}") from None
        if chunk.error is not None:
            answer.error, answer.said = "error in the stream", message_of(chunk.error)
        for choice in chunk.choices:
            if choice.text or (choice.delta is not None and choice.delta.says()):
                answer.stamps_s.append(at_s)
            answer.finish = choice.finish_reason or answer.finish
        usage = chunk.usage
        if usage is not None:
            answer.input_tokens, answer.output_tokens = usage.prompt_tokens, usage.completion_tokens
            details = usage.prompt_tokens_details
            answer.cached_tokens = details.cached_tokens if details else None

    def close(self, response: Response) -> None:
        """The response is whole: what went wrong, if anything did."""
        answer = self._answer
        if response.status != 200:
            answer.error, answer.said = f"HTTP {response.status}", _words(self._body)
        elif not _streams(response):
            answer.error, answer.said = "no stream", f"the answer is {response.headers.get('content-type')!r}"
        elif not answer.error and not (self._ended or answer.finish):
            answer.error = "closed early"
        elif not answer.error and not answer.chunks:
            answer.error = "no token"


def _streams(response: Response) -> bool:
    return response.headers.get("content-type", "").lower().startswith("text/event-stream")


def _words(body: bytes) -> str:
    """The message of an error's body in OpenAI's shape, else the body."""
    try:
        found = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return body.decode("utf-8", "replace")
    return message_of(found.get("error", found) if isinstance(found, dict) else found)


def message_of(error: Any) -> str:
    """
    >>> message_of({"message": "too many", "code": 429}), message_of("no")
    ('too many', 'no')
    """
    return str(error["message"]) if isinstance(error, dict) and "message" in error else str(error)
