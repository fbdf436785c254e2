"""Server-sent events: bytes in, the data of each event out."""

from __future__ import annotations

MOST_LINE = 16_777_216  # bytes of one event


class ServerEvents:
    """Reads `data:` lines of a stream that comes in any pieces; other fields and comments say nothing here."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The data of each line that is whole now. Raises ValueError for a line without end."""
        lines = (self._held + data).split(b"\n")
        self._held = lines.pop()
        if len(self._held) > MOST_LINE:
            raise ValueError(f"an event of more than {MOST_LINE:,} bytes")
        return [line[5:].strip() for line in lines if line.startswith(b"data:")]
