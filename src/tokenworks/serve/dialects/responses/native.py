"""Answers of upstreams that serve /v1/responses themselves: forwarded as they are, their usage read on the way."""

from __future__ import annotations

import msgspec

from tokenworks.serve.body.faults import NOT_JSON
from tokenworks.serve.body.stream import json_of
from tokenworks.serve.body.usage import Told, told, usage_of_answer
from tokenworks.serve.dialects.events import Events

ENDS = (b"response.completed", b"response.incomplete", b"response.failed")


class _Ending(msgspec.Struct):
    response: msgspec.Raw = msgspec.Raw()


_decode = msgspec.json.Decoder(_Ending).decode


class ResponseStream(Events):
    """Held back from the event that holds the whole response."""

    ends = ENDS

    def __init__(self) -> None:
        super().__init__()
        self._usage: bytes | None = None
        self._pieces = 0

    def seen(self, name: bytes, event: bytes) -> None:
        self._pieces += name.endswith(b".delta")
        if name in ENDS:
            try:
                self._usage = usage_of_answer(bytes(_decode(json_of(event)).response))
            except NOT_JSON:
                return  # what is stated otherwise is not stated

    def told(self, whole: bool) -> Told:
        return told(self._usage, self._pieces, whole)
