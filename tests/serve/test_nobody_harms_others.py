"""What one caller or one engine does wrong is no matter of the others."""

import asyncio
import json

import pytest
from live_gateway import ANSWER, USAGE, Engine, front, run
from running_gateway import running

from tokenworks.serve.call.question import Question

PLAIN = {"model": "chat", "messages": [{"role": "user", "content": "hi"}]}
LIMITS = ["-1000000000000", str(2**63 - 1), "5000000000000000000", "1" + "0" * 18, "1e300", "99999999999"]


def choking(request, connection):
    """An engine that has trouble with some bodies."""
    if b'"evil"' in request.body:
        connection.respond(500, b'{"error":{"message":"an index is out of range"}}')
    else:
        connection.respond(200, json.dumps({**ANSWER, "usage": USAGE}).encode())


@pytest.mark.parametrize("limit", LIMITS)
def test_a_limit_that_no_engine_could_have_stops_nobody(tmp_path, limit):
    async def case():
        async with front(tmp_path, Engine(), Engine(), routing="kv-aware") as gate:
            wild = b'{"model":"chat","messages":[{"content":"hi"}],"max_tokens":%b}' % limit.encode()
            statuses = [(await gate.post(body))[0] for body in (wild, PLAIN, PLAIN, PLAIN)]
            return statuses, gate.served[0].router

    statuses, router = run(case())
    assert statuses == [200] * 4
    assert (router.outstanding, router._tokens) == ([0, 0], [0, 0])


def test_a_limit_below_nothing_draws_no_calls(tmp_path):
    async def slow(request, connection):
        await asyncio.sleep(0.5 if b"-1000000000" in request.body else 0.02)
        connection.respond(200, json.dumps({**ANSWER, "usage": USAGE}).encode())

    async def case():
        engines = Engine(slow), Engine(slow)
        async with front(tmp_path, *engines, routing="kv-aware") as gate:
            first = asyncio.ensure_future(gate.post({**PLAIN, "max_tokens": -(10**9)}))
            while not any(e.asked for e in engines):
                await asyncio.sleep(0.005)
            talks = ({"model": "chat", "messages": [{"role": "user", "content": f"{i} " * 500}]} for i in range(12))
            answers = await asyncio.gather(*(gate.post(talk) for talk in talks))
            assert (await first)[0] == 200
            return {a[0] for a in answers}, sorted(len(e.asked) for e in engines)

    statuses, asked = run(case())
    assert statuses == {200}
    assert asked[0] >= 5


def test_deep_bodies_are_refused_or_answered_whatever_the_routing(tmp_path):
    async def case():
        async with front(tmp_path, Engine(choking), Engine(choking), routing="kv-aware") as gate:
            found = set()
            for depth in range(930, 1003):
                deep = b"[" * depth + b"]" * depth
                found.add((await gate.post(b'{"model":"chat","messages":[{"role":"user","content":%b}]}' % deep))[0])
            return found, gate.served[0].router.outstanding

    found, outstanding = run(case())
    assert found <= {200, 400}
    assert outstanding == [0, 0]


@pytest.mark.parametrize("engines", [1, 2])
def test_bodies_that_engines_choke_on_shut_nobody_out(tmp_path, engines):
    async def case():
        made = [Engine(choking) for _ in range(engines)]
        async with front(tmp_path, *made, pause="30 s") as gate:
            evil = [(await gate.post({**PLAIN, "evil": 1}))[0] for _ in range(12)]
            ready = (await gate.get("/v1/health/ready"))[0]
            others = [(await gate.post(PLAIN))[0] for _ in range(4)]
            return evil, ready, others

    evil, ready, others = run(case())
    assert (set(evil), ready, others) == ({500}, 200, [200] * 4)


def test_an_engine_that_answers_500_to_all_is_left_alone(tmp_path):
    async def case():
        broken = Engine(lambda request, connection: connection.respond(500, b"{}"))
        async with front(tmp_path, broken, Engine(), pause="30 s") as gate:
            return [(await gate.post(PLAIN))[0] for _ in range(20)], len(broken.asked)

    statuses, asked = run(case())
    assert asked == 3
    assert statuses.count(200) == 17


def test_a_call_that_cannot_be_started_from_the_queue_is_answered_and_holds_nobody_up(tmp_path, monkeypatch):
    payload = Question.payload

    def brittle(self, *of):
        if b"poison" in self.said.text:
            raise ZeroDivisionError("poison")
        return payload(self, *of)

    monkeypatch.setattr(Question, "payload", brittle)

    async def case():
        go, troubles = asyncio.Event(), []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: troubles.append(context["exception"]))

        async def slow(request, connection):
            await go.wait()
            connection.respond(200, json.dumps({**ANSWER, "usage": USAGE}).encode())

        async with front(tmp_path, Engine(slow), upstream={"max_requests": 1}, queue={"longest": "30 s"}) as gate:
            queue, asking = gate.served[0].queue, []
            for n, more in enumerate(({}, {"user": "poison"}, {}, {})):
                asking.append(asyncio.ensure_future(gate.post({**PLAIN, **more})))
                while len(gate.engines[0].asked) + queue.length <= n:
                    await asyncio.sleep(0.002)
            go.set()
            statuses = [(await asyncio.wait_for(one, 20))[0] for one in asking]
            active = gate.served[0].metrics.active
            return statuses, gate.served[0].router.outstanding, queue.length, active, [type(t) for t in troubles]

    assert run(case()) == ([200, 500, 200, 200], [0], 0, 0, [ZeroDivisionError])


def test_a_page_that_no_engine_can_have_stops_nobody(tmp_path):
    class Boasting(Engine):
        def handle(self, request, connection):
            if request.path == b"/metrics":
                self.looked = True
                connection.respond(
                    200, b"vllm:num_requests_running 1e19\n" + b"vllm:num_requests_waiting{\n" * 8000, b"text/plain"
                )
            else:
                super().handle(request, connection)

    boasting = Boasting()
    upstream = lambda url: {"metrics": f"{url}/metrics"}  # noqa: E731
    with running(tmp_path, boasting, Boasting(), look="20 ms", upstream=upstream) as gate:

        async def calls():
            while not hasattr(boasting, "looked"):
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)
            return [(await gate.post(PLAIN))[0] for _ in range(6)]

        assert run(calls()) == [200] * 6


def test_who_waits_is_called_when_an_upstream_takes_calls_again(tmp_path):
    async def case():
        go = asyncio.Event()

        async def slow(request, connection):
            await go.wait()
            connection.respond(200, json.dumps({**ANSWER, "usage": USAGE}).encode())

        engines = Engine(slow), Engine(slow)
        async with front(tmp_path, *engines, upstream={"max_requests": 1}, queue={"longest": "30 s"}) as gate:
            gate.served[0].places[1].drain(True)
            asking = [asyncio.ensure_future(gate.post(PLAIN)) for _ in range(2)]
            while not gate.served[0].queue.length:
                await asyncio.sleep(0.002)
            gate.served[0].places[1].drain(False)
            while not engines[1].asked:
                await asyncio.sleep(0.002)
            go.set()
            return [(await one)[0] for one in asking]

    assert run(case()) == [200, 200]
