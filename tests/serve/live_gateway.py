"""A gateway over scripted engines on real sockets, in the test's own event loop."""

import asyncio
import json
from contextlib import asynccontextmanager

from tokenworks.api import load
from tokenworks.ledger import Ledger
from tokenworks.serve.building import services_of, upstreams_of
from tokenworks.serve.http.limits import Limits
from tokenworks.serve.start import gateway, listen

CHUNK = b'data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"w"}}]}\n\n'
USAGE = {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14}
USAGE_CHUNK = (
    b'data: {"id":"c","object":"chat.completion.chunk","choices":[],"usage":%b}\n\n' % json.dumps(USAGE).encode()
)
DONE = b"data: [DONE]\n\n"
ANSWER = {
    "id": "c",
    "object": "chat.completion",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
}
CHAT = "/v1/chat/completions"


def run(coroutine, most_s=60):
    return asyncio.run(asyncio.wait_for(coroutine, most_s))


class Engine:
    """Answers as ``script(request, connection)`` says; by default as an engine that works. Keeps what it was asked."""

    draining = False

    def __init__(self, script=None):
        self.script, self.asked, self.gone = script or self.works, [], 0

    def handle(self, request, connection):
        self.asked.append(request)
        connection.listener = self
        made = self.script(request, connection)
        if made is not None:
            self.task = asyncio.get_running_loop().create_task(made)

    def works(self, request, connection):
        body = json.loads(request.body)
        if not body.get("stream"):
            connection.respond(200, json.dumps({**ANSWER, "model": body["model"], "usage": USAGE}).encode())
            return
        connection.begin(200, b"text/event-stream")
        for _ in range(3):
            connection.chunk(CHUNK)
        if (body.get("stream_options") or {}).get("include_usage"):
            connection.chunk(USAGE_CHUNK)
        connection.finish(DONE)

    def client_gone(self):
        self.gone += 1

    def hold(self): ...

    def resume(self): ...


class Front:
    """A running gateway with its engines and its ledger."""

    def __init__(self, listening, engines, ledger):
        self.listening, self.engines, self.ledger, self.port = listening, engines, ledger, listening.port
        self.url = f"http://127.0.0.1:{listening.port}/v1"
        self.served = listening.app.services

    async def post(self, body, path=CHAT, headers=()):
        return await call(
            self.port, "POST", path, json.dumps(body).encode() if isinstance(body, dict) else body, headers
        )

    async def get(self, path, headers=()):
        return await call(self.port, "GET", path, b"", headers)

    async def events(self, count):
        """Usage events as soon as there are so many."""
        for _ in range(500):
            rows = self.ledger.usage_table().to_pylist()
            if len(rows) >= count:
                return rows
            await asyncio.sleep(0.01)
        raise AssertionError(f"{len(rows)} events, not {count}")


@asynccontextmanager
async def front(tmp_path, *engines, ring=None, upstream=None, place=None, **serve):
    """Each engine becomes an upstream of the service ``chat``. ``upstream``: more of them, or a function of the address.
    ``place``: of the ledger, where it is no file."""
    more = upstream if callable(upstream) else lambda url: upstream or {}
    async with several(engines) as ports:
        rows = [{"service": "chat", "url": url, **more(url)} for url in (f"http://127.0.0.1:{p}" for p in ports)]
        routing = serve.pop("routing", "round-robin")
        factory = load("laptop").replace_all(
            {"serve": {"upstreams": rows, "drain": "200 ms", **serve}, "services.chat.routing": routing}
        )
        with Ledger.open(place or tmp_path / "ledger.db") as ledger:
            async with gateway(
                factory, services_of(factory, upstreams_of(factory)), ledger, ring, "127.0.0.1", 0
            ) as listening:
                yield Front(listening, engines, ledger)


@asynccontextmanager
async def several(engines):
    listening = [await listen(engine, Limits(), "127.0.0.1", 0) for engine in engines]
    try:
        yield [one.port for one in listening]
    finally:
        for one in listening:
            await one.drain(0.0)
            one.sweep.stop()


async def call(port, method, path, body=b"", headers=()):
    """(status, headers, body) of one request on a connection of its own; (0, {}, what came) where the answer is not whole."""
    lines = [f"{method} {path} HTTP/1.1", "Host: t", "Connection: close", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return parsed(await exchange(port, "\r\n".join([*lines, "", ""]).encode() + body))


async def exchange(port, data):
    """All that comes back until the other side closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


def parsed(data):
    head, _, rest = data.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    headers = {k.lower().decode(): v.strip().decode() for k, _, v in (line.partition(b":") for line in lines[1:])}
    status = int(lines[0].split()[1]) if lines[0].startswith(b"HTTP/1.1 ") else 0
    if headers.get("transfer-encoding") == "chunked":
        body, whole = unchunked(rest)
        return (status if whole else 0), headers, body
    return (status if len(rest) == int(headers.get("content-length", -1)) else 0), headers, rest


def unchunked(data):
    """(body, whether its end came)."""
    out = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        count = int(size, 16)
        if count == 0:
            return out, data == b"\r\n"
        out, data = out + data[:count], data[count + 2 :]
    return out, False
