"""What the relay asks of a dialect: how a call is put to an upstream, and what is made of its answer.

A `Dialect` belongs to a path, a `Call` to one request, a `Way` to one attempt. Chat completions, completions and embeddings
are the plain dialect: every upstream that speaks OpenAI's API takes them, nothing is translated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from tokenworks.serve.body.splice import Body
from tokenworks.serve.body.usage import Told
from tokenworks.serve.dialects.files import refuse_kept_files
from tokenworks.serve.http.replies import refusal
from tokenworks.serve.http.request import Refused, Request

if TYPE_CHECKING:
    from tokenworks.serve.served import Served
    from tokenworks.serve.upstream import Upstream

CHAT_COMPLETIONS = b"/v1/chat/completions"
FAILED = "the upstream broke off in the middle of its answer"


class Unfit(Exception):  # noqa: N818 - the upstream's fault
    """An answer that cannot be put into the caller's dialect; the message says why."""


class Passage(Protocol):
    """A streamed answer on its way. ``done``: its end was seen; ``complete``: it may end here."""

    @property
    def done(self) -> bool: ...

    @property
    def complete(self) -> bool: ...

    def feed(self, data: bytes) -> bytes:
        """What may go to the caller now. Raises Unfit."""

    def told(self, whole: bool) -> Told: ...

    def rest(self) -> bytes:
        """What was held back for the commit, and the end. Raises Unfit."""


class Way(Protocol):
    """One attempt. ``path`` and ``text`` are what the upstream gets, ``head`` are complete header lines."""

    path: bytes
    text: bytes
    head: bytes

    def stream(self) -> Passage: ...

    def answer(self, body: bytes) -> bytes:
        """A whole answer for the caller. Raises Unfit."""

    def told(self, body: bytes) -> Told: ...

    def error(self, status: int, body: bytes) -> bytes: ...


class Call(Protocol):
    """One request. ``body``: what the upstream is asked, chat completions where it is translated; ``session``: what calls of one
    conversation share, else ""."""

    body: Body
    session: str
    dialect: Spoken

    def way(self, upstream: Upstream) -> Way: ...


class Dialect(Protocol):
    """Of a path. ``operation``: how its events are named; ``metered``: whether it makes any."""

    operation: str
    metered: bool

    def call(self, request: Request, body: Body, served: Served) -> Call | None:
        """None for the plain dialect, whose calls `serve.relay` forwards. Raises Refused for what no upstream of the service
        can be asked."""

    def refusal(self, refused: Refused) -> tuple[int, bytes, bytes]:
        """(status, body, header lines)."""


class Spoken(Dialect, Protocol):
    """One of its own. ``broke_off``: what ends a stream that failed."""

    broke_off: bytes


class Plain:
    """OpenAI's chat completions, completions and embeddings."""

    metered = True

    def __init__(self, operation: str):
        self.operation = operation

    def call(self, request: Request, body: Body, served: Served) -> None:
        if "chat" not in served.speaks:
            raise Refused(
                400, "dialect", f"{served.name} is asked in Anthropic's dialect: POST /v1/messages", param="model"
            )
        if body.streams and self.operation == "embeddings":
            raise Refused(400, "stream", "embeddings are not streamed", param="stream")
        if served.keyed:
            refuse_kept_files(body.text)

    def refusal(self, refused: Refused) -> tuple[int, bytes, bytes]:
        return refusal(refused)


PLAIN = Plain("chat")
