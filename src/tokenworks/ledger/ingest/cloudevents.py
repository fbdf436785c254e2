"""CloudEvents 1.0: structured JSON, batches of them, and binary mode (headers beside a body).

``type`` says what ``data`` is: ``tokenworks.usage|cost|outcome|reversal`` hold a native event's fields;
``tokenworks.openai|anthropic|litellm`` a provider's record. ``(source, id)`` of the envelope is the event's key in both
cases, ``subject`` its tenant, ``time`` its time.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from tokenworks.events.ledger_events import AnyEvent
from tokenworks.ledger.ingest import anthropic, litellm, native, openai
from tokenworks.ledger.ingest.records import Context, Record, RefusedError, decode, mapping, micros, word

PREFIX = "tokenworks."
PROVIDERS = {"openai": openai.read, "anthropic": anthropic.read, "litellm": litellm.read}
ATTRIBUTES = ("specversion", "id", "source", "type")


def read(record: Record, raw: str, context: Context) -> Iterator[AnyEvent]:
    """The events of one envelope. Raises RefusedError for what CloudEvents 1.0 or the data's own format does not allow."""
    for name in ATTRIBUTES:
        if not isinstance(record.get(name), str) or not record[name]:
            raise RefusedError(f"the CloudEvents attribute {name} is missing, empty or not text")
    if record["specversion"] != "1.0":
        raise RefusedError(f"specversion is {record['specversion']!r}; 1.0 is understood")
    name = record["type"].removeprefix(PREFIX)
    data = _data(record)
    if record["type"] == PREFIX + name and name in native.KINDS:
        yield from native.read({**_common(record), **data, **_key(record), "type": name}, raw, context)
    elif record["type"] == PREFIX + name and name in PROVIDERS:
        yield from _provider(name, record, data, raw, context)
    else:
        known = ", ".join(PREFIX + kind for kind in (*native.KINDS, *PROVIDERS))
        raise RefusedError(f"type {record['type']!r} is not understood; there are {known}", "unrelated")


def _provider(name: str, record: Record, data: Record, raw: str, context: Context) -> Iterator[AnyEvent]:
    """The envelope's key replaces the record's own on the usage; what stands beside it keeps its suffix."""
    wrapped = data if "response" in data or "stream" in data or name == "litellm" else {"response": data}
    about = {k: v for k, v in {"tenant": record.get("subject"), "time": record.get("time")}.items() if v is not None}
    if name == "litellm":
        wrapped = {"standard_logging_object": wrapped.get("standard_logging_object", wrapped)}
    events = list(PROVIDERS[name]({**wrapped, **about}, raw, context))
    first = events[0].id
    for event in events:
        key = {"source": record["source"], "id": record["id"] + event.id.removeprefix(first)}
        yield msgspec.structs.replace(event, **key)


def _data(record: Record) -> Record:
    if "data_base64" in record:
        try:
            text = base64.b64decode(record["data_base64"], validate=True).decode()
        except (binascii.Error, TypeError, ValueError) as error:
            raise RefusedError(f"data_base64: {error}") from None
        return mapping(decode(text), "data")
    data = record.get("data")
    return mapping(decode(data) if isinstance(data, str) else data, "data")


def _key(record: Record) -> dict[str, Any]:
    return {"source": record["source"], "id": record["id"]}


def _common(record: Record) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if word(record, "subject"):
        found["tenant"] = word(record, "subject")
    if record.get("time") is not None:
        found["time_us"] = micros(record["time"], "time")
    return found


def from_binary(headers: Mapping[str, str], body: str) -> dict[str, Any]:
    """The structured form of binary mode: ``ce-*`` headers and a body of data. Raises RefusedError where the body is no JSON."""
    lower = {name.lower(): value for name, value in headers.items()}
    attributes = {name[3:]: value for name, value in lower.items() if name.startswith("ce-")}
    return {**attributes, "datacontenttype": lower.get("content-type", "application/json"), "data": decode(body)}
