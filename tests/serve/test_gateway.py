"""The gateway from caller to engine and ledger: answers, retries, ends, what is metered."""

import asyncio
import json
import time

import pytest
from live_gateway import ANSWER, CHAT, CHUNK, DONE, USAGE, USAGE_CHUNK, Engine, exchange, front, parsed, run

from tokenworks.ledger import GroupCommit
from tokenworks.serve.http.pool import Address

PLAIN = {"model": "chat", "messages": [{"role": "user", "content": "hi"}]}
STREAM = {**PLAIN, "stream": True}


def test_an_answer_comes_whole_and_its_tokens_are_in_the_ledger(tmp_path):
    async def case():
        async with front(tmp_path, Engine()) as gate:
            answer = await gate.post(
                PLAIN, headers=["X-Tokenworks-Run: r1", "X-Tokenworks-Agent: coder", "X-Tokenworks-Step: 4"]
            )
            return answer, (await gate.events(1))[0], gate.engines[0].asked[0]

    (status, headers, body), event, asked = run(case())
    assert status == 200
    assert json.loads(body) == {**ANSWER, "model": "chat", "usage": USAGE}
    assert asked.body == json.dumps(PLAIN).encode()  # not a byte was changed
    told = {
        k: event[k]
        for k in (
            "tenant",
            "service",
            "model",
            "operation",
            "input_fresh",
            "output_visible",
            "usage_source",
            "usage_status",
            "attempt",
        )
    }
    assert told == {
        "tenant": "local", "service": "chat", "model": "llama-3.1-8b", "operation": "chat", "input_fresh": 11,
        "output_visible": 3, "usage_source": "engine", "usage_status": "final", "attempt": 1,
    }  # fmt: skip
    assert (event["root_run"], event["run"], event["agent"], event["step"]) == ("r1", "r1", "coder", 4)
    assert headers["x-request-id"] == event["id"]
    assert asked.headers[b"x-request-id"].decode() == event["id"]


@pytest.mark.parametrize("wanted", [True, False])
def test_usage_is_asked_for_and_withheld_where_the_caller_did_not_ask(tmp_path, wanted):
    async def case():
        async with front(tmp_path, Engine()) as gate:
            body = {**STREAM, "stream_options": {"include_usage": True}} if wanted else STREAM
            began_us = time.time_ns() // 1000
            answer = await gate.post(body)
            return answer, await gate.events(1), json.loads(gate.engines[0].asked[0].body), began_us

    (status, headers, body), events, asked, began_us = run(case())
    assert (status, headers["content-type"]) == (200, "text/event-stream")
    assert body == CHUNK * 3 + (USAGE_CHUNK if wanted else b"") + DONE
    assert asked["stream_options"] == {"include_usage": True}
    assert (events[0]["input_fresh"], events[0]["output_visible"], events[0]["usage_status"]) == (11, 3, "final")
    assert 0 < events[0]["ttft_us"] <= events[0]["duration_us"]
    assert began_us <= events[0]["time_us"] - events[0]["duration_us"]  # an event is timed at its end


def test_names_of_models_and_keys_of_upstreams(tmp_path, monkeypatch):
    """Alias, catalogue id and service name reach the upstream as its own name, with its own key; the caller's stays here."""
    monkeypatch.setenv("UPSTREAM_KEY", "sk-upstream")

    async def case():
        upstream = {"model": "org/Model 8B", "key_env": "UPSTREAM_KEY"}
        async with front(tmp_path, Engine(), upstream=upstream, aliases={"gpt-4o": "chat"}) as gate:
            for name in ("gpt-4o", "chat", "llama-3.1-8b"):
                await gate.post({**PLAIN, "model": name}, headers=["Authorization: Bearer sk-caller", "Cookie: c"])
            models = json.loads((await gate.get("/v1/models"))[2])
            one = await gate.get("/v1/models/gpt-4o")
            return gate.engines[0].asked, await gate.events(3), models, one

    asked, events, models, one = run(case())
    assert [json.loads(a.body)["model"] for a in asked] == ["org/Model 8B"] * 3
    assert {a.headers[b"authorization"] for a in asked} == {b"Bearer sk-upstream"}
    assert all(b"cookie" not in a.headers for a in asked)
    assert {e["model"] for e in events} == {"llama-3.1-8b"}
    assert [m["id"] for m in models["data"]] == ["chat", "gpt-4o", "llama-3.1-8b"]
    assert json.loads(one[2])["id"] == "gpt-4o"


class HeldGroup(GroupCommit):
    """A ledger that answers when it is told to."""

    def tell(self, event, heard):
        self.heard = heard
        super().tell(event, lambda receipt: setattr(self, "receipt", receipt))
        HeldGroup.latest = self


@pytest.mark.parametrize("body", [PLAIN, STREAM], ids=["whole", "stream"])
@pytest.mark.parametrize("fate", ["stored", "refused"])
def test_the_last_byte_waits_for_the_commit_and_does_not_come_without_it(tmp_path, monkeypatch, body, fate):
    import tokenworks.serve.start as start

    monkeypatch.setattr(start, "GroupCommit", HeldGroup)
    HeldGroup.latest = None

    async def case():
        async with front(tmp_path, Engine()) as gate:
            text = json.dumps(body).encode()
            reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
            writer.write(
                b"POST %b HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b"
                % (CHAT.encode(), len(text), text)
            )
            while HeldGroup.latest is None or not hasattr(HeldGroup.latest, "receipt"):
                await asyncio.sleep(0.01)
            early = b""
            while body is STREAM and early.count(CHUNK) < 3:
                early += await reader.read(10_000)
            await asyncio.sleep(0.05)
            assert b"[DONE]" not in early
            assert (body is PLAIN) == (early == b"")
            if fate == "stored":
                HeldGroup.latest.heard(HeldGroup.latest.receipt)
            else:
                HeldGroup.latest.heard(OSError("disk full"))
            rest = await reader.read()
            writer.close()
            return parsed(early + rest), gate.listening.app.meter.lost

    (status, headers, came), lost = run(case())
    if fate == "stored":
        assert status == 200
        assert lost == 0
        return
    assert lost == 1
    if body is STREAM:
        assert status == 0  # the answer has no end
        assert b"[DONE]" not in came
        assert b'data: {"error":' in came
    else:
        assert (status, headers["retry-after"]) == (503, "1")
        assert json.loads(came)["error"]["code"] == "not_metered"


def streaming(chunks, then, usage=False):
    """A script: so many chunks, and then what ``then(connection)`` does."""

    async def script(request, connection):
        connection.begin(200, b"text/event-stream")
        for made in range(1, chunks + 1):
            told = (
                b',"usage":{"prompt_tokens":4,"completion_tokens":%d,"total_tokens":%d}' % (made, 4 + made)
                if usage
                else b""
            )
            connection.chunk(CHUNK[:-3] + told + b"}\n\n")
            await asyncio.sleep(0.002)
        then(connection)

    return script


@pytest.mark.parametrize("continuous", [True, False])
def test_a_caller_who_leaves_ends_the_engines_work_and_pays_for_what_was_made(tmp_path, continuous):
    async def case():
        engine = Engine(streaming(5, lambda connection: None, continuous))
        async with front(tmp_path, engine, upstream={"continuous_usage": continuous}) as gate:
            text = json.dumps(STREAM).encode()
            reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
            writer.write(
                b"POST %b HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n%b" % (CHAT.encode(), len(text), text)
            )
            came = b""
            while came.count(b"data: ") < 5:
                came += await reader.read(10_000)
            assert engine.gone == 0
            writer.close()
            event = (await gate.events(1))[0]
            while not engine.gone:
                await asyncio.sleep(0.01)
            metrics = (await gate.get("/v1/metrics"))[2].decode()
            return event, json.loads(engine.asked[0].body), gate.served[0].router.outstanding, metrics

    event, asked, outstanding, metrics = run(case())
    assert asked["stream_options"].get("continuous_usage_stats", False) is continuous
    expected = ("engine", 4, 5) if continuous else ("estimate", None, 5)
    assert (event["usage_source"], event["input_fresh"], event["output_visible"]) == expected
    assert event["usage_status"] == "partial"
    assert outstanding == [0]
    assert 'tokenworks_requests_total{service="chat",status="499"} 1' in metrics
    assert 'tokenworks_active_requests{service="chat"} 0' in metrics


def test_a_caller_who_leaves_before_the_answer_is_metered_as_missing(tmp_path):
    async def case():
        engine = Engine(lambda request, connection: None)
        async with front(tmp_path, engine) as gate:
            text = json.dumps(PLAIN).encode()
            _, writer = await asyncio.open_connection("127.0.0.1", gate.port)
            writer.write(
                b"POST %b HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n%b" % (CHAT.encode(), len(text), text)
            )
            while not engine.asked:
                await asyncio.sleep(0.01)
            writer.close()
            event = (await gate.events(1))[0]
            while not engine.gone:
                await asyncio.sleep(0.01)
            return event

    event = run(case())
    assert (event["usage_status"], event["failed"], event["input_fresh"], event["output_visible"]) == (
        "missing",
        True,
        None,
        None,
    )


def refusing(status, more=b""):
    return lambda request, connection: connection.respond(status, b'{"error":{"message":"no"}}', more=more)


def hanging_up(request, connection):
    connection.transport.abort()


@pytest.mark.parametrize(
    ("first", "events"), [(refusing(503), 1), (refusing(429), 1), (refusing(502), 1), (hanging_up, 2)]
)
@pytest.mark.parametrize("body", [PLAIN, STREAM], ids=["whole", "stream"])
def test_another_upstream_is_tried_before_the_first_byte(tmp_path, first, events, body):
    async def case():
        async with front(tmp_path, Engine(first), Engine()) as gate:
            return (
                await gate.post(body),
                await gate.events(events),
                [len(e.asked) for e in gate.engines],
                gate.served[0],
            )

    (status, headers, _), found, asked, served = run(case())
    assert status == 200
    assert asked == [1, 1]
    assert served.metrics.retries == 1
    assert served.router.outstanding == [0, 0]
    last = found[-1]
    assert (last["attempt"], last["usage_status"], last["output_visible"]) == (2, "final", 3)
    assert json.loads(last["tags"])["request"] == headers["x-request-id"]
    if events == 2:  # it had the request: nobody knows what it made of it
        assert (found[0]["attempt"], found[0]["usage_status"], found[0]["failed"]) == (1, "missing", True)
        assert found[0]["id"] == headers["x-request-id"]


def test_nothing_is_tried_again_after_the_first_byte(tmp_path):
    """The caller gets an error in the stream, no [DONE] and no end; what was made is metered."""

    async def case():
        async with front(tmp_path, Engine(streaming(4, lambda c: c.transport.abort())), Engine()) as gate:
            return await gate.post(STREAM), await gate.events(1), [len(e.asked) for e in gate.engines]

    (status, _, came), events, asked = run(case())
    assert asked == [1, 0]
    assert status == 0
    assert came.startswith(CHUNK * 4)
    assert came.count(b'data: {"error":') == 1
    assert b"[DONE]" not in came
    assert (events[0]["usage_status"], events[0]["usage_source"], events[0]["output_visible"]) == (
        "partial",
        "estimate",
        4,
    )


def test_errors_of_the_upstream_keep_their_words_but_not_its_quarrel_with_the_gateway(tmp_path):
    async def case():
        found = {}
        for status, more in ((400, b""), (429, b"Retry-After: 7\r\n"), (500, b""), (401, b"")):
            async with front(tmp_path, Engine(refusing(status, more))) as gate:
                found[status] = await gate.post(PLAIN)
                assert gate.ledger.usage_table().num_rows == 0
        return found

    found = run(case())
    for status in (400, 429, 500):
        assert (found[status][0], found[status][2]) == (status, b'{"error":{"message":"no"}}')
    assert found[429][1]["retry-after"] == "7"
    assert found[401][0] == 502
    assert json.loads(found[401][2])["error"]["code"] == "upstream_credential"


def test_an_upstream_that_is_not_there_is_502_then_503_with_a_time_to_come_again(tmp_path):
    async def case():
        async with front(tmp_path, Engine(), failures=1, pause="5 s") as gate:
            gate.served[0].router.upstreams[0].pool.address = Address("127.0.0.1", 1, False, "")  # nobody listens there
            return (
                [await gate.post(PLAIN) for _ in range(2)],
                await gate.get("/v1/health/ready"),
                await gate.get("/v1/health/live"),
            )

    (first, second), ready, live = run(case())
    assert [first[0], second[0], ready[0], live[0]] == [502, 503, 503, 200]
    assert 1 <= int(second[1]["retry-after"]) <= 5
    assert b"127.0.0.1" not in first[2]


def test_a_kept_connection_that_was_closed_is_no_fault_of_the_upstream(tmp_path):
    """llama.cpp's server closes after a stream without a word: the next request goes over a new connection."""

    def closing(request, connection):
        Engine.works(engine, request, connection)
        asyncio.get_running_loop().call_later(0.0, connection.transport.close)

    engine = Engine(closing)

    async def case():
        async with front(tmp_path, engine) as gate:
            answers = [await gate.post(STREAM if i % 2 else PLAIN) for i in range(20)]
            return answers, await gate.events(20), gate.served[0]

    answers, events, served = run(case())
    assert {a[0] for a in answers} == {200}
    assert len(events) == 20
    assert served.metrics.retries == 0
    assert served.router.breakers[0].closed


def test_a_slow_reader_holds_the_engine_back(tmp_path):
    """Back-pressure from end to end: what the engine may send is bounded by buffers, not by what it has."""
    sent = {"bytes": 0, "held": False}

    class Hose(Engine):
        def hold(self):
            sent["held"] = True

        def resume(self):
            sent["held"] = False

    async def pouring(request, connection):
        connection.begin(200, b"text/event-stream")
        for _ in range(20_000):
            if sent["held"]:
                await asyncio.sleep(0.002)
                continue
            connection.chunk(CHUNK * 10)
            sent["bytes"] += len(CHUNK) * 10
            await asyncio.sleep(0)
        connection.finish(DONE)

    async def case():
        async with front(tmp_path, Hose(pouring)) as gate:
            text = json.dumps(STREAM).encode()
            reader, writer = await asyncio.open_connection("127.0.0.1", gate.port, limit=1000)
            writer.write(
                b"POST %b HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n%b" % (CHAT.encode(), len(text), text)
            )
            last = -1
            while last != sent["bytes"] or not sent["bytes"]:
                last = sent["bytes"]
                await asyncio.sleep(0.2)
            stuck = sent["bytes"]
            for _ in range(200):
                await reader.read(100_000)
            await asyncio.sleep(0.1)
            moved = sent["bytes"] - stuck
            writer.close()
            return stuck, moved

    stuck, moved = run(case())
    assert stuck < 16_000_000  # of 22 MB; the sockets of both connections hold some
    assert moved > 0


def test_a_drain_lets_answers_end_and_takes_no_new_ones(tmp_path):
    async def case():
        engine = Engine(streaming(20, lambda connection: connection.finish(DONE)))
        async with front(tmp_path, engine) as gate:
            answer = asyncio.create_task(gate.post(STREAM))
            while not engine.asked:
                await asyncio.sleep(0.005)
            cut = await gate.listening.drain(5.0)
            with pytest.raises(OSError):
                await asyncio.open_connection("127.0.0.1", gate.port)
            return await answer, cut, await gate.events(1)

    (status, _, body), cut, events = run(case())
    assert (status, cut, len(events)) == (200, 0, 1)
    assert body == CHUNK * 20 + DONE


def test_embeddings_and_completions_pass_and_are_metered(tmp_path):
    def embedding(request, connection):
        connection.respond(
            200, b'{"object":"list","data":[{"embedding":[0.5]}],"usage":{"prompt_tokens":6,"total_tokens":6}}'
        )

    async def case():
        async with front(tmp_path, Engine(embedding)) as gate:
            one = await gate.post({"model": "chat", "input": "text"}, "/v1/embeddings")
            asked = gate.engines[0].asked[0]
            gate.engines[0].script = gate.engines[0].works
            two = await gate.post({"model": "chat", "prompt": "text", "stream": True}, "/v1/completions")
            return one, two, asked, await gate.events(2)

    one, two, asked, events = run(case())
    assert (one[0], two[0]) == (200, 200)
    assert (asked.path, json.loads(asked.body)) == (b"/v1/embeddings", {"model": "chat", "input": "text"})
    assert [(e["operation"], e["input_fresh"], e["output_visible"]) for e in events] == [
        ("embeddings", 6, 0),
        ("text_completion", 11, 3),
    ]


ERRORS = [
    ("POST", CHAT, b"{", 400, "invalid_json"),
    ("POST", CHAT, json.dumps({**PLAIN, "model": "nobody"}).encode(), 404, "model_not_found"),
    ("GET", CHAT, b"", 405, "method"),
    ("POST", "/v1/models", b"{}", 405, "method"),
    ("GET", "/v1/nothing", b"", 404, "not_found"),
    ("GET", "/v1/models/nobody", b"", 404, "model_not_found"),
    ("GET", "/../etc/passwd", b"", 404, "not_found"),
]


def test_errors_have_openais_shape(tmp_path):
    from live_gateway import call

    async def case():
        async with front(tmp_path, Engine()) as gate:
            return [await call(gate.port, method, path, body) for method, path, body, _, _ in ERRORS], gate.engines[
                0
            ].asked

    answers, asked = run(case())
    assert asked == []
    for (_, _, _, status, code), (got, _, body) in zip(ERRORS, answers, strict=True):
        assert got == status
        error = json.loads(body)["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert error["code"] == code


def test_pages_about_the_gateway(tmp_path):
    async def case():
        async with front(tmp_path, Engine()) as gate:
            await gate.post(STREAM)
            return {
                p: await gate.get(f"/v1/{p}") for p in ("health/live", "health/ready", "version", "metadata", "metrics")
            }

    pages = run(case())
    assert {p[0] for p in pages.values()} == {200}
    assert json.loads(pages["metadata"][2])["modelInfo"] == [{"name": "chat", "model": "llama-3.1-8b"}]
    text = pages["metrics"][2].decode()
    assert 'tokenworks_tokens_total{service="chat",type="input"} 11' in text
    assert 'gen_ai_server_time_to_first_token_seconds_count{service="chat"} 1' in text
    for line in text.splitlines():  # the text format: comments, or a name with labels and a number
        assert line.startswith("# ") or float(line.rpartition(" ")[2]) >= 0


def test_headers_that_name_no_run_are_refused(tmp_path):
    async def case():
        async with front(tmp_path, Engine()) as gate:
            return [
                await gate.post(PLAIN, headers=[h])
                for h in ("X-Tokenworks-Run: " + "a" * 300, "X-Tokenworks-Step: -1", "X-Tokenworks-Agent: a\tb")
            ]

    assert [a[0] for a in run(case())] == [400, 400, 400]


def test_many_callers_at_once_each_get_their_own_answer_and_one_event(tmp_path):
    def own(request, connection):
        told = json.loads(request.body)["messages"][0]["content"]
        connection.respond(
            200,
            json.dumps(
                {
                    "told": told,
                    "usage": {"prompt_tokens": int(told), "completion_tokens": 1, "total_tokens": int(told) + 1},
                }
            ).encode(),
        )

    async def case():
        async with front(tmp_path, Engine(own), Engine(own)) as gate:

            async def caller(i):
                return await gate.post({"model": "chat", "messages": [{"role": "user", "content": str(i)}]})

            answers = await asyncio.gather(*(caller(i) for i in range(200)))
            return answers, await gate.events(200)

    answers, events = run(case())
    assert [json.loads(a[2])["told"] for a in answers] == [str(i) for i in range(200)]
    assert sorted(e["input_fresh"] for e in events) == list(range(200))
    assert len({e["id"] for e in events}) == 200


def test_answers_of_a_kept_connection_come_in_order(tmp_path):
    async def case():
        async with front(tmp_path, Engine()) as gate:
            text = json.dumps(PLAIN).encode()
            one = b"POST %b HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n%b" % (CHAT.encode(), len(text), text)
            came = await exchange(
                gate.port, one * 3 + b"GET /v1/version HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"
            )
            return came, await gate.events(3)

    came, _ = run(case())
    assert came.count(b"HTTP/1.1 200 OK") == 4
    assert came.endswith(b'"api":"v1"}')


def test_an_attempt_that_broke_before_its_first_piece_leaves_nothing_in_the_next(tmp_path):
    """Half an event of one engine must not stand before the other's stream."""

    async def half(request, connection):
        connection.begin(200, b"text/event-stream")
        connection.chunk(CHUNK[:40])
        await asyncio.sleep(0.01)
        connection.transport.abort()

    async def case():
        async with front(tmp_path, Engine(half), Engine()) as gate:
            return await gate.post(STREAM), await gate.events(2)

    (status, _, body), events = run(case())
    assert (status, body) == (200, CHUNK * 3 + DONE)
    assert [(e["attempt"], e["usage_status"]) for e in events] == [(1, "missing"), (2, "final")]


def test_a_refusal_is_passed_on_where_the_others_are_full(tmp_path):
    """The upstream's own 503 is the answer then, and nothing hangs."""

    async def case():
        async with front(
            tmp_path, Engine(refusing(503)), Engine(lambda r, c: None), upstream={"max_requests": 1}
        ) as gate:
            gate.served[0].router.take(-1, 0.0)  # the first in turn, and then the second:
            gate.served[0].router.take(-1, 0.0)
            gate.served[0].router.release(0)
            return await gate.post(PLAIN), gate.served[0].router.outstanding

    (status, _, body), outstanding = run(case())
    assert (status, body) == (503, b'{"error":{"message":"no"}}')
    assert outstanding == [0, 1]


def test_a_gateway_in_front_of_a_gateway(tmp_path):
    """Whatever speaks OpenAI's dialect is an upstream, this gateway too: both meter the same."""
    (tmp_path / "inner").mkdir()

    async def case():
        async with front(tmp_path / "inner", Engine()) as inner:

            class Other(Engine):
                pass

            async with front(tmp_path, Other()) as outer:
                outer.served[0].router.upstreams[0].pool.address = Address("127.0.0.1", inner.port, False, "")
                answers = [await outer.post(body) for body in (PLAIN, STREAM)]
                return answers, await outer.events(2), await inner.events(2)

    answers, outer, inner = run(case())
    assert [a[0] for a in answers] == [200, 200]
    assert answers[1][2] == CHUNK * 3 + DONE
    told = lambda events: [(e["input_fresh"], e["output_visible"], e["usage_status"]) for e in events]  # noqa: E731
    assert told(outer) == told(inner) == [(11, 3, "final")] * 2
