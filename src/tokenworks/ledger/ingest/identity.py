"""Whose call it was: tenant, run tree, attempt, time. From the log's wrapper first, then the record's own metadata,
then the context of the file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tokenworks.events.ledger_events import MICRO, CostEvent, UsageEvent, UsageSource, UsageStatus
from tokenworks.ledger.ingest.buckets import UNKNOWN, Buckets, never_zero
from tokenworks.ledger.ingest.records import (
    LARGEST,
    Context,
    Record,
    RefusedError,
    count,
    fingerprint,
    mapping,
    micros,
    word,
)

PLACES = ("tenant", "root_run", "run", "parent_run", "agent")
WORDS = ("service", "purpose", "conversation")
NUMBERS = ("step", "attempt")
FLAGS = ("final", "failed")
SAID = (*PLACES, *WORDS, *NUMBERS, "final")  # what a record's own metadata may say; the rest is the log's to say
OWN = (*PLACES, *WORDS, *NUMBERS, *FLAGS, "source", "time", "time_us", "provider", "request_model")


@dataclass(frozen=True)
class Answer:
    """One attempt as a reader understood it."""

    id: str  # the record's own; "" = it has none
    model: str
    operation: str
    time: Any  # the record's own: seconds or RFC 3339; None: it has none
    buckets: Buckets | None  # None: no usage was recorded
    aborted: bool = False
    source_of_usage: UsageSource = "provider"
    ttft_us: int | None = None
    duration_us: int | None = None


def usage_event(answer: Answer, about: Record, record: Record, raw: str, context: Context, default: str) -> UsageEvent:
    """The event of an attempt. ``about`` is what is said of its run; ``default`` the source where none is named."""
    attempt = _number(about, "attempt", 1)
    buckets, status = _counted(answer)
    return UsageEvent(
        **placed(about, answer, record, context, default),
        service=word(about, "service"),
        purpose=word(about, "purpose"),
        conversation=word(about, "conversation"),
        provider=word(about, "provider") or context.provider or default,
        request_model=word(about, "request_model"),
        model=_needed("model", answer.model or context.model),
        operation=answer.operation,
        attempt=attempt,
        usage_source=answer.source_of_usage,
        usage_status=status,
        final=_flag(about, "final"),
        failed=_flag(about, "failed"),
        ttft_us=answer.ttft_us,
        duration_us=answer.duration_us,
        raw=raw,
        **buckets.fields(),
    )


def _counted(answer: Answer) -> tuple[Buckets, UsageStatus]:
    if answer.buckets is None:
        return UNKNOWN, "missing"
    if not answer.aborted:
        return answer.buckets, "final"
    kept = never_zero(answer.buckets)
    return kept, "partial" if kept.known else "missing"


def placed(about: Record, answer: Answer, record: Record, context: Context, default: str) -> dict[str, Any]:
    """The fields that every kind of event has, but for its id's suffix."""
    root = word(about, "root_run", "run")
    return {
        "source": word(about, "source") or context.source or default,
        "id": event_id(answer.id, _number(about, "attempt", 1), record),
        "time_us": _time(about, answer.time, context),
        "tenant": _needed("tenant", word(about, "tenant") or context.tenant),
        "root_run": root,
        "run": word(about, "run") or root,
        "parent_run": word(about, "parent_run"),
        "agent": word(about, "agent"),
        "step": _number(about, "step", 0),
        "tags": dict(about["tags"]),
    }


def beside(usage: UsageEvent, meter: str, number: int) -> CostEvent:
    """A tool that the provider ran inside the call: counted, its price not known."""
    return CostEvent(
        source=usage.source,
        id=f"{usage.id}/{meter}",
        time_us=usage.time_us,
        tenant=usage.tenant,
        root_run=usage.root_run,
        run=usage.run,
        parent_run=usage.parent_run,
        agent=usage.agent,
        step=usage.step,
        tags=usage.tags,
        meter=meter,
        quantity_micro=number * MICRO,
        unit="call",
        amount_micro=None,
    )


def event_id(own: str, attempt: int, record: Record) -> str:
    """The record's id and its attempt, so that a retry is an event of its own; a hash ("sha256-…") where it has none.

    >>> event_id("msg_1", 2, {})
    'msg_1/2'
    """
    return f"{own or fingerprint(record)}/{attempt}"


def said(wrapper: Record, metadata: Record) -> dict[str, Any]:
    """What is known of the run; the log's wrapper wins over the record's metadata. Text of the metadata that is no field
    of an event becomes a tag; the wrapper's tags are its `tags`."""
    metadata = mapping(metadata, "metadata")
    about = {k: v for k, v in metadata.items() if k in SAID and v is not None}
    about |= {k: v for k, v in wrapper.items() if k in OWN and v is not None}
    tags = {k: v for k, v in metadata.items() if k not in SAID and isinstance(v, str)}
    return {**about, "tags": tags | {k: str(v) for k, v in mapping(wrapper.get("tags"), "tags").items()}}


def _time(about: Record, own: Any, context: Context) -> int:
    stated = count(about, "time_us")
    value = about.get("time", context.time or None if own is None else own)
    if stated is None and value is None:
        raise RefusedError("no time: the record has none, and no `time` stands beside it")
    time_us = stated if stated is not None else micros(value, "time")
    if context.latest_us is not None and time_us > context.latest_us:
        raise RefusedError(
            f"it happened {(time_us - context.latest_us) / MICRO:.0f} s after the latest time allowed: a clock runs ahead"
        )
    return time_us


def _needed(name: str, value: str) -> str:
    if not value:
        raise RefusedError(f"no {name}: neither the record nor its wrapper nor the context names one")
    return value


def _number(about: Record, name: str, default: int) -> int:
    value = about.get(name, default)
    if isinstance(value, str):
        if not value.isascii() or not value.isdigit():
            raise RefusedError(f"{name} {value!r} is not a whole number")
        value = int(value)
    number = count({name: value}, name)
    assert number is not None
    if number > min(LARGEST, 2**31 - 1):
        raise RefusedError(f"{name} {number} is above {2**31 - 1}")
    return number


def _flag(about: Record, name: str) -> bool:
    value = about.get(name, False)
    if value not in (True, False, "true", "false"):
        raise RefusedError(f"{name} is {value!r}, neither true nor false")
    return value in (True, "true")
