"""One entrance for all formats: lines in, events and rejections out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from tokenworks.errors import InputError
from tokenworks.events.ledger_events import AnyEvent
from tokenworks.ledger.ingest import anthropic, cloudevents, litellm, native, openai, otlp, vllm
from tokenworks.ledger.ingest.native import check
from tokenworks.ledger.ingest.records import (
    Context,
    Record,
    RefusedError,
    Rejected,
    decode,
    encode,
    mapping,
    rejected,
    text_of,
)

Reader: TypeAlias = Callable[[Record, str, Context], Iterator[AnyEvent]]
Parser: TypeAlias = Callable[[Iterable[str | bytes], Context], Iterator[AnyEvent | Rejected]]

BY_RECORD: dict[str, Reader] = {
    "native": native.read,
    "cloudevents": cloudevents.read,
    "openai": openai.read,
    "anthropic": anthropic.read,
    "litellm": litellm.read,
}
BY_FILE: dict[str, Parser] = {"otlp": otlp.parse, "vllm": vllm.parse}
FORMATS = (*BY_RECORD, *BY_FILE)


def parse(
    format: str,
    lines: Iterable[str | bytes],
    context: Context | None = None,
) -> Iterator[AnyEvent | Rejected]:
    """Events of a file's lines, in order; what gives none comes out as `Rejected`, so nothing is lost in between.

    A line of JSON may hold one record or an array of them. All events of a record come, or none. Raises InputError for a
    format that is not known.
    """
    context = context or Context()
    if format in BY_RECORD:
        return records(BY_RECORD[format], lines, context)
    if format in BY_FILE:
        return BY_FILE[format](lines, context)
    raise InputError(f"no format {format!r}; there are {', '.join(FORMATS)}")


def records(reader: Reader, lines: Iterable[str | bytes], context: Context) -> Iterator[AnyEvent | Rejected]:
    for number, line in enumerate(lines, 1):
        try:
            text = text_of(line)
            found = decode(text) if text else []
        except RefusedError as why:
            yield rejected(number, line if isinstance(line, str) else line.decode(errors="replace"), why)
            continue
        for item in found if isinstance(found, list) else (found,):
            yield from _record(reader, item, text if item is found else encode(item), number, context)


def _record(reader: Reader, item: object, line: str, number: int, context: Context) -> list[AnyEvent | Rejected]:
    """What an event keeps as ``raw`` is the record with its keys sorted: the same however it was laid out or batched."""
    try:
        record = mapping(item, "the record")
        raw = "" if reader is native.read else encode(record)  # an event of our own keeps none, but for unknown fields
        events = list(reader(record, raw, context))
        for event in events:
            check(event, context)
        return [*events]
    except RefusedError as why:
        return [rejected(number, line, why)]
