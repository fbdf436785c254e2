"""Parts of a prompt that are no text: pictures, recordings, videos, files.

A call is looked at closely only where its bytes could hold such a part: it has the word of a kind, or an escape that could
spell one.
"""

from __future__ import annotations

from typing import Any

import msgspec

KINDS = ("image", "audio", "video", "file")
OTHER_NAMES = {"document": "file"}  # Anthropic's, Mistral's
INLINE = frozenset(
    ("image_url", "image", "input_image", "audio_url", "input_audio", "video_url", "video", "file", "input_file")
)
"""Types of parts that engines read as media and as nothing else."""
TEXTS = {
    "tool_use": frozenset(("type", "id", "name", "input", "cache_control")),
    "document": frozenset(("type", "source", "title", "context", "citations", "cache_control")),
}
PLAIN_DEPTH = 3  # of a chat, its messages, one of them
LONG_BYTES = 256  # from which on a string of such a part is its content
_SIGNS = (b"image", b"audio", b"video", b"file", b"document", b"\\u")


def nests(text: bytes, depth: int) -> bool:
    """Whether a chat's body has other objects than itself and its messages, or anything within those: else their contents are
    plain texts. Brackets in a text can make it a yes, which costs a closer look and nothing else."""
    return depth > PLAIN_DEPTH or text.count(b"{") > text.count(b'"role"') + 1


def may_hold_media(text: bytes) -> bool:
    return any(sign in text for sign in _SIGNS)


class Media:
    """Counts parts by kind, and the bytes of their content, which is no text."""

    def __init__(self) -> None:
        self.counts = dict.fromkeys(KINDS, 0)
        self.inline_bytes = 0

    def look(self, raw: msgspec.Raw) -> None:
        if bytes(raw):
            self._walk(msgspec.json.decode(raw))

    def _walk(self, value: Any) -> None:
        if isinstance(value, list):
            for one in value:
                self._walk(one)
        elif isinstance(value, dict):
            self._part(value)

    def _part(self, part: dict[str, Any]) -> None:
        if _is_text(part):
            return
        named = [str(part.get("type")), *part]
        for kind in KINDS:
            self.counts[kind] += any(kind in name for name in named)
        for word, kind in OTHER_NAMES.items():
            self.counts[kind] += any(word in name for name in named)
        if part.get("type") in INLINE:
            self.inline_bytes += sum(_content_bytes(v) for k, v in part.items() if k != "text")
        else:
            for inner in part.values():
                self._walk(inner)


def _is_text(part: dict[str, Any]) -> bool:
    """Anthropic's blocks that are as long as their bytes, whatever the members within are called: what a tool is called with,
    and a document that holds its text."""
    source, kind = part.get("source"), part.get("type")
    holds_text = kind == "tool_use" or (isinstance(source, dict) and source.get("type") == "text")
    return holds_text and part.keys() <= TEXTS.get(str(kind), frozenset())


def _content_bytes(value: Any) -> int:
    """Of long strings in it, as UTF-8: no more than stands in the body."""
    if isinstance(value, str):
        size = len(value.encode(errors="surrogatepass"))
        return size if size >= LONG_BYTES else 0
    if isinstance(value, dict):
        return sum(map(_content_bytes, value.values()))
    return sum(map(_content_bytes, value)) if isinstance(value, list) else 0
