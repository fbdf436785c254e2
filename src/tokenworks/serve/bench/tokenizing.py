"""What a server's /tokenize says of our words: which of them are one token, or else how long a token is; and what its
template adds to a prompt."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tokenworks.serve.bench.address import CHAT
from tokenworks.serve.bench.texts import WORDS, Characters, Words

LEAST_WORDS = 16  # fewer would make prompts that repeat themselves
Post = Callable[[str, dict[str, Any]], Awaitable[Any]]  # (path, body) → JSON, None where the server refuses


@dataclass(frozen=True)
class Counted:
    """Text that is counted by the server itself."""

    text: Words | Characters
    around: int | None  # tokens of the template around a prompt; None: not known
    said: str


async def counted(post: Post, model: str, dialect: str) -> Counted | None:
    """None where the server has no /tokenize that answers."""
    count = await _counter(post, model)
    if count is None:
        return None
    one, two, sample = await count(_text(WORDS[:1])), await count(_text(WORDS[:1] * 2)), await count(_text(WORDS))
    if one is None or two is None or sample is None:
        return None
    fixed = 2 * one - two  # what stands around any text: a token that begins it
    words = await _whole(count, WORDS, fixed)
    if len(words) >= LEAST_WORDS:
        text: Words | Characters = Words(words)
        said = "words that the server's /tokenize counts as one token each"
    else:
        text = Characters(len(_text(WORDS)) / max(1, sample - fixed))
        said = f"{text.per_token:.3g} characters per token, as the server's /tokenize counts our words in the mean"
    return Counted(text, await _around(post, count, model, text, fixed) if dialect == CHAT else fixed, said)


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


async def _around(post: Post, count: Count, model: str, text: Words | Characters, fixed: int) -> int | None:
    """Tokens of a message beyond those of its text; None where the server does not tell."""
    said = text.piece(32, (0, 0)).strip()
    messages = [{"role": "user", "content": said}]
    whole = tokens_in(await post("/tokenize", {"model": model, "messages": messages, "add_generation_prompt": True}))
    if not whole:  # llama.cpp writes the prompt out instead
        applied = await post("/apply-template", {"messages": messages})
        whole = await count(str(applied["prompt"])) if isinstance(applied, dict) and "prompt" in applied else None
    bare = await count(said)
    return max(0, whole - (bare - fixed)) if whole and bare else None


def _text(words: Sequence[str]) -> str:
    return " ".join(words)
