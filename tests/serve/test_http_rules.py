"""What RFC 9110 and 9112 ask of a server, over real sockets."""

import asyncio
import json

import pytest
from live_gateway import CHAT, Engine, exchange, front, parsed, run

from tokenworks.serve.http.limits import Limits
from tokenworks.serve.http.request import origin_form
from tokenworks.serve.start import listen

STREAM = json.dumps({"model": "chat", "messages": [], "stream": True}).encode()


def asking(tmp_path, *requests):
    """What each of them gets of a gateway, on a connection of its own."""

    async def case():
        async with front(tmp_path, Engine()) as gate:
            return [await asyncio.wait_for(exchange(gate.port, data), 10) for data in requests]

    return run(case())


def plain(method, target, version="1.1"):
    return f"{method} {target} HTTP/{version}\r\nHost: t\r\nConnection: close\r\n\r\n".encode()


@pytest.mark.parametrize("more", [b"", b"Connection: keep-alive\r\n"])
def test_a_stream_to_http_1_0_ends_with_its_connection(tmp_path, more):
    """Whoever speaks it does not know chunks."""
    data = b"POST %b HTTP/1.0\r\n%bContent-Length: %d\r\n\r\n%b" % (CHAT.encode(), more, len(STREAM), STREAM)
    (came,) = asking(tmp_path, data)
    head, _, body = came.partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head.lower()
    assert b"content-length" not in head.lower()
    assert b"\r\nConnection: close" in head
    assert body.startswith(b"data: {")
    assert body.endswith(b"}\n\ndata: [DONE]\n\n")


def test_a_target_that_names_its_authority_is_understood(tmp_path):
    came = asking(
        tmp_path,
        plain("GET", "http://other.example:81/v1/version?x=1"),
        plain("GET", "HTTPS://other.example/v1/version"),
        plain("GET", "http://other.example"),
        plain("GET", "ftp://other.example/v1/version"),
    )
    assert [parsed(one)[0] for one in came] == [200, 200, 404, 404]


@pytest.mark.parametrize(
    ("target", "origin"),
    [
        (b"/a?b", b"/a?b"),
        (b"http://t/a?b", b"/a?b"),
        (b"http://t?b", b"/?b"),
        (b"http://u@t:1//a", b"//a"),
        (b"http:///a", b"http:///a"),
        (b"*", b"*"),
    ],
)
def test_of_such_a_target_path_and_query_count(target, origin):
    assert origin_form(target) == origin


def test_what_can_be_got_has_a_head(tmp_path):
    paths = ["/v1/models", "/v1/models/chat", "/openapi.json", "/v1/health/live"]
    for path in paths:
        got, head = asking(tmp_path, plain("GET", path), plain("HEAD", path))
        assert head == got[: len(head)]
        assert head.endswith(b"\r\n\r\n")


def test_a_method_that_a_path_does_not_take_is_told_those_that_it_takes(tmp_path):
    came = asking(
        tmp_path, plain("GET", CHAT), plain("HEAD", CHAT), plain("PUT", "/v1/models"), plain("PUT", "/v1/models/chat")
    )
    heads = [one.partition(b"\r\n\r\n")[0].split(b"\r\n") for one in came]
    assert {lines[0] for lines in heads} == {b"HTTP/1.1 405 Method Not Allowed"}
    allowed = [[line for line in lines if line.startswith(b"Allow: ")] for lines in heads]
    assert allowed == [[b"Allow: POST"], [b"Allow: POST"], [b"Allow: GET, HEAD"], [b"Allow: GET, HEAD"]]


class Later:
    """Answers with the request's body, in a moment."""

    draining = False

    def handle(self, request, connection):
        asyncio.get_running_loop().call_later(0.05, connection.respond, 200, b"<%b>" % request.body)


@pytest.mark.parametrize("together", [True, False])
def test_who_waits_for_100_continue_behind_another_request_gets_it_after_that_ones_answer(together):
    async def case():
        listening = await listen(Later(), Limits(), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", listening.port)
        first = b"POST /a HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\none"
        second = (
            b"POST /a HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 3\r\nConnection: close\r\n\r\n"
        )
        writer.write(first + second if together else first)
        if not together:
            await asyncio.sleep(0.02)
            writer.write(second)
        before = await asyncio.wait_for(reader.readuntil(b"100 Continue\r\n\r\n"), 10)
        writer.write(b"two")
        after = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        await listening.drain(0.0)
        listening.sweep.stop()
        return before, after

    before, after = run(case())
    assert before.endswith(b"<one>HTTP/1.1 100 Continue\r\n\r\n")
    assert after.startswith(b"HTTP/1.1 200 OK\r\n")
    assert after.endswith(b"<two>")
