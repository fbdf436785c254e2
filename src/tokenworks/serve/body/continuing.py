"""The call that asks another engine to go on with an answer: the caller's, with what was said at the end of its prompt.

Chats say so with ``continue_final_message`` (vLLM, SGLang; llama.cpp goes on with a last message of the assistant anyway),
completions by their prompt. Limits shrink by the tokens that were made. This way is rare, so the body is decoded and built
anew.
"""

from __future__ import annotations

from typing import Any

import msgspec

LIMITS = ("max_tokens", "max_completion_tokens")
UNABLE = (
    "tools", "functions", "structured_outputs", "guided_json", "guided_regex", "guided_grammar", "guided_choice", "audio",
    "echo", "suffix", "best_of", "use_beam_search", "prompt_embeds", "continue_final_message",
)  # fmt: skip
"""Members whose answers an engine would begin anew: calls of tools and texts in a prescribed form among them."""


def continued(text: bytes, said: str, made: int) -> bytes | None:
    """The body that goes on after ``said``, of ``made`` tokens; None for a call whose answer cannot be gone on with."""
    call: dict[str, Any] = msgspec.json.decode(text)
    plain = (call.get("response_format") or {"type": "text"}) == {"type": "text"}
    if not plain or any(call.get(name) for name in UNABLE) or call.get("n") not in (None, 1):
        return None
    if not (_after_messages(call, said) if "messages" in call else _after_prompt(call, said)):
        return None
    for name in LIMITS:
        if isinstance(call.get(name), int):
            call[name] -= made
    if isinstance(call.get("min_tokens"), int):
        call["min_tokens"] = max(0, call["min_tokens"] - made)
    return msgspec.json.encode(call)


def _after_messages(call: dict[str, Any], said: str) -> bool:
    messages = call["messages"]
    if not isinstance(messages, list) or not messages or call.get("add_generation_prompt") is False:
        return False
    call["messages"] = [*messages, {"role": "assistant", "content": said}]
    call |= {"continue_final_message": True, "add_generation_prompt": False}
    return True


def _after_prompt(call: dict[str, Any], said: str) -> bool:
    """Without a limit of its own every engine sets one, and would set it a second time."""
    if not isinstance(call.get("prompt"), str) or not isinstance(call.get("max_tokens"), int):
        return False
    call["prompt"] += said
    return True


def left(text: bytes, made: int) -> int | None:
    """Tokens that a call still allows after ``made``; None: it has no limit."""
    call = msgspec.json.decode(text)
    limits = [call[name] for name in LIMITS if isinstance(call.get(name), int)]
    return min(limits) - made if limits else None
