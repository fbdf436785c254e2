"""W3C trace context: whose trace a call belongs to, and what its engine is told.

A span's id is the random half of its event's id, and a trace that begins here has the id of the first attempt's event: span
and event find each other without a table.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

PARENT = re.compile(rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
SAMPLED = 1


@dataclass(frozen=True, slots=True)
class Trace:
    """The trace of one call. ``parent``: the caller's span, as 16 hexadecimal digits; "": it begins here."""

    id: str
    parent: str
    sampled: bool

    def line(self, attempt_id: str) -> bytes:
        """The `traceparent` of an attempt: the engine's spans hang below it."""
        return f"00-{self.id}-{span_of(attempt_id)}-{int(self.sampled):02x}".encode()


def span_of(attempt_id: str) -> str:
    """Of a UUID, its last 64 bits; the variant bits keep them from being all 0."""
    return attempt_id[-17:].replace("-", "")


def parent_of(traceparent: bytes) -> tuple[str, str, bool] | None:
    """(trace, span, sampled) of a caller's header; None where it is none that W3C's recommendation knows."""
    found = PARENT.fullmatch(traceparent)
    if found is None or (found[1] == b"00" and found[5]):
        return None
    return found[2].decode(), found[3].decode(), bool(int(found[4], 16) & SAMPLED)


Sampler = Callable[[str, str, bool], bool]  # trace, parent ("": none), whether the parent is sampled


class Tracing:
    """Begins or joins the trace of each call."""

    def __init__(self, sampler: Sampler):
        self._sampler = sampler

    def joined(self, headers: dict[bytes, bytes], attempt_id: str) -> Trace:
        """A `traceparent` that cannot be read counts as none, as the recommendation wants it."""
        found = parent_of(headers.get(b"traceparent", b""))
        trace, parent, sampled = found or (attempt_id.replace("-", ""), "", False)
        return Trace(trace, parent, self._sampler(trace, parent, sampled))
