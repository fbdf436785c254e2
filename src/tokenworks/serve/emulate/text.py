"""What an emulated engine says: a word a token, each a function of all that was said before it.

So an answer depends on its prompt alone, is the same at every worker, and a worker that is given the beginning of an
answer goes on with it word for word. The state is a CRC-32 of the text: it can be carried on from any place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from zlib import crc32

import msgspec

MIX = 0x9E3779B1  # Knuth's multiplicative hashing: neighbouring states give words that have nothing in common
WORD_BYTES = 6
_json = msgspec.json.encode  # one form for what may be written in several


class Message(msgspec.Struct):
    """One message of a chat; what it holds may be text, or parts."""

    role: str
    content: Any = None


def state_of_chat(messages: Sequence[Message], begun: str | None) -> int:
    """After a chat and the beginning of its answer, where there is one."""
    state = 0
    for message in messages:
        state = crc32(b"%b\0%b\1" % (message.role.encode(), _json(message.content)), state)
    return crc32((begun or "").encode(), crc32(b"assistant\0", state))


def state_of_prompt(prompt: Any) -> int:
    """After a prompt: of a text the text itself, so that a begun answer at its end is gone on with."""
    return crc32(prompt.encode() if isinstance(prompt, str) else _json(prompt))


def words(state: int, count: int) -> tuple[str, int]:
    """The next ``count`` words and the state after them."""
    said = []
    for _ in range(count):
        word = f" {(state * MIX & 0xFFFFFFFF) >> 12:05x}"
        said.append(word)
        state = crc32(word.encode(), state)
    return "".join(said), state
