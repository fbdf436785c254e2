"""What a server's /tokenize says of our words: which of them are one token, and what stands around a prompt."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tokenworks.serve.bench.address import CHAT
from tokenworks.serve.bench.texts import WORDS, Words

LEAST_WORDS = 16  # fewer would make prompts that repeat themselves
Post = Callable[[str, dict[str, Any]], Awaitable[Any]]  # (path, body) → JSON, None where the server refuses


@dataclass(frozen=True)
class Counted:
    """Text that is counted by the server itself."""

    text: Words
    around: int | None  # tokens of the template around a prompt; None: not known


async def counted(post: Post, model: str, dialect: str) -> Counted | None:
    """None where the server has no /tokenize, or too few of our words are one token of it."""
    count = await _counter(post, model)
    if count is None:
        return None
    one, two = await count(_text(WORDS[:1])), await count(_text(WORDS[:1] * 2))
    if one is None or two is None:
        return None
    fixed = 2 * one - two  # what stands around any text: a token that begins it
    words = await _whole(count, WORDS, fixed)
    if len(words) < LEAST_WORDS:
        return None
    text = Words(words)
    return Counted(text, await _around(post, model, text) if dialect == CHAT else fixed)


Count = Callable[[str], Awaitable[int | None]]


async def _counter(post: Post, model: str) -> Count | None:
    """How this server wants to be asked: vLLM and SGLang take `prompt`, llama.cpp takes `content`."""
    for shape in ({"model": model, "prompt": ""}, {"content": ""}):
        key = list(shape)[-1]

        async def count(text: str, shape: dict[str, str] = shape, key: str = key) -> int | None:
            return tokens_in(await post("/tokenize", {**shape, key: text}))

        if await count(_text(WORDS[:2])):
            return count
    return None


def tokens_in(said: Any) -> int | None:
    """
    >>> tokens_in({"count": 3}), tokens_in({"tokens": [5, 6]}), tokens_in(None)
    (3, 2, None)
    """
    if not isinstance(said, dict):
        return None
    if isinstance(said.get("count"), int):
        return int(said["count"])
    return len(said["tokens"]) if isinstance(said.get("tokens"), list) else None


async def _whole(count: Count, words: Sequence[str], fixed: int) -> list[str]:
    """Those that are one token each, by halving."""
    if await count(_text(words)) == len(words) + fixed:
        return list(words)
    if len(words) == 1:
        return []
    half = len(words) // 2
    return [*await _whole(count, words[:half], fixed), *await _whole(count, words[half:], fixed)]


async def _around(post: Post, model: str, text: Words) -> int | None:
    said = text.piece(32, (0, 0)).strip()
    body = {"model": model, "messages": [{"role": "user", "content": said}], "add_generation_prompt": True}
    found = tokens_in(await post("/tokenize", body))
    return None if found is None else max(0, found - 32)


def _text(words: Sequence[str]) -> str:
    return " ".join(words)
