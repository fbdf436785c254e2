"""What a streamed answer has said, so that another upstream can go on with it, and how its stream then looks like one.

Events of the first upstream go on as bytes and are read some thousand bytes at a time. Those of a later one are read each:
they take the first one's id, its role is not said again, and their usage is the sum of the whole answer.
"""

from __future__ import annotations

from typing import Any

import msgspec

from tokenworks.serve.body.continuing import continued, left
from tokenworks.serve.body.faults import NOT_JSON
from tokenworks.serve.body.stream import DONE, END_OF_EVENT, json_of

FOLD_BYTES = 4096  # of events that are kept before their text is taken out of them
SHARED = ("id", "object", "created", "model")  # members that all events of a stream have in common
_json = msgspec.json.encode


class _Delta(msgspec.Struct):
    content: str | None = None
    tool_calls: Any = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    text: str | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Event(msgspec.Struct):
    choices: list[_Choice] = []
    usage: _Usage | None = None


_event = msgspec.json.Decoder(_Event).decode


class Continuity:
    """Of one streamed answer with one choice. Its end must be withheld (`Stream`) until the whole of it is there."""

    __slots__ = ("_first", "_kept", "_made", "_made_before", "_plain", "_prompt", "_said", "_size", "_spliced")

    def __init__(self) -> None:
        self._kept: list[bytes] = []
        self._size = 0
        self._said: list[str] = []
        self._made = self._made_before = 0  # tokens, of the present upstream and of those before it
        self._prompt: int | None = None  # tokens of the prompt, as the first upstream counted them
        self._first: dict[str, Any] | None = None  # what all events share
        self._plain = True  # nothing but text so far
        self._spliced = False  # a second upstream is at work

    def forward(self, data: bytes) -> bytes:
        """Events on their way to the caller, as he gets them."""
        if self._spliced and data:
            *events, rest = data.split(END_OF_EVENT)
            data = b"".join(map(self._mended, events)) + rest
        self._kept.append(data)
        self._size += len(data)
        if self._size > FOLD_BYTES:
            self._fold()
        return data

    def _fold(self) -> None:
        events, self._kept, self._size = b"".join(self._kept).split(END_OF_EVENT), [], 0
        for event in events:
            if text := json_of(event):
                self._note(text)

    def _note(self, text: bytes) -> None:
        try:
            event = _event(text)
            whole = msgspec.json.decode(text) if self._first is None else {}
        except NOT_JSON:
            self._plain = False
            return
        if self._first is None:
            self._first = {name: whole[name] for name in SHARED if name in whole}
        for choice in event.choices:
            delta = choice.delta or _Delta()
            if said := delta.content or choice.text:
                self._said.append(said)
                self._made += 1  # engines that do not state usage all the time send a piece a token
            if delta.tool_calls or delta.reasoning_content or delta.reasoning or delta.refusal:
                self._plain = False
        if event.usage:
            self._made = event.usage.completion_tokens - self._made_before
            self._prompt = self._prompt or event.usage.prompt_tokens

    # ------------------------------------------------------------------ another upstream

    def exhausted(self, text: bytes) -> bool:
        """Whether all tokens that the call allows are there, so that only the end is lacking."""
        self._fold()
        rest = left(text, self._made_before + self._made)
        return self._plain and self._first is not None and rest is not None and rest <= 0

    @property
    def progressed(self) -> bool:
        """Whether the present upstream has added to it."""
        self._fold()
        return self._made > 0

    @property
    def counted(self) -> bool:
        """Whether an engine has told its usage."""
        self._fold()
        return self._prompt is not None

    def continuation(self, text: bytes) -> bytes | None:
        """The body of the call that goes on; None where the answer cannot be gone on with. Ends the present upstream's
        part."""
        self._fold()
        self._made_before += self._made
        self._made, self._spliced = 0, self._first is not None
        if not self._plain:
            return None
        said = "".join(self._said)
        return continued(text, said, self._made_before) if said else text

    def end(self, wants_usage: bool) -> bytes:
        """The end of an exhausted answer, in the engine's place."""
        assert self._first is not None
        said: dict[str, Any] = {"text": ""} if self._first.get("object") == "text_completion" else {"delta": {}}
        choice = {"index": 0, **said, "finish_reason": "length"}
        events = [self._first | {"choices": [choice]}]
        if wants_usage and self._prompt is not None:
            events.append(self._first | {"choices": [], "usage": self._sum(self._prompt, self._made)})
        return b"".join(b"data: %b\n\n" % _json(event) for event in events) + DONE + END_OF_EVENT

    def _sum(self, prompt: int, completion: int) -> dict[str, int]:
        """Usage of the whole answer; a later upstream's prompt holds what was made before."""
        told = self._prompt if self._prompt is not None else prompt - self._made_before
        made = completion + self._made_before
        return {"prompt_tokens": told, "completion_tokens": made, "total_tokens": told + made}

    def _mended(self, event: bytes) -> bytes:
        """One event of a later upstream; b"" where it has nothing new."""
        text = json_of(event)
        if not text or self._first is None:
            return event + END_OF_EVENT
        try:
            chunk: dict[str, Any] = msgspec.json.decode(text, type=dict[str, Any])
        except NOT_JSON:
            return event + END_OF_EVENT
        if "choices" not in chunk:  # the engine's own words
            return event + END_OF_EVENT
        chunk |= self._first
        told = chunk.get("usage")
        if told:
            chunk["usage"] = told | self._sum(told.get("prompt_tokens", 0), told.get("completion_tokens", 0))
        elif _says_role_alone(chunk["choices"]):
            return b""
        for choice in chunk["choices"]:
            (choice.get("delta") or {}).pop("role", None)
        return b"data: %b\n\n" % _json(chunk)


def _says_role_alone(choices: list[dict[str, Any]]) -> bool:
    return bool(choices) and all(
        "role" in (c.get("delta") or {})
        and not any(v for k, v in c["delta"].items() if k != "role")
        and not c.get("finish_reason")
        for c in choices
    )
