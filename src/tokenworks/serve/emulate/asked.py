"""What a call asks of an emulated engine: how many tokens in, how many out.

There is no tokenizer: a token is taken as four bytes of the prompt, an answer has as many tokens as the caller allows.
Callers that know better say so: ``"emulate": {"input_tokens": 1200, "output_tokens": 80}`` beside the other members.
An answer that another worker began is gone on with: its text is the end of the prompt, or the last message of a chat with
``"continue_final_message": true`` (vLLM's and SGLang's name for it), whose words count as said.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from tokenworks.serve.body.faults import NOT_JSON
from tokenworks.serve.emulate.text import WORD_BYTES, Message, state_of_chat, state_of_prompt
from tokenworks.serve.http.request import Refused

BYTES_PER_TOKEN = 4
ANSWER_TOKENS = 128  # where the caller sets no limit
NOTHING = msgspec.Raw()
Tokens = Annotated[int, msgspec.Meta(ge=1, le=10_000_000)]


class StreamOptions(msgspec.Struct):
    include_usage: bool | None = None
    continuous_usage_stats: bool | None = None


class Stated(msgspec.Struct, forbid_unknown_fields=True):
    input_tokens: Tokens | None = None
    output_tokens: Tokens | None = None


class Transfer(msgspec.Struct):
    """Between a prefill and a decode worker, in vLLM's words."""

    do_remote_decode: bool = False
    do_remote_prefill: bool = False
    remote_engine_id: str | None = None
    remote_request_id: str | None = None


class Call(msgspec.Struct):
    model: str
    messages: msgspec.Raw = NOTHING
    prompt: msgspec.Raw = NOTHING
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Tokens | None = None
    max_completion_tokens: Tokens | None = None
    n: int | None = None
    emulate: Stated | None = None
    kv_transfer_params: Transfer | None = None
    continue_final_message: bool = False
    state: int = msgspec.field(default=0, name=" state")  # of the text, where the answer begins or goes on
    begun: int = msgspec.field(default=0, name=" begun")  # words of the answer that were said before
    begun_bytes: int = msgspec.field(default=0, name=" begun_bytes")  # of the message that holds them

    @property
    def input_tokens(self) -> int:
        if self.emulate and self.emulate.input_tokens:
            return self.emulate.input_tokens + self.begun
        told = len(bytes(self.messages) or bytes(self.prompt)) - self.begun_bytes
        return max(1, -(-told // BYTES_PER_TOKEN)) + self.begun

    @property
    def output_tokens(self) -> int:
        """That are still to come; 0 where a begun answer is complete."""
        stated = self.emulate.output_tokens if self.emulate else None
        if self.limit and not stated:
            return self.limit
        left = max(0, (stated or ANSWER_TOKENS) - self.begun)
        return min(left, self.limit) if self.limit else left

    @property
    def limit(self) -> int | None:
        return self.max_completion_tokens or self.max_tokens

    @property
    def ends(self) -> str:
        """The finish reason."""
        return "length" if self.limit and self.output_tokens >= self.limit else "stop"


_decode = msgspec.json.Decoder(Call).decode
_messages = msgspec.json.Decoder(list[Message]).decode


def too_long() -> Refused:
    """A new one each time: an exception that is raised again keeps the frames of all times before."""
    return Refused(400, "context_length_exceeded", "the call does not fit the worker's KV cache")


def read(body: bytes, chat: bool) -> Call:
    """Raises Refused for what is no call, or one that is not emulated."""
    try:
        call = _decode(body)
        if bytes(call.messages if chat else call.prompt) in (b"", b"null"):
            raise Refused(400, "missing", f"a call needs {'messages' if chat else 'prompt'}")
        if chat:
            _join_chat(call)
        else:
            call.state = state_of_prompt(msgspec.json.decode(call.prompt))
    except NOT_JSON as error:
        raise Refused(400, "invalid_json", str(error)) from None
    if call.n not in (None, 1):
        raise Refused(400, "n", "emulated engines give one answer: n is 1", param="n")
    return call


def _join_chat(call: Call) -> None:
    messages = _messages(call.messages)
    begun: Any = None
    if call.continue_final_message and messages:
        last = messages.pop()
        begun = last.content
        if not isinstance(begun, str):
            raise Refused(400, "continue_final_message", "the beginning of an answer is text")
        call.begun, call.begun_bytes = len(begun) // WORD_BYTES, len(msgspec.json.encode(last)) + 1
    call.state = state_of_chat(messages, begun)
