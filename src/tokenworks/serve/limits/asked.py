"""What a call asks for, as far as it bounds its tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from tokenworks.serve.body.splice import Body, reread
from tokenworks.serve.http.request import Refused

NOTHING = msgspec.Raw()
UNBOUNDED = ("n_predict", "max_new_tokens", "num_predict", "max_length")
"""Members by which engines let a caller ask for more than ``max_tokens``."""


class Stated(msgspec.Struct):
    """What an emulated engine is told: more input than the text has."""

    input_tokens: int | None = None
    output_tokens: int | None = None


class Asked(msgspec.Struct):
    """Members of a body. Those that hold texts stay as they came."""

    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    max_output_tokens: int | None = None
    n: int | None = None
    best_of: int | None = None
    messages: msgspec.Raw = NOTHING
    system: msgspec.Raw = NOTHING
    prompt: msgspec.Raw = NOTHING
    input: msgspec.Raw = NOTHING
    tools: msgspec.Raw = NOTHING
    functions: msgspec.Raw = NOTHING
    previous_response_id: msgspec.Raw = NOTHING
    conversation: msgspec.Raw = NOTHING
    emulate: Stated | None = None
    n_predict: msgspec.Raw = NOTHING
    max_new_tokens: msgspec.Raw = NOTHING
    num_predict: msgspec.Raw = NOTHING
    max_length: msgspec.Raw = NOTHING

    def most_outputs(self, limits: Sequence[str]) -> int | None:
        """Of one choice; None where the caller sets none of ``limits``. Of two the larger: engines differ in which they take."""
        given = [v for v in map(self.__getattribute__, limits) if v and v > 0]
        return max(given) if given else None

    @property
    def choices(self) -> int:
        """Answers to each prompt."""
        return max(1, self.n or 1, self.best_of or 1)

    @property
    def prompts(self) -> int:
        return _texts(self.prompt)

    @property
    def inputs(self) -> int:
        """Texts to embed."""
        return _texts(self.input)

    @property
    def stored(self) -> bool:
        """Whether part of the prompt lies with the engine."""
        stored = (self.previous_response_id, self.conversation)
        return any(raw is not NOTHING and bytes(raw) != b"null" for raw in stored)


def _texts(raw: msgspec.Raw) -> int:
    """A list of texts, or of lists of token ids, is as many; one of ids is one."""
    text = bytes(raw)
    if not text.startswith(b"["):
        return 1
    listed = msgspec.json.decode(text)
    return len(listed) if listed and isinstance(listed[0], str | list) else 1


_decode = msgspec.json.Decoder(Asked).decode


def asked_of(body: Body) -> Asked:
    """Raises Refused for what bounds nothing."""
    try:
        asked = _decode(body.text)
        for name in UNBOUNDED:
            if getattr(asked, name) is not NOTHING:
                raise Refused(400, "no_bound", f"under a budget {name} is not taken: say max_tokens", param=name)
        return asked
    except msgspec.MsgspecError as error:
        raise Refused(400, "invalid_json", f"the body cannot be bounded: {error}") from None


def lowered(body: Body, limits: Sequence[str], outputs: int) -> Body:
    """The same call with at most ``outputs`` tokens a choice; those of ``limits`` that the caller used, else the first, hold it."""
    asked = asked_of(body)
    members: dict[str, msgspec.Raw] = msgspec.json.decode(body.text, type=dict[str, msgspec.Raw])
    used = [name for name in limits if (getattr(asked, name) or 0) > 0] or limits[:1]
    changed: dict[str, Any] = {name: min(outputs, getattr(asked, name) or outputs) for name in used}
    return reread(msgspec.json.encode({**members, **changed}))
