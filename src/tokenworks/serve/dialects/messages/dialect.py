"""Anthropic's /v1/messages: passed through where the upstream speaks it, translated to chat completions where it does not."""

from __future__ import annotations

import msgspec

from tokenworks.serve.body.faults import NOT_JSON, not_json
from tokenworks.serve.body.splice import Body, read, spliced
from tokenworks.serve.body.usage import Told, told, usage_of_answer
from tokenworks.serve.dialects.chat import Translated
from tokenworks.serve.dialects.dialect import CHAT_COMPLETIONS, FAILED, Spoken
from tokenworks.serve.dialects.messages.asked import MessagesRequest
from tokenworks.serve.dialects.messages.errors import error_body, error_event, reworded
from tokenworks.serve.dialects.messages.from_chat import MessageEvents, message
from tokenworks.serve.dialects.messages.guard import refuse_foreign
from tokenworks.serve.dialects.messages.native import MessageStream, told_of
from tokenworks.serve.dialects.messages.to_chat import to_chat
from tokenworks.serve.http.replies import retry_line
from tokenworks.serve.http.request import Refused, Request
from tokenworks.serve.served import Served
from tokenworks.serve.upstream import Upstream

MESSAGES, COUNT_TOKENS = b"/v1/messages", b"/v1/messages/count_tokens"
VERSION = b"2023-06-01"
LONGEST_HEADER = 1000  # bytes of anthropic-beta
_decode = msgspec.json.Decoder(MessagesRequest).decode


class _WithUser(msgspec.Struct):
    class Metadata(msgspec.Struct):
        user_id: str | None = None

    metadata: Metadata | None = None


_decode_user = msgspec.json.Decoder(_WithUser).decode


class Messages:
    """A path of Anthropic's."""

    broke_off = error_event(502, FAILED)

    def __init__(self, path: bytes):
        self.path = path
        self.metered = path == MESSAGES
        self.operation = "chat" if self.metered else "count_tokens"

    def call(self, request: Request, body: Body, served: Served) -> MessagesCall:
        if not self.metered and "messages" not in served.speaks:
            raise Refused(404, "not_found", f"the engines of {served.name} do not count tokens")
        refuse_foreign(body.text)
        session = _user(body.text)
        if "messages" in served.speaks:
            return MessagesCall(self, body, None, _head(request), session)
        return MessagesCall(self, translated(body), body.known.model, b"", session)

    def refusal(self, refused: Refused) -> tuple[int, bytes, bytes]:
        return refused.status, error_body(refused.status, refused.message), retry_line(refused)


def _head(request: Request) -> bytes:
    """Of the caller's headers those that say which version of the dialect he means."""
    version = request.headers.get(b"anthropic-version", VERSION)
    beta = request.headers.get(b"anthropic-beta", b"")
    if len(version) > 32 or len(beta) > LONGEST_HEADER:
        raise Refused(400, "header", "anthropic-version or anthropic-beta is too long")
    return b"anthropic-version: %b\r\n" % version + (b"anthropic-beta: %b\r\n" % beta if beta else b"")


def _user(text: bytes) -> str:
    try:
        metadata = _decode_user(text).metadata
    except NOT_JSON as error:
        raise not_json(error) from None
    return (metadata and metadata.user_id) or ""


def translated(body: Body) -> Body:
    """The same as chat completions. Raises Refused for what they cannot express."""
    try:
        asked = _decode(body.text)
    except NOT_JSON as error:
        raise Refused(400, "invalid_request", f"this engine is asked through chat completions: {error}") from None
    return read(msgspec.json.encode(to_chat(asked)))


class MessagesCall:
    """``model``: as the caller wrote it, where the call is translated, and ``body`` then is one of chat completions."""

    __slots__ = ("_head", "_model", "body", "dialect", "session")

    def __init__(self, dialect: Messages, body: Body, model: str | None, head: bytes, session: str):
        self.dialect: Spoken = dialect
        self.body, self._model, self._head, self.session = body, model, head, session

    def way(self, upstream: Upstream) -> NativeWay | TranslatedWay:
        if self._model is None:
            return NativeWay(self.dialect, spliced(self.body, upstream.model, False), self._head)
        return TranslatedWay(spliced(self.body, upstream.model, True, upstream.continuous_usage), self._model)


class NativeWay:
    __slots__ = ("head", "path", "text")

    def __init__(self, dialect: Spoken, text: bytes, head: bytes):
        self.path = MESSAGES if dialect.metered else COUNT_TOKENS
        self.text, self.head = text, head

    def stream(self) -> MessageStream:
        return MessageStream()

    def answer(self, body: bytes) -> bytes:
        return body

    def told(self, body: bytes) -> Told:
        return told_of(body)

    def error(self, status: int, body: bytes) -> bytes:
        return body


class TranslatedWay:
    __slots__ = ("_model", "head", "path", "text")

    def __init__(self, text: bytes, model: str):
        self.path, self.text, self.head, self._model = CHAT_COMPLETIONS, text, b"", model

    def stream(self) -> Translated:
        return Translated(MessageEvents(self._model))

    def answer(self, body: bytes) -> bytes:
        return message(body, self._model)

    def told(self, body: bytes) -> Told:
        return told(usage_of_answer(body), 0, True)

    def error(self, status: int, body: bytes) -> bytes:
        return reworded(status, body)
