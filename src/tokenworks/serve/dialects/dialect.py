"""What a dialect is: of a path, how its calls are put to a service, and how refusals read.

Chat completions, completions and embeddings are the plain dialect: what every upstream takes that speaks OpenAI's API.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from tokenworks.serve.body.splice import Body
from tokenworks.serve.dialects.kept import refuse_kept
from tokenworks.serve.dialects.way import CHAT_COMPLETIONS, CHAT_LIMITS, ChatWay, Way
from tokenworks.serve.http.replies import error_body, refusal
from tokenworks.serve.http.request import Refused, Request

if TYPE_CHECKING:
    from tokenworks.serve.upstreams.served import Served


class Dialect(Protocol):
    """``operation``: how its events are named; ``metered``: whether it makes any."""

    operation: str
    metered: bool

    def session(self, body: Body) -> str:
        """What calls of one conversation share, where the caller says so; else "". Raises Refused."""

    def way(self, request: Request, body: Body, served: Served) -> tuple[Way, Body]:
        """The way to a service, and the body in its words. Raises Refused for what no upstream of it can be asked."""

    def refusal(self, refused: Refused) -> tuple[int, bytes, bytes]:
        """(status, body, header lines)."""

    def broken_off(self, why: Refused, events: int) -> bytes:
        """The last event of a stream that failed after so many others."""


class Plain(ChatWay):
    """A path of OpenAI's; its calls go on as they came, so it is their way as well."""

    metered = True

    def __init__(self, path: bytes, operation: str, limits: tuple[str, ...]):
        self.path, self.operation, self.limits = path, operation, limits
        self.usage = self.goes_on = bool(limits)

    def session(self, body: Body) -> str:
        return body.session

    def way(self, request: Request, body: Body, served: Served) -> tuple[Way, Body]:
        if "chat" not in served.speaks:
            raise Refused(
                400, "dialect", f"{served.name} is asked in Anthropic's dialect: POST /v1/messages", param="model"
            )
        if body.streams and not self.limits:
            raise Refused(400, "stream", "embeddings are not streamed", param="stream")
        if served.keyed:
            refuse_kept(body)
        return self, body

    def refusal(self, refused: Refused) -> tuple[int, bytes, bytes]:
        return refusal(refused)

    def broken_off(self, why: Refused, events: int) -> bytes:
        """What the SDKs raise as an error in the middle of a stream."""
        return b"data: " + error_body(why.status, why.code, why.message) + b"\n\n"


PLAIN = Plain(CHAT_COMPLETIONS, "chat", CHAT_LIMITS)
COMPLETIONS = Plain(b"/v1/completions", "text_completion", ("max_tokens",))
EMBEDDINGS = Plain(b"/v1/embeddings", "embeddings", ())
