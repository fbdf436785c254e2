"""Named server-sent events on their way: forwarded as bytes, held back from the first one that ends the answer."""

from __future__ import annotations

from tokenworks.serve.body.stream import END_OF_EVENT
from tokenworks.serve.dialects.way import Unfit

LONGEST_EVENT = 4 << 20  # bytes


class Events:
    """``ends``: names of events that are held back, with all that follows; ``last``: the one after which nothing comes, any of
    ``ends`` where it is empty."""

    open_ended = unended = failed = False
    ends: tuple[bytes, ...] = ()
    last = b""

    def __init__(self) -> None:
        self._carry = b""
        self.held: list[bytes] = []
        self.events = 0
        self.done = False

    def seen(self, name: bytes, event: bytes) -> None:
        """Hears of every event."""
        raise NotImplementedError

    def feed(self, data: bytes) -> bytes:
        data = self._carry + data
        if b"\r" in data:
            if data.endswith(b"\r"):  # its LF is still to come
                self._carry = data
                return b""
            data = data.replace(b"\r\n", b"\n")
        *events, self._carry = data.split(END_OF_EVENT)
        if len(self._carry) > LONGEST_EVENT:
            raise Unfit("an event of its answer is too large")
        self.events += len(events)
        out: list[bytes] = []
        for event in events:
            name = name_of(event)
            self.seen(name, event)
            if name in self.ends:
                self.held.append(b"")
                self.done |= name == self.last or not self.last
            (self.held if self.held else out).append(event + END_OF_EVENT)
        return b"".join(out)

    def rest(self) -> bytes:
        return b"".join(self.held) + self._carry


def name_of(event: bytes) -> bytes:
    """Its ``event:`` line; empty where it has none."""
    for line in event.split(b"\n"):
        if line.startswith(b"event:"):
            return line[6:].strip()
    return b""
