"""Upstreams that answer as no engine should: nobody gets half an answer for a whole one, or any of it twice, and every attempt
is metered once."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest
from live_gateway import ANSWER, CHAT, CHUNK, DONE, USAGE, USAGE_CHUNK, Engine, front, run

CALL = {"model": "chat", "messages": [{"role": "user", "content": "hi"}]}
STREAM = {**CALL, "stream": True}
FINISH = CHUNK.replace(b"}}]}", b'},"finish_reason":"stop"}]}')
WHOLE = json.dumps({**ANSWER, "usage": USAGE}).encode()
SSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@asynccontextmanager
async def saying(tmp_path, *answers, **more):
    """A gateway in front of one upstream for each answer, which is sent as it stands; then the connection is closed."""
    servers, working, upstream = [], [], more.pop("upstream", {})

    def says(pieces):
        async def told(reader, writer):
            working.append(asyncio.current_task())
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0]))
            for piece in pieces if isinstance(pieces, list) else [pieces]:
                writer.write(piece)
                await asyncio.sleep(0.02)
            writer.close()

        return told

    for pieces in answers:
        servers.append(await asyncio.start_server(says(pieces), "127.0.0.1", 0))
    ports = [server.sockets[0].getsockname()[1] for server in servers]
    rows = [{"service": "chat", "url": f"http://127.0.0.1:{port}", **upstream} for port in ports]
    try:
        async with front(tmp_path, upstreams=rows, **more) as gate:
            yield gate
    finally:
        await asyncio.gather(*working)
        for server in servers:
            server.close()


async def outcome(gate, body=STREAM, path=CHAT, attempts=1):
    status, _, text = await gate.post(body, path)
    return status, text, [(e["usage_status"], e["failed"]) for e in await gate.events(attempts)]


@pytest.mark.parametrize(
    "answer",
    [
        SSE + b"Connection: close\r\n\r\n" + CHUNK + CHUNK[:40],
        SSE.replace(b"1.1", b"1.0") + b"\r\n" + CHUNK + CHUNK[:40],
        SSE + b"Connection: close\r\n\r\n" + CHUNK + CHUNK,
        SSE + b"Connection: close\r\n\r\n" + CHUNK.replace(b"}}]}", b'},"finish_reason":""}]}') + FINISH[:-20],
    ],
)
def test_a_stream_that_stops_is_not_ended(tmp_path, answer):
    async def case():
        async with saying(tmp_path, answer) as gate:
            status, text, events = await outcome(gate)
        assert status == 0 or b'"error"' in text
        assert b"[DONE]" not in text
        assert [e[0] for e in events] == ["partial"]

    run(case())


@pytest.mark.parametrize(
    "end",
    [
        b"",
        DONE,
        DONE[:-1],
        DONE.strip(),
        b"data:[DONE]\n\n",
        b"event: end\ndata: [DONE]\n\n",
        USAGE_CHUNK,
        USAGE_CHUNK.strip(),
    ],
)
def test_a_stream_that_said_why_it_ends_is_whole(tmp_path, end):
    """However its end is written."""

    async def case():
        async with saying(tmp_path, SSE + b"Connection: close\r\n\r\n" + CHUNK + FINISH + end) as gate:
            status, text, events = await outcome(gate)
        assert (status, events) == (200, [("final", False)])
        assert text.count(b'"content"') == 2

    run(case())


@pytest.mark.parametrize("answer", [b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 304 Not Modified\r\n\r\n",
                                    b"HTTP/1.1 302 Found\r\nLocation: http://x/\r\nContent-Length: 0\r\n\r\n",
                                    b"HTTP/1.1 201 Created\r\nContent-Length: %d\r\n\r\n%b" % (len(WHOLE), WHOLE),
                                    JSON + b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\n\x1f\x8b\x08\x00\x00"])  # fmt: skip
@pytest.mark.parametrize("path", [CHAT, "/v1/messages"])
def test_what_is_no_answer_is_none(tmp_path, answer, path):
    async def case():
        async with saying(tmp_path, answer) as gate:
            status, text, events = await outcome(gate, {**CALL, "max_tokens": 9}, path)
        assert (status, events) == (502, [("missing", True)])
        assert json.loads(text)["error"]

    run(case())


def test_a_stream_is_one_however_its_type_is_written(tmp_path):
    answer = (
        SSE.replace(b"text/event-stream", b"Text/Event-Stream")
        + b"Connection: close\r\n\r\n"
        + FINISH
        + USAGE_CHUNK
        + DONE
    )

    async def case():
        async with saying(tmp_path, answer) as gate:
            status, _, events = await outcome(gate)
            (event,) = await gate.events(1)
        assert (status, events, event["output_visible"]) == (200, [("final", False)], 3)

    run(case())


@pytest.mark.parametrize("cut", [0, 1, 40])
def test_half_an_answer_is_none_where_only_its_connection_ends_it(tmp_path, cut):
    async def case():
        async with saying(tmp_path, JSON + b"Connection: close\r\n\r\n" + WHOLE[: len(WHOLE) - cut]) as gate:
            status, text, events = await outcome(gate, CALL)
        assert (status, events) == ((502, [("missing", True)]) if cut else (200, [("final", False)]))
        assert json.loads(text)

    run(case())


@pytest.mark.parametrize("cut", [5, 12, 20, None])
@pytest.mark.parametrize("moves", [True, False])
def test_an_error_in_a_stream_is_one_however_it_arrives(tmp_path, cut, moves):
    error = b'data: {"error":{"message":"boom","code":500}}\n\n'
    pieces = [error] if cut is None else [error[:cut], error[cut:]]
    first = [SSE + b"Connection: close\r\n\r\n" + CHUNK, *pieces, DONE]

    async def case():
        second = SSE + b"Connection: close\r\n\r\n" + CHUNK + FINISH + DONE
        async with saying(tmp_path, *([first, second] if moves else [first]), upstream={"continues": moves}) as gate:
            status, text, events = await outcome(gate, attempts=1 + moves)
        assert status == 200
        assert events == ([("partial", False), ("final", False)] if moves else [("final", True)])
        assert (b"boom" in text) is not moves

    run(case())


def test_an_engine_that_goes_on_after_the_end_is_left(tmp_path):
    """It holds no place, and what it says is nobody's."""
    gone = asyncio.Event()

    async def chatters(request, connection):
        connection.begin(200, b"text/event-stream")
        connection.chunk(FINISH + DONE)
        while not gone.is_set():
            connection.chunk(b": more\n\n" * 100)
            await asyncio.sleep(0.01)

    async def case():
        engine = Engine(chatters)
        engine.client_gone = gone.set
        async with front(tmp_path, engine) as gate:
            status, _, text = await gate.post(STREAM)
            await asyncio.wait_for(gone.wait(), 5)
            await asyncio.sleep(0)
            assert (status, text.count(b"more"), gate.served[0].router.outstanding) == (200, 0, [0])

    run(case())


@pytest.mark.parametrize(
    "first", [b": keep-alive\n\n", CHUNK.replace(b'"content":"w"', b'"role":"assistant","content":""')]
)
def test_a_stream_that_gets_nowhere_moves_once_to_each(tmp_path, first):
    def dies(request, connection):
        connection.begin(200, b"text/event-stream")
        connection.chunk(first)
        asyncio.get_running_loop().call_later(0.005, connection.abort)

    async def case():
        engines = [Engine(dies) for _ in range(3)]
        async with front(tmp_path, *engines, upstream={"continues": True}) as gate:
            status, _, text = await gate.post(STREAM)
            assert b'"error"' in text or status == 0
            assert [len(e.asked) for e in engines] == [1, 1, 1]
            assert len(await gate.events(3)) == 3

    run(case())


def test_an_engine_that_breaks_off_every_stream_is_left_alone(tmp_path):
    def dies(request, connection):
        connection.begin(200, b"text/event-stream")
        connection.chunk(CHUNK)
        asyncio.get_running_loop().call_later(0.005, connection.abort)

    async def case():
        broken, well = Engine(dies), Engine()
        async with front(tmp_path, broken, well, failures=3, pause="1 h") as gate:
            for _ in range(12):
                await gate.post(STREAM)
        assert len(broken.asked) == 3

    run(case())


@pytest.mark.parametrize("prefix", [b"data: ", b"data:", b"data:  ", b"id: 7\ndata: ", b": x\ndata: "])
def test_a_moved_stream_says_nothing_twice_however_events_are_written(tmp_path, prefix):
    def said(word, finish=None):
        choice = {"index": 0, "delta": {"content": word}, "finish_reason": finish}
        return (
            prefix + json.dumps({"id": "c", "object": "chat.completion.chunk", "choices": [choice]}).encode() + b"\n\n"
        )

    def dies(request, connection):
        connection.begin(200, b"text/event-stream")
        connection.chunk(said("one ") + said("two "))
        asyncio.get_running_loop().call_later(0.005, connection.abort)

    def goes_on(request, connection):
        last = json.loads(request.body)["messages"][-1]
        words = ["one", "two", "three"][len((last["content"] if last["role"] == "assistant" else "").split()) :]
        connection.begin(200, b"text/event-stream")
        for word in words:
            connection.chunk(said(word))
        connection.finish(said("", "stop") + DONE)

    async def case():
        async with front(tmp_path, Engine(dies), Engine(goes_on), upstream={"continues": True}) as gate:
            status, _, text = await gate.post(STREAM)
        parts = [json.loads(e[e.index(b"{") :]) for e in text.split(b"\n\n") if b"{" in e]
        assert status == 200
        assert "".join(p["choices"][0]["delta"].get("content") or "" for p in parts) == "one two three"

    run(case())


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"model":"chat","messages":[],"x":1e999}', "out of range"),
        (b'{"model":"chat","stream":true,"stream_options":{"x":-1.5E+999}}', "out of range"),
        (b'{"model":"chat","messages":' + b"[" * 300 + b"]" * 300 + b"}", "nested more than 256 deep"),
        (b'{"model":"chat",' + b",".join(b'"m%d":1' % i for i in range(240)) + b"}", "more than 240 members"),
    ],
)
def test_what_could_not_be_read_later_is_refused_at_once(tmp_path, body, said):
    async def case():
        async with front(tmp_path, Engine()) as gate:
            status, _, text = await gate.post(body)
            assert (status, said in json.loads(text)["error"]["message"]) == (400, True)
            assert (await gate.post({**CALL, "x": [1e308, 1e-300, 10**18]}))[0] == 200
            assert not gate.served[0].router.outstanding[0]

    run(case())
