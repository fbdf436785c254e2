"""A prompt as KV-aware routing sees it: hashes of blocks of its text, and about how many tokens it will occupy.

The gateway does not tokenise. Text in one canonical form (roles and contents in order, whatever the JSON looked like) is cut
into blocks of BLOCK_BYTES; the hash of a block holds all blocks before it, so equal hashes mean equal beginnings.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import msgspec

from tokenworks.serve.body.faults import NOT_JSON
from tokenworks.serve.body.splice import Body

BLOCK_BYTES = 256
BYTES_PER_TOKEN = 4  # about: English under the tokenizers of today
UNIT_TOKENS = BLOCK_BYTES // BYTES_PER_TOKEN
ANSWER_TOKENS = 256  # where the call sets no limit that an engine could have
MOST_ANSWER_TOKENS = 10_000_000  # no engine's context is longer; loads are sums in 64 bits
MOST_BLOCKS = 4096  # of a prompt, from its beginning


class _Message(msgspec.Struct):
    role: Any = None
    content: Any = None
    tool_calls: Any = None


class _Call(msgspec.Struct):
    """Of chat completions, completions, messages (``system``) or responses (``instructions``, ``input``)."""

    messages: list[_Message] | None = None
    prompt: Any = None
    system: Any = None
    instructions: Any = None
    input: Any = None
    tools: msgspec.Raw = msgspec.Raw()
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    max_output_tokens: int | None = None

    @property
    def answer_tokens(self) -> int:
        limit = self.max_completion_tokens or self.max_tokens or self.max_output_tokens or ANSWER_TOKENS
        return limit if 0 < limit <= MOST_ANSWER_TOKENS else ANSWER_TOKENS


_decode = msgspec.json.Decoder(_Call, strict=False).decode
_json = msgspec.json.encode


@dataclass(frozen=True, slots=True)
class Prompt:
    """``hashes``: of the units of UNIT_TOKENS at its front, whole ones only. ``tokens``: of prompt and answer."""

    hashes: tuple[int, ...]
    tokens: int

    @classmethod
    def of(cls, body: Body) -> Prompt:
        """Of a call. One that is not as it should be has no blocks: the engine will say what is wrong with it."""
        try:
            call = _decode(body.text)
            text = canonical(call)
        except NOT_JSON:
            return cls((), ANSWER_TOKENS)
        return cls(hashes_of(text), len(text) // BYTES_PER_TOKEN + call.answer_tokens)


def canonical(call: _Call) -> bytes:
    """The text of a prompt in the order in which chat templates write it: tools first."""
    if call.messages is None and call.input is None:
        return _written(call.prompt)
    parts = [bytes(call.tools)]
    for first in (call.system, call.instructions):
        if first:
            parts.append(b"\0system\1" + _written(first))
    for message in call.messages or ():
        parts.append(b"\0%b\1%b" % (str(message.role).encode(), _written(message.content)))
        if message.tool_calls:
            parts.append(_json(message.tool_calls))
    if call.input is not None:
        parts += _items(call.input)
    return b"".join(parts)


def _written(said: Any) -> bytes:
    return said.encode() if isinstance(said, str) else _json(said)


def _items(given: Any) -> list[bytes]:
    """Of a response's input: one text of the user, or a list of items of which some are messages."""
    if not isinstance(given, list):
        return [b"\0user\1" + _written(given)]
    return [
        b"\0%b\1%b" % (str(item["role"]).encode(), _written(item.get("content")))
        if isinstance(item, dict) and "role" in item
        else _written(item)
        for item in given
    ]


def hashes_of(text: bytes) -> tuple[int, ...]:
    """Of its whole blocks: BLAKE2b over each block and the digest before it."""
    found, before = [], b""
    for begin in range(0, min(len(text) - BLOCK_BYTES + 1, MOST_BLOCKS * BLOCK_BYTES), BLOCK_BYTES):
        before = blake2b(text[begin : begin + BLOCK_BYTES], digest_size=8, key=before).digest()
        found.append(int.from_bytes(before, "little"))
    return tuple(found)
