"""Tokenworks' own events, one JSON object a line, as `msgspec.json.encode` writes the structs of `ledger_events`."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from tokenworks.events.ledger_events import (
    INPUT,
    OUTPUT,
    AnyEvent,
    CostEvent,
    OutcomeEvent,
    Reversal,
    UsageEvent,
)
from tokenworks.ledger.ingest.buckets import check_total
from tokenworks.ledger.ingest.records import LARGEST, Context, Record, RefusedError, encode

KINDS: dict[str, type[AnyEvent]] = {
    "usage": UsageEvent,
    "cost": CostEvent,
    "outcome": OutcomeEvent,
    "reversal": Reversal,
}
FIELDS = {name: {"type", *kind.__struct_fields__} for name, kind in KINDS.items()}
INTEGERS = {
    kind: [f.name for f in msgspec.structs.fields(kind) if f.type in (int, int | None)] for kind in KINDS.values()
}
NEVER_NEGATIVE = (*INPUT, *OUTPUT, "step", "attempt", "ttft_us", "duration_us", "energy_uj", "time_us")


def read(record: Record, raw: str, context: Context) -> Iterator[AnyEvent]:
    """The event of a line. Raises RefusedError. Fields that no event has are kept in ``raw``."""
    kind = record.get("type")
    if not isinstance(kind, str) or kind not in KINDS:
        raise RefusedError(f"type is {kind!r}; there are {', '.join(KINDS)}")
    unknown = sorted(record.keys() - FIELDS[kind])
    if unknown and kind in ("outcome", "reversal"):
        raise RefusedError(f"a {kind} event has no field {', '.join(unknown)}, and nowhere to keep it")
    if unknown and not record.get("raw"):
        record = {**record, "raw": raw or encode(record)}
    for name in ("source", "tenant"):
        if name not in record and getattr(context, name):
            record = {**record, name: getattr(context, name)}
    try:
        event = msgspec.convert(record, KINDS[kind])
    except msgspec.ValidationError as error:
        raise RefusedError(str(error)) from None
    check(event, context)
    yield event


def check(event: AnyEvent, context: Context) -> None:
    """Raises RefusedError for what no ledger can hold: nameless events, negative or oversized numbers, a clock ahead."""
    for name in ("source", "id", "tenant"):
        if not getattr(event, name):
            raise RefusedError(f"{name} is empty")
    for name in INTEGERS[type(event)]:
        value = getattr(event, name)
        if value is None or 0 <= value <= LARGEST:
            continue
        if not -LARGEST <= value <= LARGEST:
            raise RefusedError(f"{name} is {value}, above the largest integer of the ledger ({LARGEST})")
        if name in NEVER_NEGATIVE:
            raise RefusedError(f"{name} is {value}, below zero")
    if isinstance(event, UsageEvent):
        _check_usage(event)
    if context.latest_us is not None and event.time_us > context.latest_us:
        raise RefusedError(
            f"time_us {event.time_us} is later than the latest allowed, {context.latest_us}: a clock runs ahead"
        )


def _check_usage(event: UsageEvent) -> None:
    if not event.model:
        raise RefusedError("model is empty")
    if event.attempt < 1:
        raise RefusedError(f"attempt is {event.attempt}; the first is 1")
    check_total(None, *(getattr(event, name) for name in (*INPUT, *OUTPUT)))
    stated = any(getattr(event, name) for name in (*INPUT, *OUTPUT))
    if event.usage_status == "missing" and stated:
        raise RefusedError("usage_status is missing, yet tokens are stated: partial or final")
