"""OpenAI's /v1/responses: passed through where the upstream serves it, translated to chat completions where it does not."""

from __future__ import annotations

from dataclasses import replace

import msgspec

from tokenworks.serve.body.faults import NOT_JSON
from tokenworks.serve.body.splice import Body, read, spliced
from tokenworks.serve.body.usage import Told, told, usage_of_answer
from tokenworks.serve.dialects.chat import Translated, event
from tokenworks.serve.dialects.dialect import CHAT_COMPLETIONS, FAILED, Spoken
from tokenworks.serve.dialects.responses.asked import ResponsesRequest
from tokenworks.serve.dialects.responses.from_chat import ResponseEvents, response
from tokenworks.serve.dialects.responses.guard import refuse_foreign
from tokenworks.serve.dialects.responses.native import ResponseStream
from tokenworks.serve.dialects.responses.to_chat import to_chat
from tokenworks.serve.http.replies import refusal
from tokenworks.serve.http.request import Refused, Request
from tokenworks.serve.served import Served
from tokenworks.serve.upstream import Upstream

RESPONSES = b"/v1/responses"
_decode = msgspec.json.Decoder(ResponsesRequest).decode


class Responses:
    """The path."""

    operation, metered = "chat", True
    broke_off = event("error", {"code": "upstream_failed", "message": FAILED, "param": None, "sequence_number": 0})

    def call(self, request: Request, body: Body, served: Served) -> ResponsesCall:
        if not served.speaks & {"chat", "responses"}:
            raise Refused(
                400, "dialect", f"{served.name} is asked in Anthropic's dialect: POST /v1/messages", param="model"
            )
        says_so = refuse_foreign(body.text)
        if "responses" in served.speaks:
            return ResponsesCall(self, body if says_so else unstored(body), None, body.session)
        asked = asked_of(body.text)
        return ResponsesCall(self, read(msgspec.json.encode(to_chat(asked))), asked, body.session)

    def refusal(self, refused: Refused) -> tuple[int, bytes, bytes]:
        return refusal(refused)


def asked_of(text: bytes) -> ResponsesRequest:
    """Raises Refused for what chat completions cannot express."""
    try:
        return _decode(text)
    except NOT_JSON as error:
        raise Refused(400, "invalid_request", f"this engine is asked through chat completions: {error}") from None


def unstored(body: Body) -> Body:
    """With ``store: false``: providers keep responses unless told not to."""
    more = b',"store":false'
    return replace(body, text=body.text[: body.end] + more + body.text[body.end :], end=body.end + len(more))


class ResponsesCall:
    """``asked``: where it is translated, and ``body`` then is a call of chat completions."""

    __slots__ = ("_asked", "body", "dialect", "session")

    def __init__(self, dialect: Responses, body: Body, asked: ResponsesRequest | None, session: str):
        self.dialect: Spoken = dialect
        self.body, self._asked, self.session = body, asked, session

    def way(self, upstream: Upstream) -> NativeWay | TranslatedWay:
        if self._asked is None:
            return NativeWay(spliced(self.body, upstream.model, False))
        return TranslatedWay(spliced(self.body, upstream.model, True, upstream.continuous_usage), self._asked)


class NativeWay:
    __slots__ = ("head", "path", "text")

    def __init__(self, text: bytes):
        self.path, self.text, self.head = RESPONSES, text, b""

    def stream(self) -> ResponseStream:
        return ResponseStream()

    def answer(self, body: bytes) -> bytes:
        return body

    def told(self, body: bytes) -> Told:
        return told(usage_of_answer(body), 0, True)

    def error(self, status: int, body: bytes) -> bytes:
        return body


class TranslatedWay:
    __slots__ = ("_asked", "head", "path", "text")

    def __init__(self, text: bytes, asked: ResponsesRequest):
        self.path, self.text, self.head, self._asked = CHAT_COMPLETIONS, text, b"", asked

    def stream(self) -> Translated:
        return Translated(ResponseEvents(self._asked))

    def answer(self, body: bytes) -> bytes:
        return response(body, self._asked)

    def told(self, body: bytes) -> Told:
        return told(usage_of_answer(body), 0, True)

    def error(self, status: int, body: bytes) -> bytes:
        return body
