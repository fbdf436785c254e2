"""What goes wrong is counted by its kind, with the server's words, and is in no latency."""

import asyncio

import pytest
from benched import EXACT, at, benched
from scripted_server import Scripted, chunk, steady, usage

from tokenworks.errors import InputError
from tokenworks.serve.bench.answer import Answer, Reader
from tokenworks.serve.bench.response import Response


async def refuses(server, body, say):
    await say((429, {"error": {"message": "too many requests", "type": "rate_limit"}}))


async def breaks_off(server, body, say):
    await say(chunk())
    await asyncio.sleep(0.01)
    await say("close")


async def complains(server, body, say):
    await say(chunk())
    await say({"error": {"message": "out of blocks"}})
    await say("[DONE]")


async def says_nothing(server, body, say):
    await say(usage(5, 0))
    await say("[DONE]")


async def mumbles(server, body, say):
    await say("{broken")
    await say("[DONE]")


async def does_not_stream(server, body, say):
    await say((200, {"choices": [{"message": {"content": "all at once"}}]}))


async def never_ends(server, body, say):
    await say(chunk())
    await asyncio.sleep(3600)


KINDS = {
    "HTTP 429": (refuses, "too many requests"),
    "closed early": (breaks_off, "ended before the answer"),
    "error in the stream": (complains, "out of blocks"),
    "no token": (says_nothing, ""),
    "not understood": (mumbles, "no chunk of an answer"),
    "no stream": (does_not_stream, "application/json"),
    "timed out": (never_ends, "no end within 30 s"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_failure_has_its_kind_and_leaves_the_others_alone(kind):
    wrong, said = KINDS[kind]

    async def every_second(server, body, say):
        await (wrong if len(server.requests) % 2 else steady)(server, body, say)

    found = benched(Scripted(every_second), at(0.0, 1.0, 2.0, 3.0), timeout_s=30.0).figures
    assert (found.done, found.failed) == (2, 2)
    (failure,) = found.failures
    assert (failure.kind, failure.count) == (kind, 2)
    assert said in failure.said
    assert found.ttft.most == pytest.approx(0.03, abs=EXACT)
    assert found.ttft.count == 2


def test_a_body_that_never_ends_is_timed_out():
    async def cut(server, body, say):
        await say(chunk())
        await say(usage(1, 1))
        await say("[DONE]" if len(server.requests) > 1 else "")  # an empty event, then the end of the body

    server = Scripted(cut)
    found = benched(server, at(0.0, 1.0), timeout_s=5.0).figures
    assert [f.kind for f in found.failures] == ["timed out"]  # nothing ended the body: the bench does not guess


def test_a_kept_connection_that_was_closed_is_opened_again():
    async def closes_after(server, body, say):
        await steady(server, body, say)
        await say("close")

    found = benched(Scripted(closes_after), at(0.0, 1.0, 2.0)).figures
    assert (found.done, found.failed) == (3, 0)


def test_connections_are_kept():
    assert benched(Scripted(), at(0.0, 1.0, 2.0)).connections == 1
    assert benched(Scripted(), at(0.0, 0.0, 0.0)).connections == 3


def test_where_nothing_is_answered_nothing_is_reported():
    with pytest.raises(InputError, match=r"none of 2 requests was answered: 2 × HTTP 429: too many requests"):
        benched(Scripted(refuses), at(0.0, 1.0))


def test_a_server_that_is_not_there_is_said_at_once():
    server = Scripted()
    with pytest.raises(InputError, match=r"no server at http://127\.0\.0\.1:1"):
        benched(server, at(0.0), url="http://127.0.0.1:1")
    assert not server.asked


def test_the_stop_reports_what_was_done():
    pressed = []

    async def presses(server, body, say):
        await steady(server, body, say)
        if len(server.requests) == 2:
            pressed.append(True)

    result = benched(Scripted(presses), at(0.0, 1.0, 5.0, 6.0), stop=lambda: bool(pressed))
    assert result.interrupted
    assert (result.figures.done, result.unfinished, result.never_sent) == (2, 0, 2)


def test_the_key_goes_to_the_server_and_into_no_result():
    server = Scripted()
    result = benched(server, at(0.0), key="sk-secret")
    assert server.requests[0][3]["authorization"] == "Bearer sk-secret"
    assert "sk-secret" not in repr(result)


def test_a_whole_body_without_the_end_of_the_answer_is_closed_early():
    answer, response = Answer(0, 0.0, 1, 5), Response()
    reader = Reader(answer, 0.0)
    body = b'data: {"choices": [{"delta": {"content": "x"}}]}\n\n'
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n" % len(body)
    for piece in response.feed(head + body):
        reader.take(response, piece, 1.0)
    reader.close(response)
    assert response.done
    assert answer.error == "closed early"
