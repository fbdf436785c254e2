"""OpenAI's /v1/responses: passed through where the upstream serves it, translated to chat completions where it does not."""

from __future__ import annotations

import msgspec

from tokenworks.serve.body.faults import NOT_JSON
from tokenworks.serve.body.splice import Body
from tokenworks.serve.body.usage import Told, told, usage_of_answer
from tokenworks.serve.dialects.chat import Translated, chat_body, event
from tokenworks.serve.dialects.responses.asked import ResponsesRequest
from tokenworks.serve.dialects.responses.from_chat import ResponseEvents, response
from tokenworks.serve.dialects.responses.guard import refuse_foreign
from tokenworks.serve.dialects.responses.native import ResponseStream
from tokenworks.serve.dialects.responses.to_chat import to_chat
from tokenworks.serve.dialects.way import ChatWay, Way
from tokenworks.serve.http.replies import refusal
from tokenworks.serve.http.request import Refused, Request
from tokenworks.serve.upstreams.served import Served

RESPONSES = b"/v1/responses"
_decode = msgspec.json.Decoder(ResponsesRequest).decode


class Responses:
    """The path."""

    operation, metered = "chat", True

    def session(self, body: Body) -> str:
        return body.session

    def way(self, request: Request, body: Body, served: Served) -> tuple[Way, Body]:
        if not served.speaks & {"chat", "responses"}:
            raise Refused(
                400, "dialect", f"{served.name} is asked in Anthropic's dialect: POST /v1/messages", param="model"
            )
        native = "responses" in served.speaks
        says_so = refuse_foreign(body.text, stores=native and served.keyed)
        if native:
            return NATIVE, body if says_so else unstored(body)
        asked = asked_of(body.text)
        return TranslatedWay(asked), chat_body(to_chat(asked))

    def refusal(self, refused: Refused) -> tuple[int, bytes, bytes]:
        return refusal(refused)

    def broken_off(self, why: Refused, events: int) -> bytes:
        return event("error", {"code": why.code, "message": why.message, "param": None, "sequence_number": events})


def asked_of(text: bytes) -> ResponsesRequest:
    """Raises Refused for what chat completions cannot express."""
    try:
        return _decode(text)
    except NOT_JSON as error:
        raise Refused(400, "invalid_request", f"this engine is asked through chat completions: {error}") from None


def unstored(body: Body) -> Body:
    """With ``store: false``: providers keep responses unless told not to."""
    text, end = body.text, body.end
    return msgspec.structs.replace(body, text=text[:end] + b',"store":false' + text[end:])


class NativeWay(Way):
    """Bytes go on as they are."""

    path, limits = RESPONSES, ("max_output_tokens",)

    def passage(self, said: Body, whole: bool) -> ResponseStream:
        return ResponseStream()

    def told(self, body: bytes) -> Told:
        return told(usage_of_answer(body), 0, True)


NATIVE = NativeWay()


class TranslatedWay(ChatWay):
    """``asked``: as the caller wrote it."""

    def __init__(self, asked: ResponsesRequest):
        self._asked = asked

    def translation(self) -> Translated:
        return Translated(ResponseEvents(self._asked))

    def answer(self, body: bytes) -> bytes:
        return response(body, self._asked)
