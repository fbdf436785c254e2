"""What a call asks of an emulated engine: how many tokens in, how many out.

There is no tokenizer: a token is taken as four bytes of the prompt, an answer has as many tokens as the caller allows.
Callers that know better say so: ``"emulate": {"input_tokens": 1200, "output_tokens": 80}`` beside the other members.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from tokenworks.serve.body.faults import NOT_JSON
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

    @property
    def input_tokens(self) -> int:
        if self.emulate and self.emulate.input_tokens:
            return self.emulate.input_tokens
        told = bytes(self.messages) or bytes(self.prompt)
        return max(1, -(-len(told) // BYTES_PER_TOKEN))

    @property
    def output_tokens(self) -> int:
        stated = self.emulate.output_tokens if self.emulate else None
        return stated or self.limit or ANSWER_TOKENS

    @property
    def limit(self) -> int | None:
        return self.max_completion_tokens or self.max_tokens

    @property
    def ends(self) -> str:
        """The finish reason."""
        return "length" if self.limit and self.output_tokens >= self.limit else "stop"


_decode = msgspec.json.Decoder(Call).decode


def read(body: bytes, chat: bool) -> Call:
    """Raises Refused for what is no call, or one that is not emulated."""
    try:
        call = _decode(body)
    except NOT_JSON as error:
        raise Refused(400, "invalid_json", str(error)) from None
    if bytes(call.messages if chat else call.prompt) in (b"", b"null"):
        raise Refused(400, "missing", f"a call needs {'messages' if chat else 'prompt'}")
    if call.n not in (None, 1):
        raise Refused(400, "n", "emulated engines give one answer: n is 1", param="n")
    return call
