"""OTLP in protobuf gives what OTLP in JSON gives. The encoder is of the tests alone, after the published field numbers."""

import struct

from hypothesis import given
from hypothesis import strategies as st
from usage_records import ACME, export, read, span, use

from tokenworks.ledger.ingest.otlp import parse_protobuf
from tokenworks.ledger.ingest.otlp_wire import export_request
from tokenworks.ledger.ingest.records import Context, RefusedError, Rejected


def varint(n):
    n &= 2**64 - 1
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    return bytes([*out, n])


def field(number, value):
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    return varint(number << 3) + varint(value)


def fixed(number, value):
    return varint(number << 3 | 1) + struct.pack("<Q", value)


def any_value(value):
    ((kind, inner),) = value.items()
    match kind:
        case "stringValue":
            return field(1, inner.encode())
        case "boolValue":
            return field(2, int(inner))
        case "intValue":
            return field(3, int(inner))
        case "doubleValue":
            return varint(4 << 3 | 1) + struct.pack("<d", inner)
        case _:
            return field(5, b"".join(field(1, any_value(v)) for v in inner["values"]))


def attributes(number, pairs):
    return b"".join(field(number, field(1, p["key"].encode()) + field(2, any_value(p["value"]))) for p in pairs)


def encoded(one):
    body = field(1, bytes.fromhex(one["traceId"])) + field(2, bytes.fromhex(one["spanId"]))
    body += field(4, bytes.fromhex(one["parentSpanId"])) if one["parentSpanId"] else b""
    body += field(5, one["name"].encode()) + field(6, one["kind"])
    body += fixed(7, int(one["startTimeUnixNano"])) + fixed(8, int(one["endTimeUnixNano"]))
    body += attributes(9, one["attributes"]) + field(11, b"an event, skipped") + varint(16 << 3 | 5) + b"\1\0\0\0"
    return body + (field(15, field(3, one["status"]["code"])) if "status" in one else b"")


def request(export_):
    groups = b""
    for group in export_["resourceSpans"]:
        scopes = b"".join(
            field(2, field(1, b"") + b"".join(field(2, encoded(s)) for s in scope["spans"]))
            for scope in group["scopeSpans"]
        )
        groups += field(1, field(1, attributes(1, group["resource"]["attributes"])) + scopes)
    return groups


EXPORT = export(
    span("invoke_agent", 1, gen_ai__agent__name="lead", **use(30, 3)),
    span(
        "chat",
        2,
        1,
        gen_ai__response__finish_reasons=["stop"],
        gen_ai__latency__time_to_first_token=0.25,
        **use(10, 1, gen_ai__usage__cache_read__input_tokens=4),
    ),
    {**span("chat", 3, 1, gen_ai__request__stream=True, **use(20, 0)), "status": {"code": 2}},
    span("execute_tool", 4, 1, gen_ai__tool__name="grep"),
    tenant__id="acme",
)


def without_raw(found):
    return [
        (
            type(e),
            getattr(e, "reason", ""),
            {k: getattr(e, k) for k in getattr(e, "__struct_fields__", ()) if k != "raw"},
        )
        for e in found
    ]


def test_the_same_events_as_from_json():
    found = list(parse_protobuf(request(EXPORT), Context()))
    assert without_raw(found) == without_raw(read("otlp", EXPORT, context=Context()))
    assert [type(e).__name__ for e in found] == ["Rejected", "UsageEvent", "UsageEvent", "CostEvent"]
    assert (found[1].input_fresh, found[1].cache_read, found[1].ttft_us, found[2].usage_status) == (
        6,
        4,
        250_000,
        "partial",
    )


def test_bytes_by_hand():
    """One span of trace 01…, with an int attribute "n" = −1, a double 1.5 and nothing else."""
    number = "4a 10  0a 01 6e  12 0b 18 ff ff ff ff ff ff ff ff ff 01"
    double = "4a 0e  0a 01 64  12 09 21 00 00 00 00 00 00 f8 3f"
    body = bytes.fromhex(f"0a 2c  12 2a  12 28  0a 01 01  12 01 02  {number} {double}")
    (one,) = export_request(body)["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert one == {
        "traceId": "01",
        "spanId": "02",
        "attributes": [{"key": "n", "value": {"intValue": -1}}, {"key": "d", "value": {"doubleValue": 1.5}}],
    }


def test_every_cut_is_refused_or_smaller():
    whole = request(EXPORT)
    for cut in range(1, len(whole)):
        found = list(parse_protobuf(whole[:cut], ACME))
        assert len(found) == 1
        assert found[0].reason.startswith("protobuf")
        assert bytes.fromhex(found[0].raw) == whole[:cut]


@given(st.binary(max_size=80))
def test_any_bytes(body):
    try:
        export_request(body)
    except RefusedError as why:
        assert str(why).startswith("protobuf")
    assert all(isinstance(e, Rejected) for e in parse_protobuf(body, ACME))
