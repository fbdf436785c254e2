"""A stream of server-sent events on its way: forwarded as bytes, the last usage kept, the end held back.

Bytes are cut only between events. What is looked for is JSON that cannot stand inside a string without a backslash before
its quote, so a search of bytes finds it; it is decoded once, at the end.
"""

from __future__ import annotations

import re

import msgspec

from tokenworks.serve.body.faults import NOT_JSON, is_json
from tokenworks.serve.body.usage import Told, told

END_OF_EVENT = b"\n\n"
USAGE = (b'"usage":{', b'"usage": {')
MARK = b"[DONE]"
DONE = b"data: [DONE]"
FINISH = (b'"finish_reason":"', b'"finish_reason": "')
FINISHES = re.compile(rb'"finish_reason": ?"[^"]')
ERROR = (b'{"error":', b'{"error" :')  # how vLLM and SGLang say in a stream that they cannot go on
NO_CHOICES = (b'"choices":[]', b'"choices": []')
LONGEST_EVENT = 1 << 20  # bytes; a longer one goes on in pieces


class _Chunk(msgspec.Struct):
    usage: msgspec.Raw = msgspec.Raw()


class Stream:
    """One answer. ``feed`` returns what may go to the caller now; ``held`` is what waits for the ledger."""

    __slots__ = (
        "_carry",
        "_finished",
        "_last_usage",
        "_texts",
        "_whole",
        "_withhold",
        "done",
        "events",
        "failed",
        "held",
    )

    def __init__(self, withhold: bool, whole: bool = False):
        """``withhold``: the chunk that holds nothing but the usage was not asked for by the caller. ``whole``: the reason for
        which an answer with one choice ends is held back, too, until all of its end is there, and so is an error."""
        self._withhold, self._whole = withhold, whole
        self._carry = b""
        self._last_usage = b""
        self.events = self._texts = 0
        self.held: list[bytes] = []
        self.done = self._finished = self.failed = False  # [DONE], a reason for its end, an error was seen

    def feed(self, data: bytes) -> bytes:
        """What may go on at once."""
        if self._carry:
            data = self._carry + data
            self._carry = b""
        if b"\r" in data:
            if data.endswith(b"\r"):  # its LF is still to come
                self._carry = data
                return b""
            data = data.replace(b"\r\n", b"\n")
        if not data.endswith(END_OF_EVENT):
            cut = data.rfind(END_OF_EVENT) + 2
            if cut < 2:
                cut = 0
            data, self._carry = data[:cut], data[cut:]
            if len(self._carry) > LONGEST_EVENT:
                data, self._carry = data + self._carry, b""
            if not data:
                return b""
        if self.held or MARK in data or USAGE[0] in data or USAGE[1] in data or FINISH[0] in data or FINISH[1] in data:
            return self._singly(data)
        if ERROR[0] in data or ERROR[1] in data:
            return self._singly(data)
        self._count(data)
        return data

    @property
    def open_ended(self) -> bool:
        """Whether it is whole without [DONE], as some engines close: it has said why it ends, and nothing is cut off."""
        return self._finished and not self._carry.strip()

    @property
    def unended(self) -> bool:
        """Whether the last event lacks nothing but its blank line, as some engines leave it out at the end."""
        last = data_of(self._carry)
        return last == MARK or (bool(last) and is_json(last))

    def _count(self, data: bytes) -> None:
        """What an abandoned stream is believed to have produced: a token for each piece of text."""
        self.events += data.count(END_OF_EVENT)
        self._texts += data.count(b'content":"') - data.count(b'content":""')

    @property
    def counted(self) -> int:
        """Pieces of text that went by; events where their JSON is written in another way."""
        return self._texts or self.events

    def _singly(self, data: bytes) -> bytes:
        """Event by event: usage noted, the end held back."""
        out: list[bytes] = []
        for event in data.split(END_OF_EVENT)[:-1]:
            if self.done:
                break  # nothing follows the end
            if MARK in event and data_of(event) == MARK:
                self.done = True
                self.held.append(event + END_OF_EVENT)
                continue
            if ERROR[0] in event or ERROR[1] in event:
                self.failed |= data_of(event).startswith(ERROR)
                if self.failed and self._whole:
                    break  # another engine goes on with it, perhaps
            told = USAGE[0] in event or USAGE[1] in event
            if told:
                self._last_usage = event
            if told and (NO_CHOICES[0] in event or NO_CHOICES[1] in event):
                if not self._withhold:
                    self.held.append(event + END_OF_EVENT)
                else:
                    self.held.append(b"")  # the end has begun
                continue
            self._count(event + END_OF_EVENT)
            ends = FINISHES.search(event) is not None
            self._finished |= ends
            (self.held if self.held or (ends and self._whole) else out).append(event + END_OF_EVENT)
        return b"".join(out)

    @property
    def usage(self) -> bytes | None:
        """The last usage that the stream stated, as JSON; None where it stated none that can be read."""
        return usage_of_event(self._last_usage) if self._last_usage else None

    def told(self, whole: bool) -> Told:
        return told(self.usage, self.counted, whole)

    def rest(self) -> bytes:
        """What was held back, and what came without the end of an event."""
        return b"".join(self.held) + (b"" if self.done else self._carry)


def priced(rest: bytes, cost_usd: bytes) -> bytes:
    """The end of a stream, its cost beside the usage: a last member of that chunk."""
    at = max(map(rest.rfind, USAGE))
    close = rest.rfind(b"}", at, rest.find(END_OF_EVENT, at)) if at >= 0 else -1
    return rest if close < 0 else b'%b,"tokenworks":{"cost_usd":%b}%b' % (rest[:close], cost_usd, rest[close:])


def data_of(event: bytes) -> bytes:
    """What its ``data:`` lines say; b"" where it has none.

    >>> data_of(b': hello\\nevent: message\\ndata:{"a":1}')
    b'{"a":1}'
    """
    return b"\n".join([line[5:].strip() for line in event.split(b"\n") if line.startswith(b"data:")])


def json_of(event: bytes) -> bytes:
    """The JSON of an event; empty for comments and the end."""
    text = data_of(event)
    return b"" if text == MARK else text


_decode = msgspec.json.Decoder(_Chunk).decode


def usage_of_event(event: bytes) -> bytes | None:
    """Usage of one event."""
    try:
        found = bytes(_decode(data_of(event)).usage)
    except NOT_JSON:
        return None
    return found or None
