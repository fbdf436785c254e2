"""OTLP's protobuf as plain objects of the shape that OTLP's JSON has; written by hand, so that no library is needed.

Only what a trace export holds is known (opentelemetry/proto/trace/v1): unknown fields are skipped by their wire type.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from tokenworks.ledger.ingest.records import RefusedError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
DEEPEST = 32  # of values inside values
Field: TypeAlias = tuple[int, int | bytes]


def export_request(body: bytes) -> dict[str, Any]:
    """ExportTraceServiceRequest as {"resourceSpans": …}. Raises RefusedError where the bytes are no such message."""
    return {"resourceSpans": [_resource_spans(value) for value in _messages(body, 1)]}


def _resource_spans(body: bytes) -> dict[str, Any]:
    resource = [_attributes(value, 1) for value in _messages(body, 1)]
    return {
        "resource": {"attributes": resource[0] if resource else []},
        "scopeSpans": [{"spans": [_span(s) for s in _messages(scope, 2)]} for scope in _messages(body, 2)],
    }


def _span(body: bytes) -> dict[str, Any]:
    span: dict[str, Any] = {"attributes": _attributes(body, 9)}
    readers: dict[int, tuple[str, Callable[[Any], Any]]] = {
        1: ("traceId", bytes.hex),
        2: ("spanId", bytes.hex),
        4: ("parentSpanId", bytes.hex),
        5: ("name", _text),
        6: ("kind", int),
        7: ("startTimeUnixNano", int),
        8: ("endTimeUnixNano", int),
        15: ("status", _status),
    }
    for number, value in _fields(body):
        if number in readers:
            name, reader = readers[number]
            span[name] = _read(reader, value, name)
    return span


def _read(reader: Callable[[Any], Any], value: int | bytes, name: str) -> Any:
    if isinstance(value, int) is not (reader is int):
        raise RefusedError(f"protobuf: {name} has the wrong wire type")
    return reader(value)


def _status(body: bytes) -> dict[str, Any]:
    return {"code": next((v for n, v in _fields(body) if n == 3), 0)}


def _attributes(body: bytes, number: int, depth: int = 0) -> list[dict[str, Any]]:
    pairs = []
    for item in _messages(body, number):
        keys = [_text(value) for value in _messages(item, 1)]
        values = [_value(value, depth) for value in _messages(item, 2)]
        pairs.append({"key": keys[-1] if keys else "", "value": values[-1] if values else {}})
    return pairs


def _value(body: bytes, depth: int) -> dict[str, Any]:
    if depth > DEEPEST:
        raise RefusedError(f"protobuf: values nested deeper than {DEEPEST}")
    found: dict[str, Any] = {}
    for number, value in _fields(body):
        match number, value:
            case 1, bytes():
                found = {"stringValue": _text(value)}
            case 2, int():
                found = {"boolValue": bool(value)}
            case 3, int():
                found = {"intValue": value - (1 << 64) if value >> 63 else value}
            case 4, int():
                found = {"doubleValue": struct.unpack("<d", value.to_bytes(8, "little"))[0]}
            case 5, bytes():
                found = {"arrayValue": {"values": [_value(item, depth + 1) for item in _messages(value, 1)]}}
            case 6, bytes():
                found = {"kvlistValue": {"values": _attributes(value, 1, depth + 1)}}
            case _:
                continue
    return found


def _messages(body: bytes, number: int) -> Iterator[bytes]:
    for found, value in _fields(body):
        if found == number:
            if isinstance(value, int):
                raise RefusedError(f"protobuf: field {number} has the wrong wire type")
            yield value


def _fields(body: bytes) -> Iterator[Field]:
    at = 0
    while at < len(body):
        tag, at = _varint(body, at)
        number, kind = tag >> 3, tag & 7
        if kind == VARINT:
            value, at = _varint(body, at)
            yield number, value
        elif kind in (FIXED64, FIXED32):
            size = 8 if kind == FIXED64 else 4
            yield number, int.from_bytes(_taken(body, at, size), "little")
            at += size
        elif kind == BYTES:
            size, at = _varint(body, at)
            yield number, _taken(body, at, size)
            at += size
        else:
            raise RefusedError(f"protobuf: wire type {kind} at byte {at} is not understood")


def _varint(body: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(body):
            raise RefusedError("protobuf: the message breaks off inside a number")
        byte = body[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (1 << 64) - 1, at
    raise RefusedError(f"protobuf: a number longer than ten bytes ends at byte {at}")


def _taken(body: bytes, at: int, size: int) -> bytes:
    if at + size > len(body):
        raise RefusedError(f"protobuf: {size} bytes wanted at byte {at}, {len(body) - at} are there")
    return body[at : at + size]


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise RefusedError(f"protobuf: text is not UTF-8: {error.reason}") from None
