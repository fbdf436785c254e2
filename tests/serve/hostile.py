"""Requests as nobody should send them: valid ones of every path, mutated; connections that are cut at any byte."""

import asyncio
import copy
import json
import random

SAID = [{"role": "user", "content": "hi"}]
VALID = [
    ("POST", "/v1/chat/completions", {"model": "chat", "messages": SAID, "stream": True, "stream_options": {"include_usage": True}}),
    ("POST", "/v1/chat/completions", {"model": "chat", "messages": SAID, "n": 2, "stop": ["x"], "seed": 7, "user": "u"}),
    ("POST", "/v1/completions", {"model": "chat", "prompt": "hi", "stream": True}),
    ("POST", "/v1/embeddings", {"model": "chat", "input": ["hi", "ho"]}),
    ("POST", "/v1/responses", {"model": "chat", "input": [{"role": "user", "content": [{"type": "input_text", "text": "hi"}]}], "tools": [{"type": "function", "name": "f", "parameters": {}}], "text": {"format": {"type": "json_object"}}, "stream": True}),
    ("POST", "/v1/responses", {"model": "chat", "input": "hi", "reasoning": {"effort": "low"}, "metadata": {"a": "b"}}),
    ("POST", "/v1/messages", {"model": "chat", "max_tokens": 9, "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}], "tools": [{"name": "f", "input_schema": {}}], "stream": True}),
    ("POST", "/v1/messages", {"model": "chat", "max_tokens": 9, "system": "s", "messages": SAID, "metadata": {"user_id": "u"}}),
    ("POST", "/v1/messages/count_tokens", {"model": "chat", "messages": SAID}),
    ("GET", "/v1/models", None), ("GET", "/v1/models/chat", None), ("GET", "/v1/metrics", None), ("GET", "/openapi.json", None),
    ("GET", "/v1/health/ready", None), ("GET", "/v1/manifest", None),
]  # fmt: skip
ODD = [
    None,
    True,
    -1,
    0,
    2**63,
    2**200,
    1e308,
    "",
    "\0",
    "\ud800",
    "chat",
    "x" * 5000,
    [],
    {},
    [[]],
    {"type": "text"},
    {"a": {"b": []}},
]
DEEP = b"[" * 3000 + b"]" * 3000


def request(dice):
    """A valid request's bytes, or a mutation of it."""
    method, path, body = dice.choice(VALID)
    if body is not None and dice.random() < 0.6:
        body = json.loads(json.dumps(body))
        for _ in range(dice.randint(1, 3)):
            mutate_json(dice, body)
    if dice.random() < 0.02:
        method = dice.choice(["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "POST"])
    text = b"" if body is None else json.dumps(body).encode()
    if text and dice.random() < 0.02:
        text = text.replace(b'"hi"', DEEP, 1)
    head = [f"{method} {path} HTTP/1.1", "Host: t"]
    if text and dice.random() < 0.2:
        head.append("Transfer-Encoding: chunked")
        text = chunked(dice, text)
    elif text:
        head.append(f"Content-Length: {len(text)}")
    data = "\r\n".join([*head, "", ""]).encode() + text
    return mutate_bytes(dice, data) if dice.random() < 0.4 else data


def chunked(dice, text):
    out, place = b"", 0
    while place < len(text):
        size = dice.randint(1, 60)
        piece = text[place : place + size]
        out, place = out + b"%x\r\n%b\r\n" % (len(piece), piece), place + size
    return out + b"0\r\n\r\n"


def mutate_json(dice, value):
    """Changes one thing somewhere in it."""
    while True:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        if not keys:
            return
        key = dice.choice(keys)
        if isinstance(value[key], dict | list) and value[key] and dice.random() < 0.6:
            value = value[key]
            continue
        if isinstance(value, dict) and dice.random() < 0.2:
            value[dice.choice(["", "\0", key.upper(), "type", "model", "x" * 300, "store"])] = value.pop(key)
        elif dice.random() < 0.15:
            value.pop(key)
        else:
            value[key] = copy.deepcopy(dice.choice(ODD))
        return


def mutate_bytes(dice, data):
    out = bytearray(data)
    for _ in range(dice.randint(1, 4)):
        place, kind = dice.randrange(len(out) + 1), dice.randrange(5)
        if kind == 0:
            out[place:place] = bytes([dice.randrange(256)])
        elif kind == 1:
            del out[place : place + dice.randint(1, 8)]
        elif kind == 2 and place < len(out):
            out[place] = dice.randrange(256)
        elif kind == 3:
            out[place:place] = dice.choice(
                [
                    b"\r\n",
                    b"\n",
                    b"\r",
                    b"\0",
                    b": ",
                    b"Content-Length: 3\r\n",
                    b"Transfer-Encoding: chunked\r\n",
                    b"\xff\xfe",
                ]
            )
        else:
            other = dice.randrange(len(out) + 1)
            out[place:place] = out[min(place, other) : max(place, other)][:200]
        if not out:
            return b"G"
    return bytes(out)


async def talk(port, data, dice):
    """Sends it in pieces, sometimes leaves; what came back. Raises TimeoutError where the other side hangs."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    leaves = dice.random() < 0.15
    try:
        if leaves:
            data = data[: dice.randrange(len(data) + 1)]
        cut = dice.randrange(len(data) + 1)
        writer.write(data[:cut])
        if dice.random() < 0.2:
            await asyncio.sleep(0)
        writer.write(data[cut:])
        if leaves:
            if dice.random() < 0.5:
                await asyncio.sleep(0.001)
            writer.transport.abort()
            return None
        writer.write_eof()
        async with asyncio.timeout(60):
            return await reader.read()
    except TimeoutError:  # an OSError, too
        raise
    except OSError:  # closed while we spoke: reset, or not there any more for our own end
        return b""
    finally:
        writer.close()


def statuses(came):
    """Of the answers that came on one connection; a line that looks like one may be text, so only those that begin a head count."""
    return [int(part[:3]) for part in came.split(b"HTTP/1.1 ")[1:] if part[:3].isdigit()]


async def storm(port, count, seed, at_once=50):
    """(answers by status, connections that said nothing) of so many requests, some at a time."""
    dice, found, silent = random.Random(seed), {}, 0
    left = iter(range(count))

    async def worker(own):
        nonlocal silent
        for _ in left:
            came = await talk(port, request(own), own)
            if came is None:
                continue
            silent += not came
            for status in statuses(came):
                found[status] = found.get(status, 0) + 1

    await asyncio.gather(*(worker(random.Random(dice.random())) for _ in range(at_once)))
    return found, silent
