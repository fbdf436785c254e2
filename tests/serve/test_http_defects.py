"""Defects of ours, and upstreams that are none: nobody waits for ever, and nobody else is touched."""

import asyncio
import json

import pytest
from live_gateway import parsed, run, unchunked

from tokenworks.api import load
from tokenworks.errors import SpecError
from tokenworks.serve.http.limits import Limits
from tokenworks.serve.http.pool import Address, Patience, Pool
from tokenworks.serve.http.sweep import NEVER, Sweep
from tokenworks.serve.start import listen


class Member:
    """Expires once, badly or well."""

    def __init__(self, error=None):
        self.deadline_s, self.error, self.expired = 0.0, error, 0

    def expire(self):
        self.deadline_s, self.expired = NEVER, self.expired + 1
        if self.error:
            raise self.error


def troubles():
    found = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: found.append(context["exception"]))
    return found


async def until(done):
    for _ in range(500):
        if done():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come to that")


def test_one_deadline_that_fails_keeps_no_other_from_being_held():
    async def case():
        found, sweep = troubles(), Sweep(asyncio.get_running_loop(), 0.01)
        bad, good, later = Member(KeyError("ours")), Member(), Member()
        sweep.members |= {bad, good}
        sweep.start()
        await until(lambda: bad.expired and good.expired)
        sweep.members.add(later)
        await until(lambda: later.expired)
        sweep.stop()
        return [repr(error) for error in found], bad.expired, good.expired

    assert run(case()) == (["KeyError('ours')"], 1, 1)


class Failing:
    """Answers /good, a moment later where it says /later; fails at /bad, and at /begun in the middle of its answer."""

    draining = False

    def __init__(self):
        self.gone = 0

    def handle(self, request, connection):
        connection.listener = self
        if request.path == b"/later":
            asyncio.get_running_loop().call_later(0.02, connection.respond, 200, b"later")
            return
        if request.path == b"/begun":
            connection.begin(200, b"text/plain")
            connection.chunk(b"one")
        if request.path != b"/good":
            raise KeyError("ours")
        connection.respond(200, b"good")

    def client_gone(self):
        self.gone += 1


def get(*paths):
    return b"".join(b"GET /%b HTTP/1.1\r\nHost: t\r\n\r\n" % path for path in paths)


@pytest.mark.parametrize("first", [b"good", b"later"])
def test_a_request_that_the_application_fails_at_is_answered_and_the_connection_goes_on(first):
    """At once, and from the queue of requests that wait."""

    async def case():
        found, app = troubles(), Failing()
        listening = await listen(app, Limits(), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", listening.port)
        writer.write(get(first, b"bad", b"good"))
        answers = []
        for _ in range(3):
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            answers.append(parsed(head + await reader.readexactly(length)))
        (connection,) = listening._connections()
        state = connection.busy, connection.deadline_s < NEVER
        writer.close()
        await listening.drain(0.0)
        listening.sweep.stop()
        return answers, [repr(error) for error in found], app.gone, state

    answers, found, gone, state = run(case())
    assert [status for status, _, _ in answers] == [200, 500, 200]
    assert json.loads(answers[1][2])["error"]["code"] == "internal_error"
    assert found == ["KeyError('ours')"]
    assert gone == 1  # whoever had begun to answer answers no more
    assert state == (False, True)


def test_an_answer_that_the_application_fails_at_in_its_middle_is_cut():
    async def case():
        found, app = troubles(), Failing()
        listening = await listen(app, Limits(), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", listening.port)
        writer.write(get(b"begun"))
        try:
            came = await reader.read()
        except ConnectionError:
            came = b""
        writer.close()
        await listening.drain(0.0)
        listening.sweep.stop()
        return came, [repr(error) for error in found], app.gone

    came, found, gone = run(case())
    assert not unchunked(came.partition(b"\r\n\r\n")[2])[1]
    assert found == ["KeyError('ours')"]
    assert gone == 1


class Asked:
    """An exchange that keeps what it hears."""

    def __init__(self):
        self.ends, self.handle, self.body = [], None, b""

    def taken(self, handle):
        self.handle = handle

    def answer_head(self, status, headers): ...

    def answer_body(self, data):
        self.body += data

    def answer_end(self):
        self.ends.append(("whole", self.handle.framed))

    def answer_broken(self, reason, kind):
        self.ends.append((kind, self.handle.framed))


async def asked(host, port):
    loop = asyncio.get_running_loop()
    sweep, exchange = Sweep(loop), Asked()
    pool = Pool(Address(host, port, False, ""), Patience(), sweep, loop)
    pool.ask(get(b"x"), exchange, exchange.taken)
    await until(lambda: exchange.ends)
    pool.close()
    return exchange


ENDS = {
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi": ("whole", True),
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n": ("whole", True),
    b"HTTP/1.1 200 OK\r\n\r\nhi": ("whole", False),
    b"HTTP/1.0 200 OK\r\n\r\nhi": ("whole", False),
    b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi": ("broken", True),
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n": ("broken", True),
}


@pytest.mark.parametrize("answer", ENDS)
def test_it_is_known_whether_an_answer_said_where_it_ends(answer):
    async def case():
        async def say(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            writer.close()

        server = await asyncio.start_server(say, "127.0.0.1", 0)
        exchange = await asked("127.0.0.1", server.sockets[0].getsockname()[1])
        server.close()
        return exchange.ends, exchange.body

    assert run(case()) == ([ENDS[answer]], b"hi")


NO_NAME = "a" * 64 + ".example"


def test_a_host_that_no_resolver_takes_cannot_be_reached():
    assert run(asked(NO_NAME, 1)).ends == [("unreachable", True)]


def test_a_factory_file_that_names_such_a_host_is_refused():
    with pytest.raises(SpecError, match="is no address"):
        load("laptop").replace_all({"serve": {"upstreams": [{"service": "chat", "url": f"http://{NO_NAME}:1"}]}})
