"""Event ids as short bytes that keep their order: UUIDv7 are made in the order of time, so inserts stay local."""

from __future__ import annotations

UUID_BYTES = 16
_HYPHENS = slice(8, 24, 5)  # characters 8, 13, 18 and 23 of a UUID


def key_of(event_id: str) -> bytes:
    """16 bytes for a UUID in its usual form; UTF-8 of 17 bytes or more (padded with 0xff, which UTF-8 never has) else.

    Two different ids never share a key: only a lower-case UUID with its hyphens becomes 16 bytes.
    """
    if len(event_id) == 36:
        bare = event_id.replace("-", "")
        try:
            raw = bytes.fromhex(bare)
        except ValueError:
            raw = b""
        if len(raw) == UUID_BYTES and event_id[_HYPHENS] == "----" and raw.hex() == bare:
            return raw
    return event_id.encode().ljust(UUID_BYTES + 1, b"\xff")
