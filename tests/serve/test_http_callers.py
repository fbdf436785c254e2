"""Callers who do not read, who send without end, who leave: what they can make a server keep, and for how long."""

import asyncio
import json
import random
import socket
import struct
from contextlib import asynccontextmanager

import pytest
from live_gateway import CHAT, Engine, call, front, parsed, run

from tokenworks.serve.access.keys import KeyRing, add
from tokenworks.serve.http.limits import Limits
from tokenworks.serve.http.reading import SMALL_BODY_BYTES
from tokenworks.serve.http.server import MOST_AHEAD_BYTES, PIECE_BYTES
from tokenworks.serve.start import listen

QUICK = Limits(head_s=0.3, body_s=0.3, idle_s=0.3, stalled_s=0.3)
PAGE = b"GET /%d HTTP/1.1\r\nHost: t\r\n\r\n"
A_READ = 1 << 18  # bytes that a transport hands over at most


class Pages:
    """Answers with the request's path, its body and so many bytes, ``later_s`` later, and keeps count."""

    draining = False

    def __init__(self, size, later_s=None):
        self.size, self.later_s, self.seen, self.gone = size, later_s, 0, 0

    def handle(self, request, connection):
        self.seen += 1
        connection.listener = self
        body = request.path + b" " + request.body + b"." * self.size + b"\n"
        if self.later_s is None:
            connection.respond(200, body)
        else:
            asyncio.get_running_loop().call_later(self.later_s, connection.respond, 200, body)

    def client_gone(self):
        self.gone += 1

    def hold(self): ...

    def resume(self): ...


@asynccontextmanager
async def serving(app, limits=QUICK):
    listening = await listen(app, limits, "127.0.0.1", 0)
    listening.sweep.stop()
    listening.sweep._interval_s = 0.05
    listening.sweep.start()
    try:
        yield listening
    finally:
        await listening.drain(0.0)
        listening.sweep.stop()


async def until(done):
    for _ in range(500):
        if done():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come to that")


async def unread(port, data):
    """A caller with a small buffer who has sent it."""
    caller = socket.socket()
    caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    caller.connect(("127.0.0.1", port))
    caller.setblocking(False)
    await asyncio.get_running_loop().sock_sendall(caller, data)
    return caller


def pages(caller, count):
    """Numbers of the pages that come."""
    caller.settimeout(20)
    found = []
    with caller.makefile("rb") as stream:
        while len(found) < count:
            line = stream.readline()
            if line.startswith(b"/"):
                found.append(int(line[1:].partition(b" ")[0]))
    return found


def test_nobody_is_answered_on_while_he_does_not_read():
    """Neither pages nor requests pile up, and whoever reads at last gets all that he asked for."""
    count = 4000

    async def case():
        app = Pages(10_000)
        async with serving(app, Limits()) as listening:
            caller = await unread(listening.port, b"".join(PAGE % n for n in range(count)))
            await until(lambda: any(c._held for c in listening._connections()))
            await asyncio.sleep(0.1)
            (connection,) = listening._connections()
            buffered = connection.transport.get_write_buffer_size()
            kept = app.seen, buffered, len(connection._waiting), len(connection._ahead)
            came = await asyncio.to_thread(pages, caller, count)
            caller.close()
            return kept, came

    (seen, buffered, waiting, ahead), came = run(case())
    assert seen < count
    assert buffered < 2 * Limits().buffered_bytes
    assert waiting <= PIECE_BYTES // len(PAGE % 0)
    assert ahead <= MOST_AHEAD_BYTES + A_READ
    assert came == list(range(count))


CLOSE = b"GET /0 HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"
UNREAD = {  # (what is sent, what is kept of an answer before its caller counts as one who does not read)
    "many answers": (PAGE % 0 * 100, 65_536),
    "an answer after which the connection closes": (CLOSE, 65_536),
    "such an answer that is buffered in whole": (CLOSE, 1 << 30),
    "an answer that is buffered in whole": (PAGE % 0, 1 << 30),
}


@pytest.mark.parametrize("name", UNREAD)
def test_a_connection_whose_caller_does_not_read_ends(name):
    data, buffered = UNREAD[name]

    async def case():
        limits = Limits(head_s=0.3, idle_s=0.3, stalled_s=0.3, buffered_bytes=buffered)
        async with serving(Pages(20_000_000), limits) as listening:
            caller = await unread(listening.port, data)
            await until(lambda: listening.sweep.members)
            await until(lambda: not listening.sweep.members)
            caller.close()

    run(case())


def test_who_has_ended_his_side_and_does_not_read_is_dropped():
    async def case():
        async with serving(Pages(20_000_000), Limits(stalled_s=0.3, buffered_bytes=1 << 30)) as listening:
            caller = await unread(listening.port, PAGE % 0)
            caller.shutdown(socket.SHUT_WR)
            await until(lambda: listening.sweep.members)
            await until(lambda: not listening.sweep.members)
            caller.close()

    run(case())


def test_bytes_that_come_renew_no_deadline_of_a_caller_who_does_not_read():
    async def case():
        app = Pages(20_000_000)
        async with serving(app) as listening:
            caller = await unread(listening.port, PAGE % 0)
            await until(lambda: any(c._held for c in listening._connections()))
            for _ in range(60):  # 3 s, ten times the deadline
                if not listening.sweep.members:
                    break
                caller.send(PAGE % 1)
                await asyncio.sleep(0.05)
            caller.close()
            return app.seen, len(listening.sweep.members)

    assert run(case()) == (1, 0)


@pytest.mark.parametrize("requests", [1, 2, 5])
def test_a_caller_who_leaves_is_noticed_whatever_he_has_sent_besides(requests):
    async def case():
        app = Pages(1, later_s=30.0)
        async with serving(app, Limits()) as listening:
            caller = await unread(listening.port, PAGE % 0)
            await until(lambda: app.seen)
            for n in range(1, requests):
                caller.send(PAGE % n)
                await asyncio.sleep(0.01)
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            caller.close()  # with a reset
            await until(lambda: app.gone)
            return app.seen, len(listening.sweep.members)

    assert run(case()) == (1, 0)


@pytest.mark.parametrize("later_s", [None, 0.0])
@pytest.mark.parametrize("seed", range(3))
def test_requests_in_packets_of_any_size_are_answered_in_their_order(later_s, seed):
    """Small ones and large ones, more than is read ahead."""
    dice = random.Random(seed)
    bodies = [bytes([97 + n % 26]) * dice.choice([0, 5, 300, 20_000, 70_000]) for n in range(150)]
    data = b"".join(
        b"POST /%d HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n%b" % (n, len(body), body)
        for n, body in enumerate(bodies)
    )

    async def case():
        async with serving(Pages(1, later_s), Limits()) as listening:
            reader, writer = await asyncio.open_connection("127.0.0.1", listening.port, limit=1 << 20)

            async def send():
                place = 0
                while place < len(data):
                    size = dice.choice([1, 100, 17_000, 300_000])
                    writer.write(data[place : place + size])
                    await writer.drain()
                    place += size

            sending = asyncio.create_task(send())
            answers = []
            for _ in bodies:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.partition(b"Content-Length: ")[2].split(b"\r\n")[0])
                answers.append(await reader.readexactly(length))
            await sending
            writer.close()
            return answers

    assert run(case()) == [b"/%d %b.\n" % (n, body) for n, body in enumerate(bodies)]


CHUNKED = b"POST /0 HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"
ENDLESS = {
    "trailers": (b"0\r\n", lambda n: b"%x:\r\n" % n),
    "one trailer": (b"0\r\nx: ", lambda n: b"y" * 10),
    "extensions of a chunk": (b"1;", lambda n: b"x=y;" * 3),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_what_comes_after_a_body_is_bounded_as_a_head_is(name):
    begin, more = ENDLESS[name]

    async def case():
        async with serving(Pages(1), Limits()) as listening:
            reader, writer = await asyncio.open_connection("127.0.0.1", listening.port)
            writer.write(CHUNKED + begin)
            for n in range(20_000):
                writer.write(more(n))
            answer = asyncio.create_task(reader.read())
            await until(lambda: any(c._closing for c in listening._connections()))
            (connection,) = listening._connections()
            headers = len(connection._headers)
            writer.close()
            return headers, (await answer)

    headers, came = run(case())
    assert headers == 0
    assert came.startswith(b"HTTP/1.1 413 ")


LARGE = 15_000_000
SHAPES = {CHAT: b'{"error":{"message":"no valid API key', "/v1/messages": b'{"type":"error","error":{"type":"auth'}


@asynccontextmanager
async def keyed(tmp_path):
    """A gateway with keys, and the words that show one."""
    _, text = add(tmp_path / "keys", "acme")
    async with front(tmp_path, Engine(), ring=KeyRing(tmp_path / "keys")) as gate:
        yield gate, f"Authorization: Bearer {text}"


def head_of(path, size):
    return f"POST {path} HTTP/1.1\r\nHost: t\r\nContent-Length: {size}\r\n\r\n".encode()


@pytest.mark.parametrize("path", SHAPES)
def test_no_large_body_is_kept_of_a_caller_without_a_key(tmp_path, path):
    async def case():
        async with keyed(tmp_path) as (gate, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
            writer.write(head_of(path, LARGE) + b"x" * (SMALL_BODY_BYTES + 1))
            early = parsed(await asyncio.wait_for(reader.read(), 10))  # while most of it is still to come
            (connection,) = gate.listening._connections()
            for _ in range(10):
                writer.write(b"x" * 1_000_000)
                await writer.drain()
            kept = sum(map(len, connection._pieces))
            writer.close()
            return early, kept

    (status, headers, body), kept = run(case())
    assert (status, headers["connection"]) == (401, "close")
    assert body.startswith(SHAPES[path])
    assert kept <= SMALL_BODY_BYTES


def test_such_a_caller_may_end_his_body_before_he_reads_the_answer(tmp_path):
    """As many clients do, who would else see a reset."""

    def ask(port):
        with socket.create_connection(("127.0.0.1", port), 10) as caller:
            caller.sendall(head_of(CHAT, LARGE) + b"x" * LARGE)
            with caller.makefile("rb") as answer:
                return parsed(answer.read())

    async def case():
        async with keyed(tmp_path) as (gate, _):
            return await asyncio.to_thread(ask, gate.port)

    status, _, body = run(case())
    assert status == 401
    assert body.startswith(SHAPES[CHAT])


def test_a_large_body_of_a_caller_with_a_key_is_taken_and_of_no_other_path(tmp_path):
    async def case():
        async with keyed(tmp_path) as (gate, shown):
            large = json.dumps({"model": "chat", "messages": [{"role": "user", "content": "x" * LARGE}]}).encode()
            taken = await call(gate.port, "POST", CHAT, large, [shown])
            others = [await call(gate.port, "POST", path, large, [shown]) for path in ("/v1/models", "/nothing")]
            return taken[0], [status for status, _, _ in others], len(gate.engines[0].asked)

    assert run(case()) == (200, [413, 413], 1)
