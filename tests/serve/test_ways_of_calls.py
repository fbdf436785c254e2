"""Calls find their way: services that stand in, splits, a queue for full engines, deadlines."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest
from live_gateway import CHUNK, DONE, Engine, Front, front, run, several

from tokenworks.api import load
from tokenworks.errors import SpecError
from tokenworks.ledger import Ledger
from tokenworks.serve.access.keys import KeyRing, add
from tokenworks.serve.building import services_of, splits_of, upstreams_of
from tokenworks.serve.start import gateway
from tokenworks.serve.upstreams.routing import Router
from tokenworks.serve.upstreams.served import Served
from tokenworks.serve.upstreams.split import Split

PLAIN = {"model": "chat", "messages": [{"role": "user", "content": "hi"}]}
STREAM = {**PLAIN, "stream": True}


def refusing(status):
    return Engine(lambda request, connection: connection.respond(status, b'{"error":{"message":"no"}}'))


def factory_of(ports, **serve):
    """Services ``chat`` and ``agent``, one upstream each, in this order."""
    rows = [
        {"service": name, "url": f"http://127.0.0.1:{port}", "model": f"{name}-model"}
        for name, port in zip(("chat", "agent"), ports, strict=True)
    ]
    return load("superpod-h200").replace("serve", {"upstreams": rows, "drain": "200 ms", **serve})


@asynccontextmanager
async def two(tmp_path, chat, agent, ring=None, **serve):
    async with several([chat, agent]) as ports:
        factory = factory_of(ports, **serve)
        with Ledger.open(tmp_path / "ledger.db") as ledger:
            services = services_of(factory, upstreams_of(factory))
            async with gateway(factory, services, ledger, ring, "127.0.0.1", 0) as listening:
                yield Front(listening, [chat, agent], ledger)


def test_a_split_over_services_of_others_is_no_model(tmp_path):
    """As in the list: whose first service a key may not ask."""
    text = add(tmp_path / "keys.json", "a", services=("agent",), scopes=("infer",))[1]

    async def case():
        split = {"splits": {"gpt": {"weights": {"chat": 1, "agent": 1}}}}
        async with two(tmp_path, Engine(), Engine(), KeyRing(tmp_path / "keys.json"), **split) as gate:
            bearer = [f"Authorization: Bearer {text}"]
            return [await gate.get(f"/v1/models{name}", bearer) for name in ("", "/gpt", "/agent")]

    models, one, own = run(case())
    assert "gpt" not in [m["id"] for m in json.loads(models[2])["data"]]
    assert (one[0], own[0]) == (404, 200)
    assert json.loads(one[2])["error"]["message"] == "there is no model 'gpt'; see /v1/models"


STANDBY = {"fallbacks": {"chat": ["agent"]}}


def hanging_up(request, connection):
    connection.transport.abort()


@pytest.mark.parametrize(("chat", "events"), [(refusing(503), 1), (refusing(429), 1), (Engine(hanging_up), 2)])
def test_another_service_stands_in_and_says_so(tmp_path, chat, events):
    async def case():
        async with two(tmp_path, chat, Engine(), **STANDBY) as gate:
            return await gate.post(PLAIN), await gate.events(events), gate.engines[1].asked[0].body

    (status, headers, body), found, asked = run(case())
    assert (status, headers["x-tokenworks-service"]) == (200, "agent")
    assert json.loads(asked)["model"] == "agent-model"  # not the name of the service that was asked for
    last = found[-1]
    assert (last["service"], last["attempt"], last["usage_status"]) == ("agent", 2, "final")
    assert last["model"] == "qwen3-235b-a22b"  # what answered is what is metered
    assert json.loads(last["tags"])["request"] == headers["x-request-id"]
    if events == 2:
        assert (found[0]["service"], found[0]["usage_status"]) == ("chat", "missing")


def test_the_service_that_was_asked_for_answers_where_it_can(tmp_path):
    async def case():
        async with two(tmp_path, Engine(), Engine(), **STANDBY) as gate:
            return await gate.post(PLAIN), len(gate.engines[1].asked)

    (status, headers, _), asked = run(case())
    assert (status, asked) == (200, 0)
    assert "x-tokenworks-service" not in headers


def test_where_nobody_stands_in_the_refusal_is_passed_on(tmp_path):
    async def case():
        async with two(tmp_path, refusing(503), refusing(429), **STANDBY) as gate:
            answer = await gate.post(PLAIN)
            return answer, [s.router.outstanding for s in gate.served]

    (status, _, body), outstanding = run(case())
    assert (status, outstanding) == (429, [[0], [0]])


def test_a_full_service_is_stood_in_for(tmp_path):
    async def case():
        stuck = Engine(lambda request, connection: None)
        async with two(tmp_path, stuck, Engine(), **STANDBY) as gate:
            router = gate.served[0].router
            router.upstreams[0].most = 1
            first = asyncio.create_task(gate.post(PLAIN))
            while not stuck.asked:
                await asyncio.sleep(0.005)
            answer = await gate.post(PLAIN)
            first.cancel()
            return answer[0], answer[1].get("x-tokenworks-service"), (await gate.events(1))[0]["attempt"]

    assert run(case()) == (200, "agent", 1)


@pytest.mark.parametrize(("agent", "found"), [(Engine(), (200, "agent")), (refusing(503), (500, None))])
def test_a_service_that_answers_500_is_stood_in_for_while_another_one_is_well(tmp_path, agent, found):
    async def case():
        async with two(tmp_path, refusing(500), agent, failures=1, pause="30 s", **STANDBY) as gate:
            answers = [await gate.post(PLAIN) for _ in range(3)]
            last = answers[2][0], answers[2][1].get("x-tokenworks-service")
            return answers[0][0], last, gate.served[0].router.outstanding

    assert run(case()) == (500, found, [0])


def test_a_service_that_the_key_may_not_ask_for_does_not_stand_in(tmp_path):
    path = tmp_path / "keys.json"
    texts = {"chat": add(path, tenant="acme", services=("chat",))[1], "both": add(path, tenant="acme")[1]}
    ring = KeyRing(path)

    async def case():
        async with two(tmp_path, refusing(503), Engine(), ring=ring, **STANDBY) as gate:
            return [
                (await gate.post(PLAIN, headers=[f"Authorization: Bearer {texts[n]}"]))[0] for n in ("chat", "both")
            ]

    assert run(case()) == [503, 200]


# ---------------------------------------------------------------------- splits


def served(name):
    return Served(name, "m", Router.__new__(Router), 0, 0)


def test_a_split_holds_its_weights_and_sticks():
    split = Split("canary", [(served("chat"), 90.0), (served("agent"), 10.0)], "session")
    drawn = [split.service(f"session {i}", "acme") for i in range(4000)]
    assert drawn == [split.service(f"session {i}", "other") for i in range(4000)]
    assert 330 < drawn.count("agent") < 470  # 400 ± 3.7 standard deviations
    loose = [split.service("", "acme") for _ in range(2000)]
    assert 130 < loose.count("agent") < 270
    by_tenant = Split("canary", [(served("chat"), 50.0), (served("agent"), 50.0)], "tenant")
    assert len({by_tenant.service(f"s{i}", "acme") for i in range(50)}) == 1
    assert len({by_tenant.service("s", f"tenant {i}") for i in range(50)}) == 2


def test_a_canary_that_grows_takes_callers_from_the_other_only():
    of = lambda weight: Split("c", [(served("chat"), 100 - weight), (served("agent"), weight)], "session")  # noqa: E731
    few, many = of(5.0), of(20.0)
    moved = [(few.service(f"{i}", ""), many.service(f"{i}", "")) for i in range(2000)]
    assert ("agent", "chat") not in moved
    assert 200 < moved.count(("chat", "agent")) < 400


def test_a_split_is_a_model_like_any_other(tmp_path):
    async def case():
        split = {"splits": {"gpt": {"weights": {"chat": 1, "agent": 1}}}}
        async with two(tmp_path, Engine(), Engine(), **split) as gate:
            for i in range(30):
                assert (await gate.post({**PLAIN, "model": "gpt", "user": f"u{i % 15}"}))[0] == 200
            models = json.loads((await gate.get("/v1/models"))[2])["data"]
            ones = [json.loads((await gate.get(f"/v1/models/{m['id']}"))[2]) for m in models]
            assert ones == models
            return await gate.events(30), [m["id"] for m in models], [len(e.asked) for e in gate.engines]

    events, models, asked = run(case())
    assert "gpt" in models
    assert min(asked) > 3
    assert all(n % 2 == 0 for n in asked)  # each caller asked twice, at one place
    assert {e["service"] for e in events} == {"chat", "agent"}


WRONG = {
    "split over nobody": ({"splits": {"x": {"weights": {"nobody": 1}}}}, "no service 'nobody'; known are chat, agent"),
    "split without weight": ({"splits": {"x": {"weights": {"chat": 0}}}}, "one weight at least is above 0"),
    "split that hides a service": ({"splits": {"chat": {"weights": {"agent": 1}}}}, "has this name already"),
    "fallback of nobody": ({"fallbacks": {"nobody": ["chat"]}}, "no service 'nobody'"),
    "fallback to itself": ({"fallbacks": {"chat": ["chat"]}}, "'chat' is no other service; known are agent"),
    "fallback without a name": (
        {"fallbacks": {"chat": ["agent"]}, "upstreams": [{"service": "agent", "url": "http://h:1"}]},
        "state `model` for its upstreams",
    ),
    "endpoint": ({"upstreams": [{"service": "chat", "url": "http://h:1", "kv_events": "h:1"}]}, "tcp://10.0.0.5:5557"),
    "share": ({"hedge": {"share": "0%"}}, "hedge"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_fit_is_said(name):
    serve, said = WRONG[name]
    with pytest.raises(SpecError, match=said):
        factory_of((1, 2), **serve)


def test_a_service_without_an_upstream_has_no_part_of_a_split():
    factory = factory_of((1, 2), splits={"gpt": {"weights": {"chat": 1, "agent": 99}}})
    known = upstreams_of(factory)
    services = services_of(factory, {"chat": known["chat"]})
    split = splits_of(factory, services)["gpt"]
    assert {split.service(str(i), "") for i in range(50)} == {"chat"}


# ---------------------------------------------------------------------- the queue


class Gate(Engine):
    """Answers one after the other, each when it is let."""

    def __init__(self):
        super().__init__(self.wait)
        self.let = asyncio.Semaphore(0)

    async def wait(self, request, connection):
        await self.let.acquire()
        self.works(request, connection)


def test_requests_wait_for_a_full_engine_and_tenants_take_turns(tmp_path):
    path = tmp_path / "keys.json"
    texts = {tenant: add(path, tenant=tenant)[1] for tenant in ("flood", "quiet")}
    ring = KeyRing(path)

    async def case():
        engine, order = Gate(), []

        async def ask(gate, name, tenant):
            answer = await gate.post({**PLAIN, "user": name}, headers=[f"Authorization: Bearer {texts[tenant]}"])
            order.append((name, answer[0]))

        async with front(tmp_path, engine, ring=ring, upstream={"max_requests": 1}, queue={"most": 10}) as gate:
            queue, tasks = gate.served[0].queue, []
            for i in range(4):
                tasks.append(asyncio.create_task(ask(gate, f"f{i}", "flood")))
                while len(engine.asked) + queue.length <= i:
                    await asyncio.sleep(0.002)
            tasks.append(asyncio.create_task(ask(gate, "q", "quiet")))
            while queue.length < 4:
                await asyncio.sleep(0.002)
            for done in range(1, 6):
                engine.let.release()
                while len(order) < done:
                    await asyncio.sleep(0.002)
            await asyncio.gather(*tasks)
            return order, len(await gate.events(5)), gate.served[0].router.outstanding

    order, events, outstanding = run(case())
    assert {status for _, status in order} == {200}
    names = [name for name, _ in order]
    assert names.index("q") <= 2  # behind who was there, not behind the flood
    assert [n for n in names if n != "q"] == ["f0", "f1", "f2", "f3"]
    assert (events, outstanding) == (5, [0])


def test_who_leaves_the_queue_was_never_there(tmp_path):
    async def case():
        engine = Gate()
        async with front(tmp_path, engine, upstream={"max_requests": 1}, queue={"longest": "30 s"}) as gate:
            queue = gate.served[0].queue
            first = asyncio.create_task(gate.post(PLAIN))
            while not engine.asked:
                await asyncio.sleep(0.002)
            left = asyncio.create_task(gate.post(PLAIN))
            late = asyncio.create_task(gate.post(PLAIN, headers=["X-Request-Timeout: 0.05"]))
            while queue.length < 2 and not late.done():
                await asyncio.sleep(0.002)
            left.cancel()
            answer = await late
            while queue.length:
                await asyncio.sleep(0.002)
            engine.let.release()
            assert (await first)[0] == 200
            events = await gate.events(1)
            metrics = (await gate.get("/v1/metrics"))[2].decode()
            return answer[0], len(events), len(engine.asked), metrics

    status, events, asked, metrics = run(case())
    assert (status, events, asked) == (504, 1, 1)
    assert 'tokenworks_active_requests{service="chat"} 0' in metrics
    assert 'tokenworks_requests_total{service="chat",status="504"} 1' in metrics


def test_a_queue_that_is_full_or_too_slow_refuses(tmp_path):
    async def case():
        engine = Gate()
        async with front(tmp_path, engine, upstream={"max_requests": 1}, queue={"most": 1, "longest": "50 ms"}) as gate:
            first = asyncio.create_task(gate.post(PLAIN))
            while not engine.asked:
                await asyncio.sleep(0.002)
            second = asyncio.create_task(gate.post(PLAIN))
            while not gate.served[0].queue.length:
                await asyncio.sleep(0.002)
            third = await gate.post(PLAIN)
            answers = [await second, third]
            engine.let.release()
            assert (await first)[0] == 200
            return [(a[0], int(a[1]["retry-after"]) >= 1, json.loads(a[2])["error"]["code"]) for a in answers]

    assert run(case()) == [(429, True, "busy")] * 2


# ---------------------------------------------------------------------- deadlines


@pytest.mark.parametrize("begun", [0, 2])
def test_a_deadline_ends_the_engines_work_and_is_metered(tmp_path, begun):
    async def slow(request, connection):
        if begun:
            connection.begin(200, b"text/event-stream")
            for _ in range(begun):
                connection.chunk(CHUNK)

    async def case():
        engine = Engine(slow)
        async with front(tmp_path, engine) as gate:
            answer = await gate.post(STREAM, headers=["X-Request-Timeout: 0.2"])
            while not engine.gone:
                await asyncio.sleep(0.005)
            return answer, (await gate.events(1))[0], gate.served[0].router.outstanding

    (status, _, body), event, outstanding = run(case())
    assert outstanding == [0]
    assert b'"code":"deadline"' in body
    if begun:
        assert (status, event["usage_status"], event["output_visible"]) == (0, "partial", 2)
        assert b"[DONE]" not in body
    else:
        assert (status, event["usage_status"], event["failed"]) == (504, "missing", True)


def test_an_answer_in_time_is_an_answer(tmp_path):
    async def case():
        async with front(tmp_path, Engine()) as gate:
            good = await gate.post(STREAM, headers=["X-Request-Timeout: 30"])
            wrong = [
                (await gate.post(PLAIN, headers=[f"X-Request-Timeout: {t}"]))[0] for t in ("0", "-1", "soon", "1e9", "")
            ]
            return good, wrong

    (status, _, body), wrong = run(case())
    assert (status, body) == (200, CHUNK * 3 + DONE)
    assert wrong == [400] * 5
