"""What is answered: counts of what the ledger has, reasons for what it has not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from tokenworks.events.ledger_events import AnyEvent
from tokenworks.ledger.ingest.records import Rejected
from tokenworks.ledger.ingest.requests import PROTOBUF, content_type

SHOWN = 100  # reasons in one answer; all are counted
STATUSES = ("stored", "duplicate", "conflict", "refused")


class Acknowledged(Protocol):
    """A receipt of the ledger."""

    @property
    def status(self) -> str: ...

    @property
    def note(self) -> str: ...


Append: TypeAlias = Callable[[list[AnyEvent]], Sequence[Acknowledged]]
Keep: TypeAlias = Callable[[list[Rejected], str], object]  # with the format that they came in


@dataclass
class Outcome:
    """What became of the records of one request."""

    counts: dict[str, int] = field(default_factory=dict)
    reasons: list[dict[str, Any]] = field(default_factory=list)

    def add(self, name: str, reason: dict[str, Any] | None = None) -> None:
        self.counts[name] = self.counts.get(name, 0) + 1
        if reason and len(self.reasons) < SHOWN:
            self.reasons.append(reason)


@dataclass(frozen=True)
class Reply:
    """An answer of HTTP."""

    status: int
    body: dict[str, Any] | bytes
    content_type: str = "application/json"


def append_all(found: Iterable[AnyEvent | Rejected], append: Append, keep: Keep | None, format: str) -> Outcome:
    """Append all events at once; what is malformed is kept aside first, so that it is nowhere only in an answer."""
    items = list(found)
    events = [item for item in items if not isinstance(item, Rejected)]
    faults = [item for item in items if isinstance(item, Rejected)]
    outcome = Outcome(dict.fromkeys((*STATUSES, "malformed", "restated", "unrelated"), 0))
    for fault in faults:
        outcome.add(fault.kind, {"line": fault.line, "kind": fault.kind, "reason": fault.reason})
    if keep and faults:
        keep(faults, format)
    receipts = append(events) if events else []
    for event, receipt in zip(events, receipts, strict=True):
        _count(outcome, event, receipt)
    return outcome


def _count(outcome: Outcome, event: AnyEvent, receipt: Acknowledged) -> None:
    if receipt.status in ("stored", "duplicate"):
        outcome.add(receipt.status)
        return
    why = receipt.note or "the same source and id hold another payload"
    outcome.add(receipt.status, {"source": event.source, "id": event.id, "kind": receipt.status, "reason": why})


def reply_of(outcome: Outcome) -> Reply:
    """409 where an event conflicts with what the ledger holds, else 400 where something is malformed or refused, else 200.

    Whatever the status, what is counted as stored is stored: the whole request may be sent again.
    """
    counts = outcome.counts
    status = 409 if counts["conflict"] else 400 if counts["malformed"] or counts["refused"] else 200
    return Reply(status, {**counts, "reasons": outcome.reasons})


def otlp_reply(outcome: Outcome, headers: Mapping[str, str]) -> Reply:
    """OTLP's own answer with the counts beside it: spans that gave no event for a fault of theirs are named as rejected."""
    reply = reply_of(outcome)
    lost = sum(outcome.counts[name] for name in ("malformed", "conflict", "refused"))
    reason = next((r["reason"] for r in outcome.reasons if r["kind"] in ("malformed", "conflict", "refused")), "")
    if content_type(headers) in PROTOBUF:
        return Reply(reply.status, _partial(lost, reason), PROTOBUF[0])
    partial = {"partialSuccess": {"rejectedSpans": lost, "errorMessage": reason}} if lost else {}
    assert isinstance(reply.body, dict)
    return Reply(reply.status, {**partial, **reply.body})


def _partial(lost: int, reason: str) -> bytes:
    """ExportTraceServiceResponse: {partial_success = 1: {rejected_spans = 1, error_message = 2}}; empty where none is lost."""
    if not lost:
        return b""
    text = reason[:1000].encode()
    inner = b"\x08" + _varint(lost) + b"\x12" + _varint(len(text)) + text
    return b"\x0a" + _varint(len(inner)) + inner


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])
