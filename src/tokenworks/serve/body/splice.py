"""A request's body: read once, and changed in place where the upstream needs other words.

What is changed is the value of ``model`` (an alias, or a name that the upstream does not know) and ``stream_options``
(usage is asked for where the caller did not). All other bytes go on as they came.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from tokenworks.serve.body.faults import NOT_JSON, not_json
from tokenworks.serve.body.scan import (
    BACKSLASHED,
    COUNT,
    DEPTH,
    HUGE,
    MOST_MEMBERS,
    OTHER_CASE,
    TOO_MANY,
    TWICE,
    UNUSUAL,
    Scanner,
)
from tokenworks.serve.http.request import Refused

Span = tuple[int, int]


class StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class Known(msgspec.Struct):
    """What the gateway has to know of a request."""

    model: str
    stream: bool | None = None
    n: Any = None
    stream_options: StreamOptions | UnsetType | None = UNSET
    prompt_cache_key: str | None = None
    user: str | None = None
    max_tokens: Any = None
    max_completion_tokens: Any = None


_decode = msgspec.json.Decoder(Known).decode
_encode = msgspec.json.encode
_scanner = Scanner()
MOST_SENT = MOST_MEMBERS - 16  # members that a caller may send: the gateway adds some
MOST_DEPTH = 256  # of what a caller may send: what is deeper cannot be decoded from everywhere
REASONS = {
    TOO_MANY: f"the body has more than {MOST_SENT} members",
    BACKSLASHED: "the name of a member holds a backslash",
    TWICE: "the body has a member twice",
    OTHER_CASE: "the body has a member whose name is known in lower case",
}


class Body(msgspec.Struct):
    """One request's bytes. ``depth``: of objects and lists in each other; ``usual``: it has no members but those of most chats."""

    text: bytes
    known: Known
    depth: int
    usual: bool

    @property
    def places(self) -> dict[bytes, Span]:
        """Of the values of all members, in the order of the text."""
        return _places(self.text)

    @property
    def end(self) -> int:
        """Where another member can follow the last one."""
        return self.text.rindex(b"}")

    @property
    def streams(self) -> bool:
        return self.known.stream is True

    @property
    def wants_usage(self) -> bool:
        """Whether the caller asked for the chunk that holds the usage."""
        options = self.known.stream_options
        return isinstance(options, StreamOptions) and options.include_usage is True

    @property
    def session(self) -> str:
        """What calls of one conversation share, where the caller says so; else ""."""
        return self.known.prompt_cache_key or self.known.user or ""


def read(text: bytes) -> Body:
    """The body of a call of a model. Raises Refused: 400 for what is no JSON object with a ``model``, and where two
    readers could disagree on it (a member twice, escapes in the name of a member)."""
    try:
        if not text.isascii():
            text.decode()  # strings that nobody here reads, too
        known = _decode(text)
    except NOT_JSON as error:
        raise not_json(error) from None
    found = _scanner.look(text)
    if found < 0:
        raise Refused(400, "invalid_json", REASONS[found])
    if found & COUNT > MOST_SENT:
        raise Refused(400, "invalid_json", REASONS[TOO_MANY])
    if found >> DEPTH > MOST_DEPTH:
        raise Refused(400, "invalid_json", f"the body is nested more than {MOST_DEPTH} deep")
    if found & HUGE:
        _decode_all(text)
    return Body(text, known, found >> DEPTH, not found & UNUSUAL)


def reread(text: bytes) -> Body:
    """A body that was read and then changed here."""
    found = _scanner.look(text)
    return Body(text, _decode(text), found >> DEPTH, not found & UNUSUAL)


def _decode_all(text: bytes) -> None:
    """Numbers that nobody here reads are passed over by the decoder; others choke on them. Raises Refused."""
    try:
        msgspec.json.decode(text)
    except NOT_JSON as error:
        raise not_json(error) from None


def _places(text: bytes) -> dict[bytes, Span]:
    """Of a text that was read."""
    return {text[a:b]: (c, d) for a, b, c, d in _scanner.spans(text)}


def has_member(text: bytes, name: bytes) -> bool:
    """Of a body that was read; the search of bytes spares nearly all the pass over the text."""
    return b'"%b"' % name in text and name in _places(text)


def edited(text: bytes, values: Mapping[bytes, bytes], only_said: Mapping[bytes, bytes]) -> bytes:
    """A body that was read with ``values`` in place of its own, or after its last member; of ``only_said`` those that it has."""
    places = _places(text)
    wanted = {**values, **{name: value for name, value in only_said.items() if name in places}}
    end = text.rindex(b"}")
    more = b"".join(b',"%b":%b' % (name, value) for name, value in wanted.items() if name not in places)
    return _with(
        text, [(*places[name], value) for name, value in wanted.items() if name in places] + [(end, end, more)]
    )


def spliced(body: Body, model: str | None, usage: bool, continuous: bool = False) -> bytes:
    """The bytes for an upstream: with its name of the model (None: as the caller wrote it), and where ``usage`` with
    usage in the last chunk of a stream, ``continuous`` in every chunk (vLLM's continuous_usage_stats)."""
    changes: list[tuple[int, int, bytes]] = []
    if model is not None and model != body.known.model:
        changes.append((*body.places[b"model"], _encode(model)))
    if usage and body.streams and not (body.wants_usage and not continuous):
        changes.append(_asking(body, continuous))
    return _with(body.text, changes) if changes else body.text


def _with(text: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
    """A text with other bytes from begin to end of each change."""
    pieces, place = [], 0
    for begin, end, new in sorted(changes):
        pieces += [text[place:begin], new]
        place = end
    return b"".join([*pieces, text[place:]])


def _asking(body: Body, continuous: bool) -> tuple[int, int, bytes]:
    """The change that asks for usage."""
    more = {"include_usage": True} | ({"continuous_usage_stats": True} if continuous else {})
    if body.known.stream_options is UNSET:
        return body.end, body.end, b',"stream_options":' + _encode(more)
    begin, end = body.places[b"stream_options"]
    given = msgspec.json.decode(body.text[begin:end]) or {}
    return begin, end, _encode({**given, **more})
