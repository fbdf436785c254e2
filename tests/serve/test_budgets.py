"""Budgets and rates from caller to ledger: what is granted, lowered, refused, settled."""

import asyncio
import json

import pytest
from budget_gateway import PLAN
from live_gateway import ANSWER, CHUNK, DONE, Engine, front, run

from tokenworks.serve.access import keys
from tokenworks.serve.access.keys import KeyRing

BOUNDS = [{"service": "chat", "template_tokens": 64, "context_tokens": 4096}]


def ask(text="hi", **more):
    return {"model": "chat", "messages": [{"role": "user", "content": text}], **more}


def size(body):
    return len(json.dumps(body).encode()) + 64


class Counting(Engine):
    """Makes exactly as many tokens as it may, and says so: the worst that a call can do. ``pause_s`` before it answers."""

    def __init__(self, pause_s=0.0, prompt=None):
        super().__init__(self.count)
        self.pause_s, self.prompt = pause_s, prompt

    async def count(self, request, connection):
        body = json.loads(request.body)
        await asyncio.sleep(self.pause_s)
        made = (body.get("max_completion_tokens") or body.get("max_tokens") or 4096) * body.get("n", 1)
        prompt = self.prompt or len(request.body)
        usage = {"prompt_tokens": prompt, "completion_tokens": made, "total_tokens": prompt + made}
        connection.respond(200, json.dumps({**ANSWER, "usage": usage}).encode())


def budget(**more):
    return {"budgets": [{"name": "b", **more}], "bounds": BOUNDS}


def spent(gate):
    """By the ledger: all tokens of all events."""
    names = ("input_fresh", "cache_read", "cache_write", "output_visible", "output_reasoning", "output_tool")
    return sum(row[name] or 0 for row in gate.ledger.usage_table().to_pylist() for name in names)


def test_a_call_is_lowered_to_what_is_left_and_then_refused(tmp_path):
    async def case():
        async with front(tmp_path, Counting(), **budget(tokens=1000, per="tenant")) as gate:
            answers = [await gate.post(ask(max_tokens=300)) for _ in range(6)]
            asked = [json.loads(r.body)["max_tokens"] for r in gate.engines[0].asked]
            return answers, asked, spent(gate)

    answers, asked, total = run(case())
    bytes_each = len(json.dumps(ask(max_tokens=300)))
    assert [a[0] for a in answers][:3] == [200, 200, 200]
    left = 1000 - 2 * (300 + bytes_each)
    assert asked[:3] == [300, 300, left - bytes_each - 64]
    assert answers[2][1]["x-tokenworks-max-tokens"] == str(asked[2])
    assert "x-tokenworks-max-tokens" not in answers[1][1]
    status, headers, body = answers[5]
    error = json.loads(body)["error"]
    assert (status, error["code"], error["type"]) == (429, "insufficient_quota", "insufficient_quota")
    assert headers["x-should-retry"] == "false"
    assert total <= 1000


def test_what_was_not_used_comes_back(tmp_path):
    """The engine says 14 tokens, whatever was reserved: a budget of a thousand lasts for 70 calls and not for one more that
    could use what is left."""

    async def case():
        async with front(tmp_path, Engine(), **budget(tokens=1000, per="tenant")) as gate:
            answers = [await gate.post(ask(max_tokens=100)) for _ in range(75)]
            return [a[0] for a in answers], [a[1].get("x-tokenworks-budget-remaining") for a in answers], spent(gate)

    statuses, remaining, total = run(case())
    served = statuses.count(200)
    assert statuses == [200] * served + [429] * (75 - served)
    assert total == 14 * served
    prompt = size(ask(max_tokens=100))
    assert 1000 - 14 * served < prompt + 1 <= 1000 - 14 * (served - 1)  # not a call too few, not one too many
    assert remaining[0] == f"b={1000 - 14} tokens"  # a whole answer's use is known when it goes out


def test_dollars_settle_to_the_last_digit(tmp_path):
    plan = tmp_path / "plan.yaml"
    plan.write_text(PLAN)

    async def case():
        limits = {**budget(usd="$1", per="tenant"), "price_plan": str(plan)}
        async with front(tmp_path, Engine(), **limits) as gate:
            _, headers, _ = await gate.post(ask(max_tokens=100))
            desk = gate.listening.app.limits.desk
            return headers, dict(desk.spent)

    headers, booked = run(case())
    exact = 11 * 3_000_000 + 3 * 15_000_000  # 10⁻¹² dollars
    assert booked == {"b|local|total": exact}
    assert headers["x-tokenworks-cost-usd"] == f"0.{exact:012d}"


USAGE = b'"usage":{"prompt_tokens":11,"completion_tokens":3,"total_tokens":14}'
EXACT = 11 * 3_000_000 + 3 * 15_000_000  # 10⁻¹² dollars


def told(request, connection):
    """A stream that ends as llama.cpp's and vLLM's do: usage in a chunk of its own."""
    connection.begin(200, b"text/event-stream")
    last = b'data: {"id":"1","object":"chat.completion.chunk","choices":[],%b}\n\n' % USAGE
    connection.finish(CHUNK + last + DONE)


@pytest.mark.parametrize(
    "more", [{}, budget(usd="$1", per="tenant"), {"limits": [{"rpm": 100}]}], ids=["plan", "budget", "rate"]
)
def test_streams_that_ask_for_usage_are_told_their_cost(tmp_path, more):
    plan = tmp_path / "plan.yaml"
    plan.write_text(PLAN)

    async def case():
        async with front(tmp_path, Engine(told), **more, price_plan=str(plan)) as gate:
            asked = await gate.post(ask(max_tokens=100, stream=True, stream_options={"include_usage": True}))
            silent = await gate.post(ask(max_tokens=100, stream=True))
            return asked, silent

    (status, _, text), (_, _, silent) = run(case())
    *_, last, done = [event.removeprefix(b"data: ") for event in text.split(b"\n\n") if event]
    assert (status, done) == (200, b"[DONE]")
    chunk = json.loads(last, parse_float=str)
    assert chunk["tokenworks"] == {"cost_usd": f"0.{EXACT:012d}"}
    assert chunk["usage"]["total_tokens"] == 14
    assert chunk["id"] == "1"
    assert b"cost_usd" not in silent
    assert b"usage" not in silent


def test_a_plan_without_budgets_tells_whole_answers_their_cost(tmp_path):
    plan = tmp_path / "plan.yaml"
    plan.write_text(PLAN)

    async def case():
        async with front(tmp_path, Engine(), price_plan=str(plan)) as gate:
            return await gate.post(ask(max_tokens=100))

    assert run(case())[1]["x-tokenworks-cost-usd"] == f"0.{EXACT:012d}"


@pytest.mark.parametrize(
    ("serve", "body", "said"),
    [
        ({"bounds": []}, ask(max_tokens=3), "cannot be used under a budget"),
        ({}, ask(max_tokens=3, n_predict=900), "say max_tokens"),
        ({}, ask(max_tokens="3"), "cannot be bounded"),
    ],
)
def test_what_has_no_bound_is_refused(tmp_path, serve, body, said):
    async def case():
        async with front(tmp_path, Counting(), **{**budget(tokens=10_000), **serve}) as gate:
            return await gate.post(body), len(gate.engines[0].asked)

    (status, _, answer), asked = run(case())
    assert (status, asked) == (400, 0)
    assert said in json.loads(answer)["error"]["message"]


def test_runs_have_budgets_of_their_own(tmp_path):
    async def case():
        async with front(tmp_path, Counting(), **budget(tokens=400, per="run")) as gate:
            one = [await gate.post(ask(max_tokens=100), headers=["X-Tokenworks-Run: r1"]) for _ in range(4)]
            two = await gate.post(ask(max_tokens=100), headers=["X-Tokenworks-Run: r2"])
            none = await gate.post(ask(max_tokens=100))
            return [a[0] for a in one], two[0], none[0]

    one, two, none = run(case())
    assert (one[0], one[-1], two, none) == (200, 429, 200, 200)


def test_a_tenant_does_not_spend_or_see_anothers_budget(tmp_path):
    path = tmp_path / "keys.json"
    tokens = [keys.add(path, tenant)[1] for tenant in ("acme", "other")]

    async def case():
        serve = {
            "budgets": [{"name": "a", "tenant": "acme", "tokens": 400}, {"name": "all", "tokens": 10**6}],
            "bounds": BOUNDS,
        }
        async with front(tmp_path, Counting(), ring=KeyRing(path), **serve) as gate:
            mine, others = ([f"Authorization: Bearer {t}"] for t in tokens)
            first = await gate.post(ask(max_tokens=300), headers=mine)
            return (
                first,
                await gate.post(ask(max_tokens=300), headers=mine),
                await gate.post(ask(max_tokens=300), headers=others),
            )

    first, second, other = run(case())
    assert (first[0], second[0], other[0]) == (200, 429, 200)
    assert first[1]["x-tokenworks-budget-remaining"].startswith("a=")
    assert "all" not in first[1]["x-tokenworks-budget-remaining"]
    assert "x-tokenworks-budget-remaining" not in other[1]


def left_after(tmp_path, *engines, body, **serve):
    """Spent by the book after one call, and events."""

    async def case():
        async with front(tmp_path, *engines, **{**budget(tokens=100_000, per="tenant"), **serve}) as gate:
            status, _, _ = await gate.post(body)
            desk = gate.listening.app.limits.desk
            for _ in range(200):
                if not desk.open:
                    break
                await asyncio.sleep(0.01)
            return status, dict(desk.spent).get("b|local|total", 0), gate.ledger.usage_table().num_rows

    return run(case())


def test_what_the_engine_does_not_tell_counts_at_its_bound(tmp_path):
    def silent(request, connection):
        connection.respond(200, json.dumps(ANSWER).encode())

    body = ask(max_tokens=50)
    assert left_after(tmp_path, Engine(silent), body=body) == (200, size(body) + 50, 1)


def test_an_estimate_counts_at_its_bound(tmp_path):
    def streams(request, connection):
        connection.begin(200, b"text/event-stream")
        connection.finish(CHUNK * 2 + DONE)

    body = ask(max_tokens=50, stream=True)
    assert left_after(tmp_path, Engine(streams), body=body) == (200, size(body) + 50, 1)


def test_a_refusal_of_the_engine_costs_nothing(tmp_path):
    def refuses(request, connection):
        connection.respond(400, b"{}")

    assert left_after(tmp_path, Engine(refuses), body=ask(max_tokens=50)) == (400, 0, 0)


def test_every_attempt_that_may_have_used_tokens_counts(tmp_path):
    def dies(request, connection):
        connection.abort()

    body = ask(max_tokens=50)
    status, booked, events = left_after(tmp_path, Engine(dies), Engine(), body=body)
    assert (status, booked, events) == (200, size(body) + 50 + 14, 2)


def test_another_attempt_that_the_budget_does_not_hold_is_not_made(tmp_path):
    def dies(request, connection):
        connection.abort()

    body = ask(max_tokens=50)
    status, booked, events = left_after(
        tmp_path, Engine(dies), Engine(), body=body, **budget(tokens=2 * size(body), per="tenant")
    )
    assert (status, booked, events) == (502, size(body) + 50, 1)


def test_a_caller_who_leaves_pays_what_the_engine_last_said(tmp_path):
    usage = b'"usage":{"prompt_tokens":20,"completion_tokens":2,"total_tokens":22}'

    async def streams(request, connection):
        connection.begin(200, b"text/event-stream")
        while not connection._closing:
            connection.chunk(CHUNK.replace(b'"choices"', usage + b',"choices"'))
            await asyncio.sleep(0.01)

    async def case():
        more = budget(tokens=100_000, per="tenant")
        async with front(tmp_path, Engine(streams), upstream={"continuous_usage": True}, **more) as gate:
            reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
            body = json.dumps(ask(max_tokens=500, stream=True)).encode()
            head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: t\r\nContent-Length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
            await reader.readuntil(b'"w"')
            writer.close()
            (event,) = await gate.events(1)
            desk = gate.listening.app.limits.desk
            while desk.open:
                await asyncio.sleep(0.01)
            return event["usage_status"], dict(desk.spent)

    assert run(case()) == ("partial", {"b|local|total": 22})


def test_concurrent_callers_never_exceed(tmp_path):
    """Callers who all want the rest at once: what is in the ledger is within the limit, and nearly all of it was used."""

    async def case():
        async with front(tmp_path, Counting(0.005), **budget(tokens=60_000)) as gate:
            answers = await asyncio.gather(*(gate.post(ask(str(i), max_tokens=700)) for i in range(150)))
            return [a[0] for a in answers], spent(gate)

    statuses, total = run(case())
    assert set(statuses) == {200, 429}
    assert 55_000 < total <= 60_000


def test_a_budget_outlives_its_gateway(tmp_path):
    async def case():
        served = []
        for _ in range(2):
            async with front(tmp_path, Counting(), **budget(tokens=800, per="tenant")) as gate:
                served.append([(await gate.post(ask(max_tokens=200)))[0] for _ in range(2)])
                total = spent(gate)
        return served, total

    served, total = run(case())
    assert served[0] == [200, 200]
    assert served[1][-1] == 429
    assert total <= 800
