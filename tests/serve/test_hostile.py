"""Hostile callers over real sockets: nothing hangs, leaks or crashes, and no answer of 5xx is of the gateway's making."""

import asyncio
import gc
import json
import logging
import os
import random

import hostile
import pytest
from live_gateway import CHAT, Engine, call, exchange, front, run

PATHS = {
    "/v1/messages": {"model": "chat", "max_tokens": 9, "messages": hostile.SAID},
    "/v1/responses": {"model": "chat", "input": "hi"},
    CHAT: {"model": "chat", "messages": hostile.SAID},
}


def sockets():
    return sum(
        os.path.exists(f"/proc/self/fd/{n}") and "socket" in os.readlink(f"/proc/self/fd/{n}")
        for n in os.listdir("/proc/self/fd")
    )


async def settled(gate, before):
    """Waits until all that callers began is over."""
    for _ in range(1000):
        busy = sum(c.busy for c in gate.listening._connections())
        if not busy and not gate.listening.sweep.members and gate.served[0].metrics.active == 0:
            break
        await asyncio.sleep(0.01)
    assert gate.served[0].router.outstanding == [0]
    assert gate.served[0].metrics.active == 0
    assert not gate.listening.sweep.members
    await gate.listening.app.meter.settle()


def stormed(tmp_path, count, caplog):
    caplog.set_level(logging.CRITICAL)

    async def case():
        troubles = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: troubles.append(context))
        async with front(tmp_path, Engine()) as gate:
            before = sockets()
            found, silent = await hostile.storm(gate.port, count, 1)
            await settled(gate, before)
            gc.collect()
            kept = sockets() - before
            usual = await call(gate.port, "POST", CHAT, json.dumps(PATHS[CHAT]).encode())
            pool = gate.served[0].router.upstreams[0].pool
            return found, silent, troubles, kept - 2 * len(pool._idle), usual[0], gate.listening.app.meter.lost

    return asyncio.run(asyncio.wait_for(case(), 3000))


def check(found):
    answers, silent, troubles, kept, usual, lost = found
    assert troubles == []  # nothing was raised
    assert [status for status in answers if status >= 500 and status != 505] == []
    assert {200, 400, 404, 405} <= set(answers)
    assert kept <= 0  # sockets but for kept connections to the engine, of which both ends are ours
    assert (usual, lost) == (200, 0)
    return f"{sum(answers.values()):,} answers, by status {dict(sorted(answers.items()))}; {silent:,} connections closed without one"


def test_mutated_requests_are_answered_or_their_connection_is_closed(tmp_path, caplog):
    check(stormed(tmp_path, 3000, caplog))


@pytest.mark.prove
def test_a_hundred_thousand_fuzzed_requests(tmp_path, caplog, record_property):
    record_property("figure", check(stormed(tmp_path, 100_000, caplog)))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("streams", [True, False])
def test_a_caller_may_leave_at_any_byte(tmp_path, path, streams, caplog):
    """Of his request, and of the answer: nothing stays behind, and a call that reached the engine is an event."""
    caplog.set_level(logging.CRITICAL)
    body = json.dumps({**PATHS[path], "stream": streams}).encode()
    data = b"POST %b HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (
        path.encode(),
        len(body),
        body,
    )

    async def case():
        troubles = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: troubles.append(context))
        async with front(tmp_path, Engine()) as gate:
            whole = len(await exchange(gate.port, data))
            for sent in range(len(data)):
                _, writer = await asyncio.open_connection("127.0.0.1", gate.port)
                writer.write(data[:sent])
                writer.transport.abort()
            for got in range(0, whole, 7):
                reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
                writer.write(data)
                await reader.readexactly(got)
                writer.transport.abort()
            await settled(gate, 0)
            return troubles, len(gate.engines[0].asked), gate.ledger.usage_table().num_rows

    troubles, asked, events = run(case())
    assert troubles == []
    assert events == asked >= 10


@pytest.mark.parametrize("path", PATHS)
def test_an_answer_is_cut_wherever_the_engine_likes(tmp_path, path):
    """The engine dies at any byte of its stream: never an answer that looks finished."""
    whole = b"".join(
        [b'data: {"choices":[{"index":0,"delta":{"content":"w"},"finish_reason":null}]}\n\n'] * 2
        + [b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n']
    )

    async def case():
        left = [0]

        def dying(request, connection):
            connection.begin(200, b"text/event-stream")
            if left[0]:
                connection.chunk(whole[: left[0]])
            asyncio.get_running_loop().call_later(0.001, connection.transport.close)

        found = []
        async with front(tmp_path, Engine(dying), failures=1000, retries=0) as gate:
            for left[0] in range(0, len(whole), 5):
                found.append(await gate.post({**PATHS[path], "stream": True}, path))
            return found

    for status, _, body in run(case()):
        assert status in (0, 502)
        assert b"message_stop" not in body
        assert b"response.completed" not in body
        assert b"[DONE]" not in body


def test_deeply_nested_bodies_are_refused(tmp_path):
    async def case():
        async with front(tmp_path, Engine(), upstream={"serves": ["responses", "messages"]}) as gate:
            return [
                (await gate.post(json.dumps(body).encode()[:-1] + b',"x":' + b"[" * depth + b"]" * depth + b"}", path))[
                    0
                ]
                for path, body in PATHS.items()
                for depth in (20_000, 500_000)
            ]

    assert set(run(case())) == {400}


def test_an_answer_to_head_has_no_body(tmp_path):
    """A body after it would be taken for the answer to the next request."""

    async def case():
        async with front(tmp_path, Engine()) as gate:
            data = b"HEAD /v1/models HTTP/1.1\r\nHost: t\r\n\r\nGET /v1/health/live HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"
            return await exchange(gate.port, data)

    first, _, rest = run(case()).partition(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 200 ")
    assert rest.startswith(b"HTTP/1.1 200 ")


def test_the_storm_has_all_kinds_of_weather():
    """The generator itself: valid requests and broken ones of every path."""
    dice = random.Random(3)
    made = [hostile.request(dice) for _ in range(2000)]
    for _, path, _ in hostile.VALID:
        assert sum(path.encode() in data for data in made) > 50
    assert sum(b"\r\n\r\n" not in data or data.count(b"\n") != data.count(b"\r") for data in made) > 100
