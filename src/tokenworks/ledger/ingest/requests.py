"""What a request's headers say of its body: its format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tokenworks.events.ledger_events import AnyEvent
from tokenworks.ledger.ingest.body import BadBodyError
from tokenworks.ledger.ingest.cloudevents import from_binary
from tokenworks.ledger.ingest.otlp import parse_protobuf
from tokenworks.ledger.ingest.parse import FORMATS, parse
from tokenworks.ledger.ingest.records import Context, RefusedError, Rejected, encode, rejected, text_of

Found = Iterator[AnyEvent | Rejected]
LINES = ("application/x-ndjson", "application/jsonl", "application/json-lines", "text/plain")
WHOLE = ("application/json", "application/cloudevents+json", "application/cloudevents-batch+json")
PROTOBUF = ("application/x-protobuf", "application/protobuf")


def content_type(headers: Mapping[str, str]) -> str:
    """In small letters, without its parameters; "" where none is stated."""
    found = next((value for name, value in headers.items() if name.lower() == "content-type"), "")
    return found.split(";")[0].strip().lower()


def format_of(headers: Mapping[str, str], wanted: str) -> str:
    """The format of a body of /v1/events. Raises BadBodyError for one that is not known."""
    if content_type(headers).startswith("application/cloudevents") or _is_binary(headers):
        return "cloudevents"
    if wanted and wanted not in FORMATS:
        raise BadBodyError(400, f"no format {wanted!r}; there are {', '.join(FORMATS)}")
    return wanted or "native"


def events_of(headers: Mapping[str, str], body: bytes, format: str, context: Context) -> Found:
    """Events of a body of /v1/events. Raises BadBodyError for a type that is not understood."""
    kind = content_type(headers)
    if _is_binary(headers):
        return _binary(headers, body, context)
    if kind in WHOLE:
        return parse(format, [body], context)
    if kind in LINES:
        return parse(format, body.splitlines(), context)
    raise BadBodyError(415, f"Content-Type {kind!r}; there are {', '.join((*WHOLE, *LINES))}")


def _is_binary(headers: Mapping[str, str]) -> bool:
    return any(name.lower() == "ce-specversion" for name in headers)


def _binary(headers: Mapping[str, str], body: bytes, context: Context) -> Found:
    try:
        record = from_binary(headers, text_of(body))
    except RefusedError as why:
        return iter([rejected(1, body.decode(errors="replace"), why)])
    return parse("cloudevents", [encode(record)], context)


def spans_of(headers: Mapping[str, str], body: bytes, context: Context) -> Found:
    """Events of a body of /v1/traces. Raises BadBodyError for a type that is not understood."""
    kind = content_type(headers)
    if kind in PROTOBUF:
        return parse_protobuf(body, context)
    if kind == "application/json":
        return parse("otlp", [body], context)
    raise BadBodyError(415, f"Content-Type {kind!r}; there are application/json, {PROTOBUF[0]}")
