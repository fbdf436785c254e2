"""Calls of /v1/embeddings at an emulated worker: what they ask, and their answer."""

from __future__ import annotations

from typing import Any

import msgspec

from tokenworks.serve.body.faults import NOT_JSON
from tokenworks.serve.emulate.asked import BYTES_PER_TOKEN, Stated
from tokenworks.serve.emulate.vectors import as_base64, vector
from tokenworks.serve.http.request import Refused
from tokenworks.serve.http.server import ServerConnection

FORMATS = ("float", "base64")
_json = msgspec.json.encode


class Embed(msgspec.Struct):
    """One call. ``input``: a text, a list of tokens, or a list of either."""

    model: str
    input: Any
    encoding_format: str | None = None
    dimensions: int | None = None
    emulate: Stated | None = None


class Input(msgspec.Struct, frozen=True):
    """One of a call's inputs: what its vector depends on, and its tokens."""

    text: bytes
    tokens: int


_decode = msgspec.json.Decoder(Embed).decode


def read(body: bytes, dimensions: int) -> tuple[Embed, list[Input]]:
    """``dimensions``: of the model. Raises Refused for what is no call, or one that is not emulated."""
    try:
        call = _decode(body)
    except NOT_JSON as error:
        raise Refused(400, "invalid_json", str(error)) from None
    if call.encoding_format not in (None, *FORMATS):
        raise Refused(400, "encoding_format", "encoding_format is float or base64", param="encoding_format")
    if call.dimensions is not None and not 1 <= call.dimensions <= dimensions:
        raise Refused(400, "dimensions", f"dimensions is between 1 and the model's {dimensions}", param="dimensions")
    call.dimensions = call.dimensions or dimensions
    return call, _stated(call.emulate, _inputs(call.input))


def _inputs(given: Any) -> list[Input]:
    several = given if isinstance(given, list) and given and not _is_tokens(given) else [given]
    return [_input(one) for one in several]


def _input(one: Any) -> Input:
    if isinstance(one, str) and one:
        text = one.encode()
        return Input(text, -(-len(text) // BYTES_PER_TOKEN))
    if _is_tokens(one):
        return Input(_json(one), len(one))
    raise Refused(
        400, "input", "input is a text or a list of tokens that is not empty, or a list of such", param="input"
    )


def _is_tokens(given: Any) -> bool:
    return isinstance(given, list) and bool(given) and all(type(one) is int and one >= 0 for one in given)


def _stated(said: Stated | None, inputs: list[Input]) -> list[Input]:
    """The caller's own count is that of the whole call: in parts as even as they can be."""
    if said is None:
        return inputs
    if said.output_tokens is not None:
        raise Refused(400, "emulate", "an embedding has no output tokens", param="emulate")
    if said.input_tokens is None:
        return inputs
    if said.input_tokens < len(inputs):
        raise Refused(
            400, "emulate", f"{len(inputs)} inputs have at least as many tokens: emulate.input_tokens", param="emulate"
        )
    count = len(inputs)
    return [Input(one.text, (said.input_tokens + k) // count) for k, one in enumerate(inputs)]


class Vectors:
    """The answer, once all inputs are through."""

    def __init__(self, call: Embed, inputs: list[Input], connection: ServerConnection):
        self._call, self._inputs, self._connection = call, inputs, connection
        self._left, self._energy_uj = len(inputs), 0

    def tell(self, energy_uj: int) -> bool:
        """An input is through, for so many microjoules. Whether it was the last one."""
        self._left -= 1
        self._energy_uj += energy_uj
        if not self._left:
            self._connection.respond(200, _json(self._answer()))
        return not self._left

    def _answer(self) -> dict[str, Any]:
        told = sum(one.tokens for one in self._inputs)
        data = [
            {"object": "embedding", "index": i, "embedding": self._encoded(one)} for i, one in enumerate(self._inputs)
        ]
        usage = {"prompt_tokens": told, "total_tokens": told, "energy_uj": self._energy_uj}
        return {"object": "list", "data": data, "model": self._call.model, "usage": usage}

    def _encoded(self, one: Input) -> Any:
        assert self._call.dimensions is not None
        found = vector(one.text, self._call.dimensions)
        return as_base64(found) if self._call.encoding_format == "base64" else found.tolist()
