"""The answer of one attempt, as far as it has come."""

from __future__ import annotations

import msgspec

from tokenworks.serve.body.usage import MISSING, Told
from tokenworks.serve.dialects.way import Passage
from tokenworks.serve.http.replies import JSON

EVENT_STREAM = b"text/event-stream"
MOST_ANSWER_BYTES = 256 << 20  # of an answer that is no stream


class Incoming(msgspec.Struct, eq=False):
    """``stream``: where it is one that works; else its bytes are kept. ``answer``: what the caller gets of a whole one.
    ``status`` 0: its head has not come."""

    status: int = 0
    kind: bytes = JSON
    wait: bytes = b""
    answer: bytes = b""
    stream: Passage | None = None
    _pieces: list[bytes] = []
    _size: int = 0

    def head(self, status: int, headers: dict[bytes, bytes]) -> bool:
        """Whether a stream follows."""
        self.status = status
        self.kind = kind = headers.get(b"content-type", JSON)
        if status >= 400:
            self.wait = headers.get(b"retry-after", b"")
        return status == 200 and is_stream(kind)

    def keep(self, data: bytes) -> bool:
        """Whether it is still of a size that can be kept."""
        self._size += len(data)
        self._pieces.append(data)
        return self._size <= MOST_ANSWER_BYTES

    @property
    def body(self) -> bytes:
        return b"".join(self._pieces)

    def told(self, whole: bool) -> Told:
        """What is known of a stream's tokens. Of an answer that is no stream nobody knows before it is whole."""
        return MISSING if self.stream is None else self.stream.told(whole)


def is_stream(kind: bytes) -> bool:
    """Of a content type, however it is written."""
    return kind[: len(EVENT_STREAM)].lower() == EVENT_STREAM
