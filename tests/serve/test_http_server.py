"""The server's protocol on real sockets: what it refuses, what it survives, what it keeps in order."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from live_gateway import exchange, parsed, run

from tokenworks.serve.http.limits import Limits
from tokenworks.serve.start import listen

SMALL = Limits(head_bytes=2048, headers=20, body_bytes=4096, head_s=0.3, body_s=0.3, idle_s=0.6, stalled_s=0.3)


class Echo:
    """Answers a request with its path and body; keeps count."""

    draining = False

    def __init__(self):
        self.seen = []

    def handle(self, request, connection):
        self.seen.append((request.method, request.path, request.body))
        connection.respond(200, request.path + b" " + request.body, b"text/plain")


async def asked(data, limits=SMALL, app=None):
    """(what came back, what the application saw)."""
    app = app or Echo()
    listening = await listen(app, limits, "127.0.0.1", 0)
    try:
        return await asyncio.wait_for(exchange(listening.port, data), 10), app.seen
    finally:
        await listening.drain(0.0)
        listening.sweep.stop()


def post(*lines, body=b""):
    return "\r\n".join(["POST /a HTTP/1.1", "Host: t", *lines, "", ""]).encode() + body


SECOND = b"GET /smuggled HTTP/1.1\r\nHost: t\r\n\r\n"
SMUGGLING = {
    "length and chunked": post("Content-Length: 4", "Transfer-Encoding: chunked", body=b"0\r\n\r\n" + SECOND),
    "chunked and length": post("Transfer-Encoding: chunked", "Content-Length: 4", body=b"0\r\n\r\n" + SECOND),
    "length twice": post("Content-Length: 0", "Content-Length: 36", body=SECOND),
    "length twice, equal": post("Content-Length: 0", "Content-Length: 0", body=SECOND),
    "list of lengths": post("Content-Length: 0, 36", body=SECOND),
    "signed length": post("Content-Length: +0", body=SECOND),
    "hexadecimal length": post("Content-Length: 0x0", body=SECOND),
    "negative length": post("Content-Length: -1", body=SECOND),
    "blank before the colon": post("Content-Length : 36", body=SECOND),
    "folded header": post("X-A: b", " Content-Length: 36", body=SECOND),
    "unknown coding": post("Transfer-Encoding: xchunked", body=SECOND),
    "coding twice": post("Transfer-Encoding: chunked", "Transfer-Encoding: identity", body=b"0\r\n\r\n" + SECOND),
    "list of codings": post("Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n" + SECOND),
    "coding with a vertical tab": post("Transfer-Encoding: \x0bchunked", body=b"0\r\n\r\n" + SECOND),
    "chunked in HTTP/1.0": post("Transfer-Encoding: chunked", body=b"0\r\n\r\n" + SECOND).replace(b"HTTP/1.1", b"HTTP/1.0", 1),
    "hexadecimal mark in a chunk size": post("Transfer-Encoding: chunked", body=b"0x1\r\na\r\n0\r\n\r\n" + SECOND),
    "negative chunk size": post("Transfer-Encoding: chunked", body=b"-1\r\na\r\n0\r\n\r\n" + SECOND),
    "blank after a chunk size": post("Transfer-Encoding: chunked", body=b"1 \r\na\r\n0\r\n\r\n" + SECOND),
    "chunk size beyond 64 bits": post("Transfer-Encoding: chunked", body=b"f" * 17 + b"\r\na\r\n0\r\n\r\n" + SECOND),
    "chunk longer than its size": post("Transfer-Encoding: chunked", body=b"1\r\nab\r\n0\r\n\r\n" + SECOND),
    "chunk lines that end in LF": post("Transfer-Encoding: chunked", body=b"1\na\n0\n\n" + SECOND),
    "lines that end in LF": b"POST /a HTTP/1.1\nHost: t\nContent-Length: 36\n\n" + SECOND,
    "a bare CR in a header": post("X-A: b\rContent-Length: 36", body=SECOND),
    "a NUL in a header": post("X-A: b\0c", body=SECOND),
    "host twice": post("Host: other", body=SECOND),
    "no host": b"POST /a HTTP/1.1\r\nContent-Length: 0\r\n\r\n" + SECOND,
    "HTTP/0.9": b"GET /a\r\n\r\n" + SECOND,
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SECOND,
    "an upgrade": post("Connection: upgrade", "Upgrade: h2c", body=SECOND),
    "a tunnel": b"CONNECT other:443 HTTP/1.1\r\nHost: other\r\n\r\n" + SECOND,
    "a length in a trailer": post("Transfer-Encoding: chunked", body=b"0\r\nContent-Length: 36\r\n\r\n" + SECOND),
}  # fmt: skip


@pytest.mark.parametrize("name", SMUGGLING)
def test_what_two_readers_could_understand_differently_is_refused_and_nothing_after_it_is_read(name):
    came, seen = run(asked(SMUGGLING[name]))
    status, headers, body = parsed(came)
    assert seen == []
    assert status in (400, 505), came
    assert headers["connection"] == "close"
    assert body.startswith(b'{"error":{"message":')


def test_requests_in_one_packet_are_answered_one_after_the_other():
    data = b"".join(b"POST /%d HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\n%02d" % (i, i) for i in range(30))
    came, seen = run(asked(data + b"GET /last HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"))
    assert [path for _, path, _ in seen] == [b"/%d" % i for i in range(30)] + [b"/last"]
    assert [line for line in came.split(b"\r\n") if line.startswith(b"/")] == [
        *(b"/%d %02dHTTP/1.1 200 OK" % (i, i) for i in range(30)), b"/last "
    ]  # fmt: skip


def test_a_chunked_body_is_put_together():
    came, seen = run(
        asked(
            post(
                "Transfer-Encoding: chunked", "Connection: close", body=b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX: y\r\n\r\n"
            )
        )
    )
    assert seen == [(b"POST", b"/a", b"abcde")]
    assert parsed(came)[0] == 200


OVERSIZE = {
    "stated": (413, post("Content-Length: 4097")),
    "chunked": (
        413,
        post("Transfer-Encoding: chunked", body=b"800\r\n" + b"a" * 2048 + b"\r\n801\r\n" + b"a" * 2049 + b"\r\n"),
    ),
    "chunk extensions without end": (413, post("Transfer-Encoding: chunked", body=b"1;" + b"x" * 40_000)),
    "a header": (431, post("X-A: " + "b" * 3000)),
    "a header without end": (431, b"POST /a HTTP/1.1\r\nHost: t\r\nX-A: " + b"b" * 4000),
    "a path": (431, b"GET /" + b"a" * 3000 + b" HTTP/1.1\r\nHost: t\r\n\r\n"),
    "headers": (431, post(*(f"X-{i}: b" for i in range(30)))),
    "one header, again and again": (431, post(*["X-A: " + "b" * 100] * 30)),
}


@pytest.mark.parametrize("name", OVERSIZE)
def test_sizes_are_bounded(name):
    expected, data = OVERSIZE[name]
    came, seen = run(asked(data))
    assert (parsed(came)[0], seen) == (expected, [])


async def dripped(data, every_s):
    """Byte by byte; (what came back, whether it came before all was sent, what the application saw)."""
    app = Echo()
    listening = await listen(app, SMALL, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", listening.port)
    answer = asyncio.create_task(reader.read())
    for sent in range(len(data)):
        writer.write(data[sent : sent + 1])
        await asyncio.sleep(every_s)
        if answer.done():
            break
    came = await asyncio.wait_for(answer, 10)
    writer.close()
    await listening.drain(0.0)
    listening.sweep.stop()
    return came, sent + 1 < len(data), app.seen


@pytest.mark.parametrize(
    "data", [post("X-A: " + "b" * 500), post("Content-Length: 500", body=b"a" * 500)], ids=["head", "body"]
)
def test_a_slow_loris_does_not_hold_its_connection(data):
    """A byte now and then renews no deadline."""
    came, closed, seen = run(dripped(data, 0.02))
    assert closed
    assert seen == []
    assert parsed(came)[0] == 408


def test_a_connection_that_says_nothing_is_closed():
    came, seen = run(asked(b""))
    assert (came, seen) == (b"", [])


class Endless:
    """Streams until somebody stops it, and minds what it is told."""

    draining = False
    sent = 0
    held = gone = False

    def handle(self, request, connection):
        self.connection = connection
        connection.listener = self
        connection.begin(200, b"text/plain")
        self.more()

    def more(self):
        while not (self.held or self.gone):
            self.connection.chunk(b"x" * 10_000)
            self.sent += 10_000

    def hold(self):
        self.held = True

    def resume(self):
        self.held = False
        self.more()

    def client_gone(self):
        self.gone = True


def test_a_reader_who_does_not_read_holds_the_writer_and_is_dropped():
    async def case():
        app = Endless()
        listening = await listen(app, SMALL, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", listening.port, limit=1000)
        writer.write(post("Content-Length: 0"))
        for _ in range(200):
            await asyncio.sleep(0.02)
            if app.gone:
                break
        writer.close()
        await listening.drain(0.0)
        listening.sweep.stop()
        return app

    app = run(case())
    assert app.held
    assert app.gone
    assert app.sent < 20_000_000  # what the kernel's socket buffers hold, not what an engine could make


@settings(max_examples=150)
@given(st.binary(max_size=300), st.sampled_from(sorted(SMUGGLING)), st.integers(0, 200), st.integers(0, 255))
def test_bytes_of_any_kind_are_answered_or_the_connection_is_closed(noise, name, place, byte):
    """Noise, and attacks with a byte changed: never silence, never an exception."""
    changed = bytearray(SMUGGLING[name])
    changed[place % len(changed)] = byte

    async def case():
        troubles = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: troubles.append(context))
        app = Echo()
        listening = await listen(app, Limits(head_s=0.01, body_s=0.01, idle_s=0.01, body_bytes=4096), "127.0.0.1", 0)
        listening.sweep._interval_s = 0.01
        listening.sweep.stop()
        listening.sweep.start()
        for data in (noise, bytes(changed), post("Content-Length: 3", body=b"abc") + noise):
            came = await asyncio.wait_for(exchange(listening.port, data), 10)
            assert came == b"" or came.startswith(b"HTTP/1.1 ")
        await listening.drain(0.0)
        listening.sweep.stop()
        return troubles, listening.sweep.members

    troubles, members = run(case())
    assert troubles == []
    assert not members
