"""What the relay asks of a dialect: how a call is put to an upstream, and what is made of its answer.

A `Dialect` belongs to a path, a `Call` to one request, a `Way` to one attempt. Chat completions, completions and embeddings
are the plain dialect: every upstream that speaks OpenAI's API takes them, nothing is translated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from tokenworks.serve.body.splice import Body, spliced
from tokenworks.serve.body.stream import Stream
from tokenworks.serve.body.usage import Told, told, usage_of_answer
from tokenworks.serve.dialects.files import refuse_kept_files
from tokenworks.serve.http.replies import error_body, refusal
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
    dialect: Dialect

    def way(self, upstream: Upstream) -> Way: ...


class Dialect(Protocol):
    """Of a path. ``operation``: how its events are named; ``metered``: whether it makes any; ``broke_off``: what ends a
    stream that failed."""

    operation: str
    metered: bool
    broke_off: bytes

    def call(self, request: Request, body: Body, served: Served) -> Call:
        """Raises Refused for what no upstream of the service can be asked."""

    def refusal(self, refused: Refused) -> tuple[int, bytes, bytes]:
        """(status, body, header lines)."""


class Plain:
    """OpenAI's chat completions, completions and embeddings."""

    metered = True
    broke_off = (
        b"data: " + error_body(502, "upstream_failed", FAILED) + b"\n\n"
    )  # what SDKs raise in the middle of a stream

    def __init__(self, operation: str):
        self.operation = operation

    def call(self, request: Request, body: Body, served: Served) -> PlainCall:
        if "chat" not in served.speaks:
            raise Refused(
                400, "dialect", f"{served.name} is asked in Anthropic's dialect: POST /v1/messages", param="model"
            )
        if body.streams and self.operation == "embeddings":
            raise Refused(400, "stream", "embeddings are not streamed", param="stream")
        if served.keyed:
            refuse_kept_files(body.text)
        return PlainCall(self, request.path, body)

    def refusal(self, refused: Refused) -> tuple[int, bytes, bytes]:
        return refusal(refused)


class PlainCall:
    __slots__ = ("body", "dialect", "path", "session")

    def __init__(self, dialect: Plain, path: bytes, body: Body):
        self.dialect: Dialect = dialect
        self.path, self.body, self.session = path, body, body.session

    def way(self, upstream: Upstream) -> PlainWay:
        text = spliced(self.body, upstream.model, self.dialect.operation != "embeddings", upstream.continuous_usage)
        return PlainWay(self.path, text, not self.body.wants_usage)


class PlainWay:
    __slots__ = ("_withhold", "head", "path", "text")

    def __init__(self, path: bytes, text: bytes, withhold: bool):
        self.path, self.text, self.head, self._withhold = path, text, b"", withhold

    def stream(self) -> Stream:
        return Stream(self._withhold)

    def answer(self, body: bytes) -> bytes:
        return body

    def told(self, body: bytes) -> Told:
        return told(usage_of_answer(body), 0, True)

    def error(self, status: int, body: bytes) -> bytes:
        return body


PLAIN = Plain("chat")
