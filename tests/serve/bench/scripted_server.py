"""A server that answers as it is told, with known delays, and notes what it was asked and when."""

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


def chunk(text="word ", finish=None):
    return {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]}


def usage(prompt, output, cached=None):
    details = {} if cached is None else {"prompt_tokens_details": {"cached_tokens": cached}}
    return {"choices": [], "usage": {"prompt_tokens": prompt, "completion_tokens": output, **details}}


async def steady(server, body, say, *, ttft_s=0.03, tpot_s=0.005):
    """As many tokens as were asked for: the first after ``ttft_s``, the others ``tpot_s`` apart; then the usage."""
    await asyncio.sleep(ttft_s)
    for number in range(body["max_tokens"]):
        if number:
            await asyncio.sleep(tpot_s)
        await say(chunk(finish="length" if number + 1 == body["max_tokens"] else None))
    await say(usage(server.tokens_of(body), body["max_tokens"]))
    await say("[DONE]")


@dataclass
class Scripted:
    answer: object = steady  # async (server, body, say)
    tokenize: bool | str = False  # as vLLM does, or as "llama.cpp"
    template: int = 7  # tokens around a prompt
    split: tuple[str, ...] = ()  # words that are two tokens here
    asked: list = field(default_factory=list)  # (loop time, path, body, headers)
    port: int = 0

    def count(self, text):
        return sum(2 if word in self.split else 1 for word in text.split())

    def tokens_of(self, body):
        text = body["messages"][0]["content"] if "messages" in body else body["prompt"]
        return self.count(text) + (self.template if "messages" in body else 1)

    @property
    def requests(self):
        return [asked for asked in self.asked if "max_tokens" in asked[2]]

    async def serve(self, reader, writer):
        try:
            while line := await reader.readline():
                await self.one(line, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def one(self, line, reader, writer):
        _, path, _ = line.decode().split(" ")
        headers = {}
        while (header := await reader.readline()) != b"\r\n":
            name, _, value = header.decode().partition(":")
            headers[name.lower()] = value.strip()
        data = await reader.readexactly(int(headers.get("content-length", 0)))
        body = json.loads(data) if data else {}
        self.asked.append((asyncio.get_running_loop().time(), path, body, headers))
        if "max_tokens" in body:
            await self.stream(body, writer)
        else:
            plain(writer, *self.side(path, body))
        await writer.drain()

    def side(self, path, body):
        if path == "/v1/models":
            return 200, {"data": [{"id": "scripted-7b"}]}
        if path == "/tokenize" and self.tokenize == "llama.cpp":
            return 200, {"tokens": [0] * self.count(body.get("content", ""))}
        if path == "/apply-template" and self.tokenize == "llama.cpp":
            return 200, {"prompt": f"{'t ' * self.template}{body['messages'][0]['content']}"}
        if path == "/tokenize" and self.tokenize:
            return 200, {"count": self.tokens_of(body)}
        return 404, {"error": {"message": "not here"}}

    async def stream(self, body, writer):
        begun = False

        async def say(event):
            nonlocal begun
            if isinstance(event, tuple):  # (status, body) instead of a stream
                plain(writer, *event)
                begun = True
                return
            if event == "close":
                writer.transport.abort()
                raise ConnectionError
            if not begun:
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
                )
                begun = True
            data = event.encode() if isinstance(event, str) else json.dumps(event).encode()
            line = b"data: " + data + b"\n\n"
            writer.write(b"%x\r\n" % len(line) + line + b"\r\n")
            if event == "[DONE]":
                writer.write(b"0\r\n\r\n")

        await self.answer(self, body, say)


def plain(writer, status, body):
    data = json.dumps(body).encode()
    writer.write(
        b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (status, len(data)) + data
    )


@asynccontextmanager
async def serving(server):
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        listener.close()
