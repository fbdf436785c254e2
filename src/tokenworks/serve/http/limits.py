"""What one caller may take: bytes and seconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one connection. A deadline is for the whole of its phase, so that a trickle of bytes does not renew it."""

    head_bytes: int = 32_768
    headers: int = 100
    body_bytes: int = 16_777_216
    head_s: float = 10.0  # from the first byte of a request to the end of its head
    body_s: float = 60.0  # from there to the end of its body
    idle_s: float = 75.0  # between requests
    stalled_s: float = 60.0  # that an answer may wait for a caller who does not read
    connections: int = 20_000
    buffered_bytes: int = 65_536  # of an answer, before the upstream is held back
