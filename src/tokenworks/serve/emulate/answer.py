"""Answers of an emulated engine in OpenAI's shape, whole or as a stream."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from tokenworks.serve.emulate.asked import Call
from tokenworks.serve.emulate.text import words
from tokenworks.serve.http.server import ServerConnection

_json = msgspec.json.encode


class Answer:
    """One answer on its way to its caller."""

    def __init__(self, number: int, chat: bool, call: Call, connection: ServerConnection):
        self._chat, self._call, self._connection = chat, call, connection
        self._id = f"{'chatcmpl' if chat else 'cmpl'}-{number}"
        self._created = int(time.time())
        self._made, self._state, self._energy_uj = 0, call.state, 0
        self._said: list[str] = []  # of an answer that is given whole
        self.handed: dict[str, Any] | None = None  # what a prefill worker says of its KV cache
        options = call.stream_options
        self._usage_last = bool(options and options.include_usage)
        self._usage_always = bool(options and options.include_usage and options.continuous_usage_stats)
        if call.stream and not self._usage_always:
            self._before, self._after = _json(self._chunk(self._piece("\0"))).split(b"\\u0000")

    def tell(self, tokens: int, last: bool, energy_uj: int) -> None:
        """``tokens`` more are there; the call has used ``energy_uj`` microjoules so far."""
        self._made += tokens
        self._energy_uj = energy_uj
        text, self._state = words(self._state, tokens)
        if self._call.stream:
            self._stream(tokens, text, last)
            return
        self._said.append(text)
        if last:
            self._connection.respond(200, _json(self._whole()))

    def _stream(self, tokens: int, text: str, last: bool) -> None:
        if self._made == tokens:
            self._connection.begin(200, b"text/event-stream")
            if self._chat:
                role = self._chunk([self._choice({"role": "assistant", "content": ""}, None)])
                self._connection.chunk(b"data: " + _json(role) + b"\n\n")
        if tokens:
            self._connection.chunk(self._event(text))
        if last:
            end = self._chunk([self._choice({}, self._call.ends)])
            out = b"data: " + _json(end) + b"\n\n"
            if self._usage_last:
                out += b"data: " + _json(self._chunk([]) | {"usage": self.usage()}) + b"\n\n"
            self._connection.finish(out + b"data: [DONE]\n\n")

    def _event(self, text: str) -> bytes:
        if self._usage_always:
            return b"data: " + _json(self._chunk(self._piece(text)) | {"usage": self.usage()}) + b"\n\n"
        return b"data: %b%b%b\n\n" % (self._before, text.encode(), self._after)

    def _piece(self, text: str) -> list[dict[str, Any]]:
        return [self._choice({"content": text} if self._chat else text, None)]

    def _choice(self, piece: Any, ends: str | None) -> dict[str, Any]:
        key = "delta" if self._chat else "text"
        return {"index": 0, key: piece or ({} if self._chat else ""), "logprobs": None, "finish_reason": ends}

    def _chunk(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        kind = "chat.completion.chunk" if self._chat else "text_completion"
        return {
            "id": self._id, "object": kind, "created": self._created, "model": self._call.model, "choices": choices,
        }  # fmt: skip

    def _whole(self) -> dict[str, Any]:
        text = "".join(self._said)
        said = {"message": {"role": "assistant", "content": text}} if self._chat else {"text": text}
        choice = {"index": 0, **said, "logprobs": None, "finish_reason": self._call.ends}
        kind = "chat.completion" if self._chat else "text_completion"
        handed = {"kv_transfer_params": self.handed} if self.handed else {}
        return self._chunk([choice]) | {"object": kind, "usage": self.usage()} | handed

    def usage(self) -> dict[str, int]:
        told = self._call.input_tokens
        return {
            "prompt_tokens": told, "completion_tokens": self._made, "total_tokens": told + self._made,
            "energy_uj": self._energy_uj,
        }  # fmt: skip
