"""What is changed in several gateway processes is changed in all of them: upstreams, keys, the factory file."""

import asyncio
import json
import re
import signal

from budget_books import Drawn, ask
from live_gateway import CHUNK, DONE, USAGE_CHUNK, Engine, call, run
from live_processes import desk, processes, until

from tokenworks.serve.access.audit import verified
from tokenworks.serve.access.keys import add, revoke

CALL = {"model": "chat", "messages": []}


class Waiting(Engine):
    """Streams wait until they are let go; whole answers come at once."""

    def __init__(self):
        super().__init__(self.wait)
        self.go, self.open = asyncio.Event(), 0

    async def wait(self, request, connection):
        if not json.loads(request.body).get("stream"):
            self.works(request, connection)
            return
        connection.begin(200, b"text/event-stream")
        connection.chunk(CHUNK)
        self.open += 1
        await self.go.wait()
        self.open -= 1
        connection.finish(CHUNK + USAGE_CHUNK + DONE)


def bearer(text):
    return [f"Authorization: Bearer {text}"]


def test_a_drain_holds_in_all_processes_and_in_those_that_follow_them(tmp_path):
    path = tmp_path / "keys.json"
    infer, admin = (bearer(add(path, "acme", scopes=(scope,))[1]) for scope in ("infer", "admin"))

    async def case():
        first, second = Waiting(), Waiting()

        async def asked(count):
            """Of the first engine, and statuses, while so many ask on connections of their own."""
            before = len(first.asked)
            statuses = {(await gate.post(CALL, infer))[0] for _ in range(count)}
            return len(first.asked) - before, statuses

        async def change(word):
            status, _, body = await call(gate.port, "POST", f"/admin/upstreams/chat/0/{word}", b"", admin)
            return status, json.loads(body)

        async def seen():
            status, _, body = await call(gate.port, "GET", "/admin/upstreams", b"", admin)
            return status, json.loads(body)["upstreams"]

        async with processes(tmp_path, first, second, more=("--keys", str(path)), serve=", admin: true") as gate:
            streams = [asyncio.create_task(gate.post({**CALL, "stream": True}, infer)) for _ in range(24)]
            await until(lambda: first.open + second.open == 24)
            status, row = await change("drain")
            assert status == 200, row
            assert (row["drained"], row["up"], row["outstanding"]) == (True, False, first.open)
            assert await asked(30) == (0, {200})
            await gate.kill_and_wait("gateway-0")
            assert await asked(30) == (0, {200})
            first.go.set()
            second.go.set()
            await asyncio.gather(*streams)
            await asyncio.sleep(0.8)  # pages are put down every half a second
            for _ in range(8):  # whoever answers
                status, rows = await seen()
                assert [(r["drained"], r["up"], r["outstanding"]) for r in rows] == [(True, False, 0), (False, True, 0)]
            status, row = await change("undrain")
            assert (status, row["drained"], row["up"]) == (200, False, True)
            assert await asked(30) == (30, {200})  # least-loaded takes the first of two that are idle, in each process
            assert await gate.stop() == 0

    run(case())
    lines = [json.loads(line) for line in (tmp_path / "keys.json.audit").read_text().splitlines()]
    changes = [(line["action"], line["subject"]) for line in lines if line["action"].startswith("upstream")]
    assert changes == [("upstream.drain", "chat/0"), ("upstream.undrain", "chat/0")]
    verified(tmp_path / "keys.json.audit")


def test_a_drain_stays_with_its_upstream_when_the_file_changes(tmp_path):
    path = tmp_path / "keys.json"
    infer, admin = (bearer(add(path, "acme", scopes=(scope,))[1]) for scope in ("infer", "admin"))

    async def case():
        first, second = Engine(), Engine()
        serve = ", admin: true"
        async with processes(tmp_path, first, second, more=("--keys", str(path)), serve=serve) as gate:
            assert (await call(gate.port, "POST", "/admin/upstreams/chat/0/drain", b"", admin))[0] == 200
            desk(tmp_path, gate.ports[::-1], serve)
            gate.process.send_signal(signal.SIGHUP)
            await until(lambda: gate.said("took over") == 2)
            await gate.kill_and_wait("gateway-0")
            statuses = {(await gate.post(CALL, infer))[0] for _ in range(20)}
            _, _, body = await call(gate.port, "GET", "/admin/upstreams", b"", admin)
            return statuses, len(first.asked), len(second.asked), json.loads(body)["upstreams"], gate.ports

    statuses, asked, others, rows, ports = run(case())
    assert (statuses, asked, others) == ({200}, 0, 20)
    assert [(row["url"].rpartition(":")[2], row["drained"]) for row in rows] == [
        (str(ports[1]), False),
        (str(ports[0]), True),
    ]


def test_keys_and_their_limits_reach_all_processes(tmp_path):
    path = tmp_path / "keys.json"
    key, text = add(path, "acme")

    async def case():
        async with processes(tmp_path, Engine(), more=("--keys", str(path))) as gate:

            async def statuses(headers):
                return {(await gate.post(CALL, headers))[0] for _ in range(20)}

            before = await statuses(bearer(text))
            limited = bearer(add(path, "acme", concurrency=1, rpm=3)[1])
            revoke(path, key.id)
            await asyncio.sleep(1.5)  # each looks once a second
            passed = [(await gate.post(CALL, limited))[0] for _ in range(20)].count(200)
            return before, await statuses(bearer(text)), passed

    before, after, passed = run(case())
    assert (before, after) == ({200}, {401})
    assert passed == 6  # three in each of two processes


def test_another_budget_in_the_file_is_taken_over_by_none_not_by_a_successor_either(tmp_path):
    serve = ", bounds: [{{service: chat, template_tokens: 64}}], budgets: [{{name: t, per: tenant, tokens: {}}}]"

    async def case():
        async with processes(tmp_path, Drawn(), serve=serve.format(10_000)) as gate:
            desk(tmp_path, gate.ports, serve.format(90_000))
            gate.process.send_signal(signal.SIGHUP)
            await until(lambda: gate.said("limits and budgets change at a new start alone"))
            await gate.kill_and_wait("gateway-0")
            await gate.kill_and_wait("gateway-1")
            answers = [await gate.post(ask("hi", 5)) for _ in range(6)]
            return [a[1].get("x-tokenworks-budget-remaining") for a in answers]

    left = run(case())
    assert all(int(re.match(r"t=(\d+) tokens", said)[1]) < 10_000 for said in left)
    assert (tmp_path / "err.txt").read_text().count("not taken over") == 1  # said once, by the supervisor
