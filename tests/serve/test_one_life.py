"""Responses and messages live as chat completions do: they wait, are stood in for, hedged, traced, routed by their prompts,
held by budgets and gone on with elsewhere, passed through or translated."""

import asyncio
import json

import pytest
from budget_gateway import PLAN
from live_gateway import ANSWER, USAGE, USAGE_CHUNK, Engine, front, run
from otlp_collector import Collector
from test_dialects import COMPLETED, DELTA, LAST, PIECE, START, chunk, events_of, playing
from test_hedge import knowing
from test_telemetry import PARENT, TRACE, told
from test_ways_of_calls import refusing, two

from tokenworks.serve.body.splice import read
from tokenworks.serve.dialects.messages.dialect import MESSAGES as MESSAGES_PATH
from tokenworks.serve.dialects.messages.dialect import NativeWay
from tokenworks.serve.limits.bound import Bounds
from tokenworks.serve.upstreams.prompt import Prompt

MESSAGES, RESPONSES, COUNT = "/v1/messages", "/v1/responses", "/v1/messages/count_tokens"
SAID = [{"role": "user", "content": "hi"}]
ASKED = {
    MESSAGES: {"model": "chat", "max_tokens": 300, "messages": SAID},
    RESPONSES: {"model": "chat", "input": "hi", "max_output_tokens": 300},
}
ENDS = {MESSAGES: b"message_stop", RESPONSES: b"response.completed"}
WHOLE = {  # passed through
    MESSAGES: {"type": "message", "content": [], "usage": {"input_tokens": 11, "output_tokens": 3}},
    RESPONSES: {"object": "response", "output": [], "usage": {"input_tokens": 11, "output_tokens": 3, "total_tokens": 14}},
}  # fmt: skip
NATIVE = {"serves": ["responses", "messages"]}
each_path = pytest.mark.parametrize("path", [MESSAGES, RESPONSES])
each_way = pytest.mark.parametrize("upstream", [{}, NATIVE], ids=["translated", "passed through"])


def working(path):
    """An engine of every dialect. Answers to chat completions as to the others, and says what it was asked for."""

    async def script(request, connection):
        native, body = request.path != b"/v1/chat/completions", json.loads(request.body)
        if not body.get("stream"):
            return connection.respond(200, json.dumps(WHOLE[path] if native else {**ANSWER, "usage": USAGE}).encode())
        if not native:
            return await playing([chunk({"content": "he"}), chunk({}, "stop"), USAGE_CHUNK, b"data: [DONE]\n\n"])(
                request, connection
            )
        return await playing([START, DELTA, LAST] if path == MESSAGES else [PIECE, COMPLETED])(request, connection)

    return Engine(script)


async def until(true):
    for _ in range(1000):
        if true():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it did not come")


# ---------------------------------------------------------------------- the queue, deadlines, services that stand in


@each_path
@each_way
def test_nobody_overtakes_those_who_wait(tmp_path, path, upstream):
    """One place: a call that comes after another one is asked after it, whatever it speaks."""
    free, works = asyncio.Event(), working(path).script

    async def script(request, connection):
        await free.wait()
        await works(request, connection)

    engine = Engine(script)

    async def case():
        async with front(tmp_path, engine, upstream={**upstream, "max_requests": 1}, queue={}) as gate:
            chat = {"model": "chat", "messages": SAID}
            calls = [asyncio.create_task(gate.post(chat))]
            await until(lambda: engine.asked)
            waiting = gate.served[0].queue
            calls.append(asyncio.create_task(gate.post(chat)))
            await until(lambda: waiting.length == 1)
            calls.append(asyncio.create_task(gate.post(ASKED[path], path)))
            await until(lambda: waiting.length == 2)
            free.set()
            answers = await asyncio.gather(*calls)
            return [a[0] for a in answers], [b"max_" in r.body for r in engine.asked]

    statuses, mine = run(case())
    assert statuses == [200, 200, 200]
    assert mine == [False, False, True]


@each_path
@each_way
def test_a_deadline_ends_the_wait_and_the_engines_work(tmp_path, path, upstream):
    engine = Engine(lambda request, connection: None)

    async def case():
        async with front(tmp_path, engine, upstream=upstream) as gate:
            answer = await gate.post(ASKED[path], path, ["X-Request-Timeout: 0.1"])
            await until(lambda: engine.gone)
            return answer, (await gate.events(1))[0]["usage_status"]

    (status, _, body), event = run(case())
    assert (status, event) == (504, "missing")
    assert "X-Request-Timeout" in json.loads(body)["error"]["message"]
    assert (json.loads(body).get("type") == "error") == (path == MESSAGES)


@each_path
@pytest.mark.parametrize("stream", [False, True])
def test_a_service_stands_in_in_its_own_words(tmp_path, path, stream):
    """The one that was asked passes the dialect through, the other one is asked through chat completions."""

    async def case():
        async with two(tmp_path, refusing(503), working(path), fallbacks={"chat": ["agent"]}) as gate:
            gate.served[0].speaks |= {"responses", "messages"}
            answer = await gate.post({**ASKED[path], "stream": stream}, path)
            return answer, [r.path for e in gate.engines for r in e.asked], (await gate.events(1))[0]

    (status, headers, body), asked, event = run(case())
    assert (status, headers["x-tokenworks-service"]) == (200, "agent")
    assert asked == [path.encode(), b"/v1/chat/completions"]
    assert (event["service"], event["attempt"], event["output_visible"]) == ("agent", 2, 3)
    assert (ENDS[path] in body) if stream else json.loads(body)["usage"]["output_tokens"] == 3


def test_a_service_that_cannot_be_asked_this_does_not_stand_in(tmp_path):
    """Neither one of another dialect, nor one that would have to be asked for what chat completions do not have; the refusal
    of the one that was asked is passed on as it came."""

    async def case():
        async with two(tmp_path, refusing(503), Engine(), fallbacks={"chat": ["agent"]}) as gate:
            gate.served[0].speaks |= {"responses", "messages"}
            odd = await gate.post({**ASKED[MESSAGES], "odd": 1}, MESSAGES)
            counted = await gate.post(ASKED[MESSAGES], COUNT)
            gate.served[1].speaks = frozenset({"messages"})
            chat = await gate.post({"model": "chat", "messages": SAID})
            return [odd, counted, chat], len(gate.engines[1].asked), [s.router.outstanding for s in gate.served]

    answers, asked, outstanding = run(case())
    assert [(status, json.loads(body)) for status, _, body in answers] == [(503, {"error": {"message": "no"}})] * 3
    assert (asked, outstanding) == (0, [[0], [0]])


# ---------------------------------------------------------------------- hedges, traces, prompts


@each_path
@each_way
def test_a_slow_stream_is_asked_for_twice(tmp_path, path, upstream):
    slow = Engine(lambda request, connection: None)

    async def case():
        async with front(tmp_path, slow, working(path), upstream=upstream, hedge={}) as gate:
            hedging = knowing(gate)
            answer = await gate.post({**ASKED[path], "stream": True}, path)
            await until(lambda: slow.gone)
            return answer, await gate.events(2), hedging.won, gate.served[0].router.outstanding

    (status, _, body), events, won, outstanding = run(case())
    assert (status, won, outstanding) == (200, 1, [0, 0])
    assert body.count(ENDS[path]) >= 1
    assert sorted((e["attempt"], e["usage_status"], e["failed"]) for e in events) == [
        (1, "missing", True),
        (2, "final", False),
    ]


@each_path
@each_way
def test_the_engine_is_told_of_our_own_span(tmp_path, path, upstream):
    engine = working(path)

    async def case():
        async with front(tmp_path, engine, upstream=upstream, **told(collector)) as gate:
            await gate.post(ASKED[path], path, [f"traceparent: {PARENT}"])

    with Collector() as collector:
        run(case())
    (span,) = collector.spans()
    assert engine.asked[0].headers[b"traceparent"].decode() == f"00-{TRACE}-{span.span_id.hex()}-01"


def test_a_prompt_is_the_same_in_every_dialect():
    """So that a conversation finds its engine's cache again, however it is told."""
    long = "word " * 400
    bodies = (
        {"messages": [{"role": "system", "content": long}, {"role": "user", "content": long}], "max_tokens": 7},
        {"system": long, "messages": [{"role": "user", "content": long}], "max_tokens": 7},
        {"instructions": long, "input": long, "max_output_tokens": 7},
        {"instructions": long, "input": [{"type": "message", "role": "user", "content": long}], "max_output_tokens": 7},
    )
    prompts = {Prompt.of(read(json.dumps({"model": "m", **body}).encode())) for body in bodies}
    assert len(prompts) == 1
    assert len(prompts.pop().hashes) == 15


# ---------------------------------------------------------------------- budgets


BOUNDS = [{"service": "chat", "template_tokens": 64, "context_tokens": 4096}]
LIMITS = {MESSAGES: "max_tokens", RESPONSES: "max_output_tokens"}


def spends(path):
    """An engine that makes as many tokens as it may, and counts a token for each byte that it got."""

    def script(request, connection):
        body, size = json.loads(request.body), len(request.body)
        native = request.path != b"/v1/chat/completions"
        made = body.get(LIMITS[path] if native else "max_tokens", 4096)
        usage = {"prompt_tokens": size, "completion_tokens": made, "total_tokens": size + made}
        if native:
            usage = {"input_tokens": size, "output_tokens": made, "total_tokens": size + made}
        connection.respond(200, json.dumps({**(WHOLE[path] if native else ANSWER), "usage": usage}).encode())

    return Engine(script)


@each_path
@each_way
@pytest.mark.parametrize("limited", [True, False])
def test_a_budget_is_held_to_the_token(tmp_path, path, upstream, limited):
    """Lowered in the member that the engine reads, then refused, and never exceeded."""
    asked = {k: v for k, v in ASKED[path].items() if limited or k != "max_output_tokens"}

    async def case():
        more = {"budgets": [{"name": "b", "tokens": 1500, "per": "tenant"}], "bounds": BOUNDS}
        async with front(tmp_path, spends(path), upstream=upstream, **more) as gate:
            answers = [
                await gate.post({**asked, "max_completion_tokens": 1} if upstream else asked, path) for _ in range(7)
            ]
            bodies = [json.loads(r.body) for r in gate.engines[0].asked]
            desk = gate.listening.app.limits.desk
            return answers, bodies, dict(desk.spent)["b|local|total"], desk.overruns

    answers, bodies, spent, overruns = run(case())
    statuses = [status for status, _, _ in answers]
    assert statuses == [200] * len(bodies) + [429] * (7 - len(bodies))
    assert 1 <= len(bodies) <= 6
    name = LIMITS[path] if upstream else "max_tokens"
    said = [headers.get("x-tokenworks-max-tokens") for _, headers, _ in answers[: len(bodies)]]
    assert said[-1] == str(bodies[-1][name])
    assert (said[0] is None) == (limited or path == MESSAGES)
    assert 1400 < spent <= 1500
    assert overruns == 0
    refused = json.loads(answers[-1][2])
    assert "does not hold this call" in refused["error"]["message"]
    assert answers[-1][1]["x-should-retry"] == "false"


@each_path
@each_way
def test_dollars_of_every_dialect(tmp_path, path, upstream):
    plan = tmp_path / "plan.yaml"
    plan.write_text(PLAN)

    async def case():
        more = {"budgets": [{"name": "b", "usd": "$1"}], "bounds": BOUNDS, "price_plan": str(plan)}
        async with front(tmp_path, working(path), upstream=upstream, **more) as gate:
            return (await gate.post(ASKED[path], path))[1], dict(gate.listening.app.limits.desk.spent)

    headers, spent = run(case())
    exact = 11 * 3_000_000 + 3 * 15_000_000
    assert headers["x-tokenworks-cost-usd"] == f"0.{exact:012d}"
    assert list(spent.values()) == [exact]


def test_counting_tokens_uses_none(tmp_path):
    """Neither of a budget that is used up nor of a rate; requests count."""
    counts = Engine(lambda request, connection: connection.respond(200, b'{"input_tokens":5}'))

    async def case():
        more = {"budgets": [{"name": "b", "tokens": 1}], "bounds": BOUNDS, "limits": [{"tpm": 100, "rpm": 9}]}
        async with front(tmp_path, counts, upstream=NATIVE, **more) as gate:
            refused = await gate.post(ASKED[MESSAGES], MESSAGES)
            return refused, await gate.post(ASKED[MESSAGES], COUNT), gate.ledger.usage_table().num_rows

    (refused, _, _), (status, headers, body), events = run(case())
    assert (refused, status, json.loads(body), events) == (429, 200, {"input_tokens": 5}, 0)
    assert int(headers["x-ratelimit-remaining-tokens"]) >= 99
    assert int(headers["x-ratelimit-remaining-requests"]) <= 8


def bound(limits=("max_tokens",), **more):
    bounds = Bounds(
        "chat", 0, 10_000, tools_factor=1, media_tokens=(("image", 7), ("audio", None), ("video", None), ("file", 1000))
    )
    body = read(json.dumps({"model": "m", "messages": SAID, "max_tokens": 5, **more}).encode())
    return bounds.most(body, limits), len(body.text)


def said(*blocks):
    return {"messages": [{"role": "user", "content": list(blocks)}]}


def test_what_messages_hold_that_is_more_than_its_bytes():
    way = NativeWay(MESSAGES_PATH, b"")
    pdf = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "A" * 100}}
    found, size = bound(way.limits, **said(pdf))
    assert found.inputs == size + 1000
    within, size = bound(way.limits, **said({"type": "tool_result", "tool_use_id": "1", "content": [pdf]}))
    assert within.inputs == size + 1000
    system, size = bound(way.limits, system=[pdf])
    assert system.inputs == size + 1000
    text, size = bound(way.limits, **said({"type": "document", "source": {"type": "text", "data": "an image"}}))
    assert text.inputs == size
    call, size = bound(way.limits, **said({"type": "tool_use", "id": "1", "name": "f", "input": {"file_path": "/a"}}))
    assert call.inputs == size
    odd, size = bound(way.limits, **said({"type": "tool_use", "id": "1", "name": "f", "input": {}, "image_url": "x"}))
    assert odd.inputs == size + 7
    own, size = bound(way.limits, tools=[{"name": "f", "input_schema": {}}])
    assert own.inputs == size
    foreign, _ = bound(way.limits, tools=[{"type": "bash_20250124", "name": "bash"}])
    assert foreign.inputs == 10_000  # the provider writes out what it is


def test_a_limit_that_the_path_does_not_know_limits_nothing():
    """An engine passes over what it does not know, and makes as many tokens as its context holds."""
    assert bound(("max_output_tokens",))[0].outputs == 10_000
    assert bound(("max_tokens",), max_tokens=None, max_completion_tokens=5)[0].outputs == 10_000
    assert bound(("max_tokens", "max_completion_tokens"), max_tokens=None, max_output_tokens=5)[0].outputs == 10_000


# ---------------------------------------------------------------------- another engine goes on


@each_path
def test_a_translated_stream_goes_on_at_another_engine(tmp_path, path):
    """Its text is whole, its usage is of the whole answer, and its events are those of one stream."""

    async def breaks(request, connection):
        connection.begin(200, b"text/event-stream")
        for word in ("a", "b"):
            connection.chunk(chunk({"content": word}))
        await asyncio.sleep(0.01)
        connection.transport.abort()

    rest = [
        chunk({"role": "assistant", "content": ""}),
        chunk({"content": "c"}),
        chunk({}, "stop"),
        USAGE_CHUNK,
        b"data: [DONE]\n\n",
    ]

    async def case():
        async with front(tmp_path, Engine(breaks), Engine(playing(rest)), upstream={"continues": True}) as gate:
            answer = await gate.post({**ASKED[path], "stream": True}, path)
            return answer, await gate.events(2), json.loads(gate.engines[1].asked[0].body)

    (status, _, body), events, asked = run(case())
    assert status == 200
    assert asked["messages"][-1] == {"role": "assistant", "content": "ab"}
    assert asked["max_tokens"] == 298
    found = events_of(body)
    deltas = [e["delta"] for name, e in found if name.endswith("delta") and name != "message_delta"]
    assert "".join(d["text"] if isinstance(d, dict) else d for d in deltas) == "abc"
    last = found[-1][1]["response"] if path == RESPONSES else found[-2][1]
    assert last["usage"]["output_tokens"] == 2 + 3
    assert [e["usage_status"] for e in sorted(events, key=lambda e: e["attempt"])] == ["partial", "final"]
