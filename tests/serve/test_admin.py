"""The admin API: for its own scope only, where it is switched on, and every change is audited."""

import asyncio
import json

import pytest
from live_gateway import CHUNK, DONE, USAGE_CHUNK, Engine, call, front, run

from tokenworks.errors import InputError
from tokenworks.serve.access.audit import verified
from tokenworks.serve.access.keys import KeyRing, add

PATHS = [
    ("GET", "upstreams"),
    ("GET", "keys"),
    ("POST", "upstreams/chat/0/drain"),
    ("POST", "upstreams/chat/0/undrain"),
]
CALL = {"model": "chat", "messages": []}


def keys(tmp_path):
    path = tmp_path / "keys.json"
    texts = {s: add(path, "acme", scopes=(s,))[1] for s in ("infer", "metrics", "admin")}
    return KeyRing(path), {s: [f"Authorization: Bearer {t}"] for s, t in texts.items()}


def actions(tmp_path):
    return [
        a
        for line in (tmp_path / "keys.json.audit").read_text().splitlines()
        if (a := json.loads(line))["action"].startswith("upstream")
    ]


async def ask(f, method, path, headers):
    status, _, body = await call(f.port, method, f"/admin/{path}", b"", headers)
    return status, json.loads(body)


@pytest.mark.parametrize(("method", "path"), PATHS)
def test_other_scopes_no_key_and_a_gateway_without_it_are_refused(tmp_path, method, path):
    ring, bearer = keys(tmp_path)

    async def calls():
        async with front(tmp_path, Engine(), ring=ring, admin=True) as f:
            found = [(await ask(f, method, path, bearer.get(s, [])))[0] for s in ("infer", "metrics", "nobody")]
            return found, f.served[0].router.breakers[0].drained

    async def off():
        async with front(tmp_path, Engine(), ring=ring) as f:
            return (await ask(f, method, path, bearer["admin"]))[0]

    assert run(calls()) == ([403, 403, 401], False)
    assert run(off()) == 404
    assert actions(tmp_path) == []


def test_an_admin_key_asks_no_model_and_sees_no_metrics(tmp_path):
    ring, bearer = keys(tmp_path)

    async def calls():
        async with front(tmp_path, Engine(), ring=ring, admin=True) as f:
            return (await f.post(CALL, headers=bearer["admin"]))[0], (await f.get("/v1/metrics", bearer["admin"]))[0]

    assert run(calls()) == (403, 403)


def test_a_drained_upstream_ends_its_work_and_gets_no_more_until_it_is_taken_back(tmp_path):
    ring, bearer = keys(tmp_path)
    go = asyncio.Event()

    async def slow(request, connection):
        connection.begin(200, b"text/event-stream")
        connection.chunk(CHUNK)
        await go.wait()
        connection.finish(CHUNK + USAGE_CHUNK + DONE)

    first, second = Engine(slow), Engine()

    async def calls():
        async with front(tmp_path, first, second, ring=ring, admin=True) as f:
            long = asyncio.create_task(f.post({**CALL, "stream": True}, headers=bearer["infer"]))
            while not first.asked:
                await asyncio.sleep(0.01)
            status, row = await ask(f, "POST", "upstreams/chat/0/drain", bearer["admin"])
            assert (status, row["drained"], row["up"], row["outstanding"]) == (200, True, False, 1)
            for _ in range(4):
                assert (await f.post(CALL, headers=bearer["infer"]))[0] == 200
            assert (len(first.asked), len(second.asked)) == (1, 4)
            go.set()
            assert (await long)[0] == 200
            await ask(f, "POST", "upstreams/chat/1/drain", bearer["admin"])
            assert (await f.post(CALL, headers=bearer["infer"]))[0] == 503
            assert (await f.get("/v1/health/ready"))[0] == 503
            await ask(f, "POST", "upstreams/chat/0/undrain", bearer["admin"])
            assert (await f.post(CALL | {"stream": True}, headers=bearer["infer"]))[0] == 200
            assert len(first.asked) == 2
            _, found = await ask(f, "GET", "upstreams", bearer["admin"])
            assert [(u["upstream"], u["drained"], u["outstanding"]) for u in found["upstreams"]] == [
                (0, False, 0),
                (1, True, 0),
            ]

    run(calls())
    assert [(a["action"], a["subject"]) for a in actions(tmp_path)] == [
        ("upstream.drain", "chat/0"), ("upstream.drain", "chat/1"), ("upstream.undrain", "chat/0"),
    ]  # fmt: skip
    admin = ring.keys[2].id
    assert {a["actor"] for a in actions(tmp_path)} == {f"key:{admin} of acme"}
    verified(tmp_path / "keys.json.audit")


def test_a_drained_upstream_stays_drained_whether_it_answers_or_fails():
    from tokenworks.serve.upstreams.breaker import Breaker, BreakerRules

    breaker = Breaker(BreakerRules(failures=1, pause_s=1.0))
    breaker.drained = True
    breaker.success()
    assert not breaker.closed
    breaker.failure(0.0)
    assert not breaker.may_try(100.0)
    breaker.drained = False
    assert breaker.may_try(100.0)  # what it did meanwhile is not forgotten


def test_keys_are_listed_without_their_hashes(tmp_path):
    ring, bearer = keys(tmp_path)

    async def calls():
        async with front(tmp_path, Engine(), ring=ring, admin=True) as f:
            return await ask(f, "GET", "keys", bearer["admin"])

    status, found = run(calls())
    assert status == 200
    assert [k["id"] for k in found["keys"]] == [k.id for k in ring.keys]
    assert not any(k.sha256 in json.dumps(found) for k in ring.keys)


def test_what_cannot_be_audited_is_not_done(tmp_path):
    ring, bearer = keys(tmp_path)

    async def calls():
        async with front(tmp_path, Engine(), ring=ring, admin=True, audit=str(tmp_path)) as f:
            status, said = await ask(f, "POST", "upstreams/chat/0/drain", bearer["admin"])
            return status, said["error"]["code"], f.served[0].router.breakers[0].drained

    assert run(calls()) == (503, "not_audited", False)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "upstreams", 405),
        ("GET", "upstreams/chat/0/drain", 405),
        ("POST", "upstreams/chat/1/drain", 404),
        ("POST", "upstreams/chat/-1/drain", 404),
        ("POST", "upstreams/chat/%30/drain", 404),
        ("POST", "upstreams/other/0/drain", 404),
        ("POST", "upstreams/chat/0/stop", 404),
    ],
)
def test_what_there_is_not(tmp_path, method, path, status):
    ring, bearer = keys(tmp_path)

    async def calls():
        async with front(tmp_path, Engine(), ring=ring, admin=True) as f:
            return (await ask(f, method, path, bearer["admin"]))[0]

    assert run(calls()) == status


def test_without_keys_there_is_no_admin_api(tmp_path):
    async def calls():
        async with front(tmp_path, Engine(), admin=True):
            raise AssertionError

    with pytest.raises(InputError, match=r"serve\.admin needs keys"):
        run(calls())
