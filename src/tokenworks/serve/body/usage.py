"""Usage blocks of answers, as the ledger's disjoint buckets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from tokenworks.ledger.ingest.buckets import UNKNOWN, Buckets, Shown, never_zero
from tokenworks.ledger.ingest.openai import buckets_of
from tokenworks.ledger.ingest.records import RefusedError

PLAIN = Shown(text=True, tools=False)


class _Answer(msgspec.Struct):
    usage: dict[str, Any] | None = None


_decode = msgspec.json.Decoder(_Answer).decode


@dataclass(frozen=True, slots=True)
class Told:
    """What is known of an attempt's tokens: as the engine told it, as counted here, or not at all."""

    buckets: Buckets
    source: str  # engine, estimate
    status: str  # final, partial, missing


MISSING = Told(UNKNOWN, "engine", "missing")


def usage_of_answer(body: bytes) -> dict[str, Any] | None:
    """Usage of a whole JSON answer; None where it has none."""
    try:
        return _decode(body).usage
    except msgspec.MsgspecError:
        return None


def told(usage: dict[str, Any] | None, counted: int, whole: bool) -> Told:
    """``counted``: events with content that went by, what stands in for output tokens where no usage was stated.
    ``whole``: the answer came to its end."""
    status = "final" if whole else "partial"
    if usage is not None:
        try:
            buckets = buckets_of(usage, PLAIN)
            return Told(buckets if whole else never_zero(buckets), "engine", status)
        except RefusedError:
            pass  # figures that contradict each other are no figures
    if counted:
        return Told(Buckets(None, None, None, counted, None, None), "estimate", status)
    return MISSING
