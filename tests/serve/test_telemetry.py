"""Spans, metrics and the log of calls: what a collector gets, and that none of it holds what was said."""

import asyncio
import json

import pytest
from live_gateway import CHUNK, Engine, front, run
from otlp_collector import Collector, attributes

from tokenworks.errors import InputError
from tokenworks.events.ledger_events import BUCKETS
from tokenworks.ledger.ingest.otlp import parse_protobuf
from tokenworks.ledger.ingest.records import Context
from tokenworks.serve.telemetry import otlp
from tokenworks.serve.telemetry.trace import Trace, Tracing, parent_of, span_of
from tokenworks.serve.uuids import uuid7

SECRET = "the launch code is 0000"
BODY = {"model": "chat", "messages": [{"role": "user", "content": SECRET}]}
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"


def told(collector):
    return {"telemetry": {"otlp": collector.url}}


def test_a_collector_gets_a_span_for_each_attempt_under_the_callers_and_above_the_engines(tmp_path):
    engine, dead = Engine(), Engine(lambda request, connection: connection.abort())

    async def calls():
        async with front(tmp_path, dead, engine, **told(collector)) as f:
            status, _, _ = await f.post(
                {**BODY, "stream": True}, headers=[f"traceparent: {PARENT}", "X-Tokenworks-Run: r1"]
            )
            assert status == 200
            return await f.events(2)

    with Collector() as collector:
        events = {e["id"]: e for e in run(calls())}
    spans = collector.spans()
    assert len(spans) == 2
    for span in spans:
        assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, SPAN)
        event = events[attributes(span)["tokenworks.event"]]
        assert span.end_time_unix_nano == event["time_us"] * 1000
        assert span.end_time_unix_nano - span.start_time_unix_nano == event["duration_us"] * 1000
        assert span.name == "chat chat"
    failed, good = sorted(spans, key=lambda s: attributes(s)["tokenworks.attempt"])
    assert attributes(failed)["error.type"] == "upstream_failed"
    assert failed.status.code == 2
    about = attributes(good)
    assert about["gen_ai.operation.name"] == "chat"
    assert (about["gen_ai.usage.input_tokens"], about["gen_ai.usage.output_tokens"]) == (11, 3)
    assert about["gen_ai.response.time_to_first_chunk"] > 0
    assert about["tokenworks.run"] == "r1"
    assert good.status.code == 0
    for asked, span in zip([*dead.asked, *engine.asked], [failed, good], strict=True):
        assert asked.headers[b"traceparent"].decode() == f"00-{TRACE}-{span.span_id.hex()}-01"


def test_our_own_reader_gets_the_same_tokens_out_of_the_spans(tmp_path):
    async def calls():
        async with front(tmp_path, Engine(), **told(collector)) as f:
            for stream in (True, False):
                await f.post({**BODY, "stream": stream})
            return await f.events(2)

    with Collector() as collector:
        stored = run(calls())
    read = [e for body in collector.bodies["/v1/traces"] for e in parse_protobuf(body, Context())]
    tokens = lambda of: sorted((of(b) or 0) for b in BUCKETS)  # noqa: E731
    assert [tokens(lambda b, e=e: getattr(e, b)) for e in read] == [tokens(lambda b, e=e: e[b]) for e in stored]
    assert [(e.tenant, e.service, e.provider, e.time_us, e.failed) for e in read] == [
        (e["tenant"], e["service"], e["provider"], e["time_us"], e["failed"]) for e in stored
    ]


def test_an_answer_that_broke_off_reads_back_as_partial_and_not_as_failed(tmp_path):
    async def breaks(request, connection):
        connection.begin(200, b"text/event-stream")
        connection.chunk(CHUNK + CHUNK)
        await asyncio.sleep(0.05)
        connection.abort()

    async def calls():
        async with front(tmp_path, Engine(breaks), **told(collector)) as f:
            await f.post({**BODY, "stream": True})
            return await f.events(1)

    with Collector() as collector:
        (stored,) = run(calls())
    (read,) = [e for body in collector.bodies["/v1/traces"] for e in parse_protobuf(body, Context())]
    assert (stored["usage_status"], stored["failed"], stored["output_visible"]) == ("partial", False, 2)
    assert (read.usage_status, read.failed, read.output_visible) == ("partial", False, 2)


def test_metrics_have_the_conventions_names_and_add_up(tmp_path):
    async def calls():
        async with front(tmp_path, Engine(), **told(collector)) as f:
            for stream in (True, True, False):
                await f.post({**BODY, "stream": stream})

    with Collector() as collector:
        run(calls())
    sums = {a["gen_ai.token.type"]: (p.sum, p.count) for a, p in collector.points("gen_ai.client.token.usage")}
    assert sums == {"input": (33, 3), "output": (9, 3)}
    for name, count in (("request.duration", 3), ("time_to_first_token", 2), ("time_per_output_token", 2)):
        ((about, point),) = collector.points(f"gen_ai.server.{name}")
        assert point.count == count
        assert about["gen_ai.request.model"] == "chat"


def test_nothing_that_was_said_and_no_key_is_in_spans_metrics_or_log(tmp_path):
    log = tmp_path / "calls.jsonl"

    async def calls():
        async with front(tmp_path, Engine(), telemetry={"otlp": collector.url, "calls": str(log)}) as f:
            await f.post({**BODY, "stream": True}, headers=["Authorization: Bearer tw-1-sesame"])

    with Collector() as collector:
        run(calls())
    sent = b"".join(b for bodies in collector.bodies.values() for b in bodies) + log.read_bytes()
    assert b"input_tokens" in sent
    for secret in (SECRET, "launch", "sesame", '"w"'):
        assert secret.encode() not in sent


def test_the_log_has_a_line_for_each_attempt_that_names_its_span(tmp_path):
    log = tmp_path / "calls.jsonl"

    async def calls(**more):
        async with front(tmp_path, Engine(), telemetry={"calls": str(log), **more}) as f:
            await f.post(BODY)
            return await f.events(1)

    (event,) = run(calls())
    (line,) = map(json.loads, log.read_text().splitlines())
    assert line["type"] == "call"
    assert [line.get(n, 0) for n in ("id", "time_us", "input_fresh", "output_visible")] == [
        event[n] for n in ("id", "time_us", "input_fresh", "output_visible")
    ]
    assert "trace_id" not in line
    with Collector() as collector:
        run(calls(otlp=collector.url))
    (span,) = collector.spans()
    line = json.loads(log.read_text().splitlines()[-1])  # appended
    assert (line["trace_id"], line["span_id"]) == (span.trace_id.hex(), span.span_id.hex())


def test_a_caller_who_does_not_sample_is_not_sampled_and_the_engine_hears_it(tmp_path):
    engine = Engine()

    async def calls():
        async with front(tmp_path, engine, **told(collector)) as f:
            await f.post(BODY, headers=[f"traceparent: {PARENT[:-2]}00"])

    with Collector() as collector:
        run(calls())
    assert collector.spans() == []
    assert collector.points("gen_ai.client.token.usage")
    assert engine.asked[0].headers[b"traceparent"].decode().endswith("-00")


def test_a_collector_that_is_gone_holds_nobody_up(tmp_path, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    with Collector() as collector:
        url = collector.url

    async def calls():
        async with front(tmp_path, Engine(), telemetry={"otlp": url}) as f:
            status, _, _ = await f.post(BODY)
            return status, len(await f.events(1))

    assert run(calls()) == (200, 1)


def test_off_by_default_the_callers_header_goes_on_as_it_came(tmp_path):
    engine = Engine()

    async def calls():
        async with front(tmp_path, engine) as f:
            await f.post(BODY, headers=[f"traceparent: {PARENT}"])
            return f.listening.app.meter.observers, f.listening.app.tracing

    assert run(calls()) == ((), None)
    assert engine.asked[0].headers[b"traceparent"].decode() == PARENT


@pytest.mark.parametrize(
    ("variables", "wants"),
    [
        ({}, {}),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, {"traces": None, "metrics": None}),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c/v1/traces"}, {"traces": None}),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_METRICS_EXPORTER": "none"}, {"traces": None}),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "true"}, {}),
    ],
)
def test_standard_variables_switch_it(monkeypatch, variables, wants):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert otlp.wanted(otlp.Telemetry()) == wants


def test_without_the_sdk_it_says_which_extra(monkeypatch):
    monkeypatch.setattr(otlp, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"tokenworks\[otel\]"):
        otlp.exporters({"traces": None}, "f")


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (PARENT, (TRACE, SPAN, True)),
        (f"00-{TRACE}-{SPAN}-02", (TRACE, SPAN, False)),
        (f"cc-{TRACE}-{SPAN}-01-what-comes-later", (TRACE, SPAN, True)),
        (f"00-{TRACE}-{SPAN}-01-more", None),
        (f"ff-{TRACE}-{SPAN}-01", None),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE.upper()}-{SPAN}-01", None),
        ("", None),
    ],
)
def test_traceparent_as_w3c_has_it(header, found):
    assert parent_of(header.encode()) == found


def test_a_trace_that_begins_here_is_named_by_the_first_event():
    first, second = uuid7(), uuid7()
    trace = Tracing(lambda *_: True).joined({}, first)
    assert trace == Trace(first.replace("-", ""), "", True)
    assert trace.line(second).decode() == f"00-{trace.id}-{second.replace('-', '')[16:]}-01"
    assert len({span_of(uuid7()) for _ in range(1000)}) == 1000
