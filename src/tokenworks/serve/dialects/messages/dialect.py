"""Anthropic's /v1/messages: passed through where the upstream speaks it, translated to chat completions where it does not."""

from __future__ import annotations

from typing import Any

import msgspec

from tokenworks.serve.body.faults import NOT_JSON, not_json
from tokenworks.serve.body.splice import Body
from tokenworks.serve.body.usage import Told
from tokenworks.serve.dialects.chat import Translated, chat_body
from tokenworks.serve.dialects.messages.asked import MessagesRequest
from tokenworks.serve.dialects.messages.errors import error_body, error_event, reworded
from tokenworks.serve.dialects.messages.from_chat import MessageEvents, message
from tokenworks.serve.dialects.messages.guard import refuse_foreign
from tokenworks.serve.dialects.messages.native import MessageStream, told_of
from tokenworks.serve.dialects.messages.to_chat import to_chat
from tokenworks.serve.dialects.way import ChatWay, Way
from tokenworks.serve.http.replies import JSON, retry_line
from tokenworks.serve.http.request import Refused, Request
from tokenworks.serve.upstreams.served import Served

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

    def __init__(self, path: bytes):
        self.path = path
        self.metered = path == MESSAGES
        self.operation = "chat" if self.metered else "count_tokens"

    def session(self, body: Body) -> str:
        try:
            metadata = _decode_user(body.text).metadata
        except NOT_JSON as error:
            raise not_json(error) from None
        return (metadata and metadata.user_id) or ""

    def way(self, request: Request, body: Body, served: Served) -> tuple[Way, Body]:
        if not self.metered and "messages" not in served.speaks:
            raise Refused(404, "not_found", f"the engines of {served.name} do not count tokens")
        refuse_foreign(body.text)
        if "messages" in served.speaks:
            return NativeWay(self.path, _head(request)), body
        return TranslatedWay(body.known.model), translated(body, served)

    def refusal(self, refused: Refused) -> tuple[int, bytes, bytes]:
        return refused.status, error_body(refused.status, refused.message), retry_line(refused) + refused.lines

    def broken_off(self, why: Refused, events: int) -> bytes:
        return error_event(why.status, why.message)


def _head(request: Request) -> bytes:
    """Of the caller's headers those that say which version of the dialect he means."""
    version = request.headers.get(b"anthropic-version", VERSION)
    beta = request.headers.get(b"anthropic-beta", b"")
    if len(version) > 32 or len(beta) > LONGEST_HEADER:
        raise Refused(400, "header", "anthropic-version or anthropic-beta is too long")
    return b"anthropic-version: %b\r\n" % version + (b"anthropic-beta: %b\r\n" % beta if beta else b"")


def translated(body: Body, served: Served) -> Body:
    """The same as chat completions. Raises Refused for what they cannot express."""
    try:
        asked = _decode(body.text)
    except NOT_JSON as error:
        raise Refused(400, "invalid_request", f"this engine is asked through chat completions: {error}") from None
    chat = to_chat(asked)
    if asked.messages and asked.messages[-1].role == "assistant":
        _go_on(chat, served)
    return chat_body(chat)


def _go_on(chat: dict[str, Any], served: Served) -> None:
    """An answer begins where a last message of the assistant ends. Raises Refused where it would be another answer."""
    last = chat["messages"][-1]
    if last.get("tool_calls") or not last["content"]:
        raise Refused(
            400, "content", "messages: a last message of the assistant is gone on with, so it is text", param="messages"
        )
    if not all(upstream.continues for router in served.routers for upstream in router.listed):
        why = f"messages: the engines of {served.name} do not go on with a last message of the assistant; end with the user's"
        raise Refused(400, "not_supported", why, param="messages")
    chat |= {"continue_final_message": True, "add_generation_prompt": False}


class NativeWay(Way):
    """Bytes go on as they are."""

    limits = ("max_tokens",)

    def __init__(self, path: bytes, head: bytes):
        self.path, self.head = path, head

    def passage(self, said: Body, whole: bool) -> MessageStream:
        return MessageStream()

    def told(self, body: bytes) -> Told:
        return told_of(body)


class TranslatedWay(ChatWay):
    """``model``: as the caller wrote it."""

    def __init__(self, model: str):
        self._model = model

    def translation(self) -> Translated:
        return Translated(MessageEvents(self._model))

    def answer(self, body: bytes) -> bytes:
        return message(body, self._model)

    def error(self, status: int, body: bytes, kind: bytes) -> tuple[bytes, bytes]:
        return reworded(status, body), JSON
