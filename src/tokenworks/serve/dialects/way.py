"""How the upstreams of one service are asked, and what is made of their answers.

A caller's dialect is either what the upstreams speak, and bytes go on as they are, or it is translated to chat completions.
In both cases the life of the call is the same (`serve.relay`); what differs is here.
"""

from __future__ import annotations

from typing import Protocol

from tokenworks.serve.body.splice import Body
from tokenworks.serve.body.stream import Stream
from tokenworks.serve.body.usage import Told, told_of_answer

CHAT_COMPLETIONS = b"/v1/chat/completions"
CHAT_LIMITS: tuple[str, ...] = ("max_tokens", "max_completion_tokens")


class Unfit(Exception):  # noqa: N818 - the upstream's fault
    """An answer that cannot be put into the caller's dialect; the message says why."""


class Passage(Protocol):
    """A streamed answer on its way. ``done``: its end was seen; ``failed``: an error in it; ``open_ended``: it is whole
    without an end; ``unended``: its last event is whole but for the blank line; ``events``: that went by; ``held``: what waits
    for the ledger."""

    @property
    def open_ended(self) -> bool: ...

    @property
    def unended(self) -> bool: ...

    done: bool
    failed: bool
    events: int
    held: list[bytes]

    def feed(self, data: bytes) -> bytes:
        """What may go to the caller now. Raises Unfit."""

    def told(self, whole: bool) -> Told: ...

    def rest(self) -> bytes:
        """What was held back for the commit, and the end."""


class Translation(Protocol):
    """Events of chat completions as those of the caller's dialect. ``finished``: the engine has said why it ended;
    ``events``: that were made, where the dialect numbers them."""

    @property
    def finished(self) -> bool: ...

    @property
    def events(self) -> int: ...

    def put(self, data: bytes) -> bytes:
        """Raises Unfit."""

    def end(self) -> bytes: ...


class Way(Protocol):
    """``path``, and ``head`` (complete header lines): where the upstream is asked. ``usage``: a stream says its usage when it is
    asked to. ``goes_on``: another engine may be able to go on with its stream. ``limits``: the members that limit an answer; a
    budget that affords less sets the first where the caller used none; (): it makes no tokens."""

    path: bytes
    head: bytes = b""
    usage: bool = False
    goes_on: bool = False
    limits: tuple[str, ...]

    def passage(self, said: Body, whole: bool) -> Passage:
        """``whole``: its end is held back from the reason on for which it ends."""

    def translation(self) -> Translation | None:
        """Of one answer; None where it is in the caller's dialect already."""
        return None

    def told(self, body: bytes) -> Told: ...

    def answer(self, body: bytes) -> bytes:
        """A whole answer for the caller. Raises Unfit."""
        return body

    def error(self, status: int, body: bytes, kind: bytes) -> tuple[bytes, bytes]:
        """(body, content type)."""
        return body, kind


class ChatWay(Way):
    """OpenAI's chat completions, which every engine of its dialect takes."""

    path, usage, goes_on, limits = CHAT_COMPLETIONS, True, True, CHAT_LIMITS

    def passage(self, said: Body, whole: bool) -> Stream:
        return Stream(not said.wants_usage, whole)

    def told(self, body: bytes) -> Told:
        return told_of_answer(body)
