"""Prompts of requests as bodies of HTTP requests. What shares hashes shares text, so that a prefix cache has its due."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tokenworks.events.requests import Requests
from tokenworks.serve.bench.address import CHAT, Address
from tokenworks.serve.bench.texts import Characters, Words

AHEAD_BYTES = 256_000_000  # of bodies that are made before the bench begins; the others when they are sent
OF_BLOCK, OF_REQUEST = 0, 1  # what the text is keyed by


@dataclass(frozen=True)
class Asking:
    """How every request is asked."""

    address: Address
    model: str
    text: Words | Characters
    around: int = 0  # tokens that the server's template adds
    key: str = field(default="", repr=False)
    ignore_eos: bool = False  # answers of exactly the asked length: vLLM, SGLang, llama.cpp
    extra: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0


class Prompts:
    """The bytes of each request."""

    def __init__(self, asking: Asking, requests: Requests):
        self._asking, self._requests = asking, requests
        self._made = dict[int, bytes]()

    def prepare(self) -> None:
        """Makes bodies ahead, as many as memory should hold, in the order of the requests."""
        size = 0
        for number in range(len(self._requests)):
            self._made[number] = self._make(number)
            size += len(self._made[number])
            if size > AHEAD_BYTES:
                return

    def take(self, number: int) -> bytes:
        """The whole HTTP request, once."""
        return self._made.pop(number, None) or self._make(number)

    def _make(self, number: int) -> bytes:
        return post(self._asking, self._asking.address.path, body_of(self._asking, self._requests, number))


def body_of(asking: Asking, requests: Requests, number: int) -> dict[str, Any]:
    """The JSON of one request."""
    text = prompt(asking, requests, number)
    chat = asking.address.dialect == CHAT
    said = {"messages": [{"role": "user", "content": text}]} if chat else {"prompt": text}
    tokens = int(requests.output_tokens[number])
    exact = {"ignore_eos": True, "min_tokens": tokens} if asking.ignore_eos else {}
    return {
        "model": asking.model, **said, "max_tokens": tokens, "stream": True,
        "stream_options": {"include_usage": True}, **exact, **asking.extra,
    }  # fmt: skip


def prompt(asking: Asking, requests: Requests, number: int) -> str:
    """Text of a request: a piece for each block of its hashes, then what is its own."""
    start, end = int(requests.block_start[number]), int(requests.block_start[number + 1])
    size, total = requests.hash_block_tokens, int(requests.input_tokens[number])
    pieces = [asking.text.piece(size, (int(h), OF_BLOCK)) for h in requests.block_hash[start:end]]
    own = max(1, total - size * (end - start) - asking.around)
    pieces.append(asking.text.piece(own, ((asking.seed << 40) + number & (1 << 64) - 1, OF_REQUEST)))
    return "".join(pieces).strip()


def post(asking: Asking, path: str, body: Mapping[str, Any]) -> bytes:
    """A POST of JSON."""
    data = json.dumps(body, separators=(",", ":")).encode()
    return head(asking, "POST", path, f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n") + data


def head(asking: Asking, method: str, path: str, more: str = "") -> bytes:
    key = f"Authorization: Bearer {asking.key}\r\n" if asking.key else ""
    return (
        f"{method} {path} HTTP/1.1\r\nHost: {asking.address.authority}\r\nUser-Agent: tokenworks-bench\r\n"
        f"Accept: text/event-stream, application/json\r\n{key}{more}\r\n"
    ).encode()
