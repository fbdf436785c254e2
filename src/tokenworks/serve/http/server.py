"""The server's side of a connection: reads whole requests, one at a time to the application, and writes answers."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Any, NoReturn, Protocol

import httptools

from tokenworks.serve.http.limits import Limits
from tokenworks.serve.http.replies import JSON, head, refusal
from tokenworks.serve.http.request import SINGLE, Refused, Request, check_head, too_large
from tokenworks.serve.http.sweep import NEVER, Sweep

LINGER_S, MOST_UNREAD_BYTES = 2.0, 1 << 20  # after a refusal
RAW_PER_BODY = 8  # bytes on the wire that a byte of a chunked body may cost


class Application(Protocol):
    """Answers requests by calling ``respond``, or ``begin``, ``chunk`` and ``finish``, of the connection."""

    draining: bool

    def handle(self, request: Request, connection: ServerConnection) -> None: ...


class Listener(Protocol):
    """Who makes the present answer, while it is made."""

    def client_gone(self) -> None: ...

    def hold(self) -> None: ...

    def resume(self) -> None: ...


class ServerConnection(asyncio.Protocol):
    """One caller. Requests that come while one is being answered wait, and nothing more is read meanwhile."""

    def __init__(self, app: Application, limits: Limits, sweep: Sweep, loop: asyncio.AbstractEventLoop):
        self._app, self.limits, self._sweep, self._loop = app, limits, sweep, loop
        self.listener: Listener | None = None
        self.proof: Any = None  # what the application remembers of who is there
        self.deadline_s = NEVER
        self.busy = False
        self._incoming: Request | None = None
        self._current: Request | None = None
        self._waiting: deque[Request] = deque()
        self._closing = self._lingers = False
        self._held = self._unread = False
        self._refused: Refused | None = None
        self._begin_message()

    # ------------------------------------------------------------------ the connection

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self._parser = httptools.HttpRequestParser(self)
        transport.set_write_buffer_limits(high=self.limits.buffered_bytes)
        if len(self._sweep.members) >= self.limits.connections or self._app.draining:
            self._closing = True
            transport.close()
            return
        self._sweep.members.add(self)
        self.deadline_s = self._loop.time() + self.limits.head_s

    def connection_lost(self, error: Exception | None) -> None:
        self._closing = True
        self._sweep.members.discard(self)
        self._waiting.clear()
        listener, self.listener = self.listener, None
        if listener:
            listener.client_gone()

    def expire(self) -> None:
        """Too slow: says so where nothing has been answered yet."""
        self.deadline_s = NEVER
        if self.busy or self._lingers:
            self.abort()
        elif self._raw:
            self._refuse(Refused(408, "timeout", "the request did not arrive in time"))
        else:
            self.transport.close()

    def pause_writing(self) -> None:
        self._held = True
        self.deadline_s = self._loop.time() + self.limits.stalled_s
        if self.listener:
            self.listener.hold()

    def resume_writing(self) -> None:
        self._held = False
        if self.busy:
            self.deadline_s = NEVER
        if self.listener:
            self.listener.resume()

    def shut(self) -> None:
        """For a drain: closes a connection that is not answering anything."""
        if not self.busy:
            self._closing = True
            self.transport.close()

    # ------------------------------------------------------------------ reading

    def data_received(self, data: bytes) -> None:
        if self._closing:
            self._raw += len(data)
            if self._raw > MOST_UNREAD_BYTES:
                self.transport.abort()
            return
        if not self._raw and not self.busy:
            self.deadline_s = self._loop.time() + self.limits.head_s
        self._raw += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            if isinstance(error, httptools.HttpParserCallbackError) and self._refused is None:
                raise  # a defect of ours, and the loop's to tell; it closes the connection
            self._refuse(self._refused or Refused(400, "http", f"not HTTP as it should be: {error}"))
            return
        self._check_raw()

    def _check_raw(self) -> None:
        """What the parser keeps to itself is bounded, too: heads, trailers, chunk extensions."""
        most = RAW_PER_BODY * self.limits.body_bytes if self._headed else self.limits.head_bytes
        if self._raw > most:
            self._refuse(too_large(self.limits.body_bytes) if self._headed else self._head_too_large())

    def _head_too_large(self) -> Refused:
        return Refused(431, "head_too_large", f"a request's head holds at most {self.limits.head_bytes:,} bytes")

    def _begin_message(self) -> None:
        self._raw = self._size = self._repeated = 0
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._pieces: list[bytes] = []
        self._headed = False

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name, headers = name.lower(), self._headers
        if name in headers:
            self._once_more(name, headers[name])
        headers[name] = value

    def on_headers_complete(self) -> None:
        parser, limits, headers = self._parser, self.limits, self._headers
        self._headed, self._headers = True, {}  # for what trailers say, which counts nothing
        try:
            if self._raw > limits.head_bytes:  # perhaps with some of the body
                self._weigh(headers)
            if len(headers) > limits.headers:
                raise Refused(431, "too_many_headers", f"a request has at most {limits.headers} headers")
            check_head(parser.get_http_version(), parser.should_upgrade(), headers, limits.body_bytes)
        except Refused as refused:
            self._stop(refused)
        path, _, query = self._target.partition(b"?")
        self._incoming = Request(parser.get_method(), path, query, headers, time.perf_counter())
        if not self.busy:
            self.deadline_s = self._loop.time() + limits.body_s
            if b"expect" in headers and headers[b"expect"].lower() == b"100-continue":
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _once_more(self, name: bytes, before: bytes) -> None:
        """A header's last value counts, but its weight all the same."""
        if name in SINGLE:
            self._stop(Refused(400, "duplicate_header", f"{name.decode()} came more than once"))
        self._repeated += len(name) + len(before) + 4

    def _weigh(self, headers: dict[bytes, bytes]) -> None:
        """Raises Refused."""
        lines = sum(len(name) + len(value) + 4 for name, value in headers.items())
        if len(self._target) + lines + self._repeated > self.limits.head_bytes:
            raise self._head_too_large()

    def on_body(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self.limits.body_bytes:
            self._stop(too_large(self.limits.body_bytes))
        self._pieces.append(data)

    def on_message_complete(self) -> None:
        request, pieces = self._incoming, self._pieces
        if request is None or self._closing:
            return
        request.body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        request.keep_alive = self._parser.should_keep_alive()
        self._begin_message()
        if self.busy:
            self._waiting.append(request)
            if not self._unread:
                self._unread = True
                self.transport.pause_reading()
        else:
            self._answer(request)

    def _stop(self, refused: Refused) -> NoReturn:
        """Ends the parser's work: it wraps what its callbacks raise."""
        self._refused = refused
        raise refused

    def _refuse(self, refused: Refused) -> None:
        """After it nothing is read: what follows cannot be told apart from the request that was wrong."""
        self._closing = True
        if self.busy:
            self.abort()
            return
        status, body, more = refusal(refused)
        self.transport.write(head(status, JSON, more, False, len(body)) + body)
        self._linger()

    def _linger(self) -> None:
        """Says that nothing more comes, and lets the caller read it: closing at once while he still sends would reset the
        connection, and with it the answer that is on its way."""
        if self.transport.is_closing():
            return
        if not self.transport.can_write_eof():  # TLS ends both ways at once
            self.transport.close()
            return
        self.transport.write_eof()
        self._raw = 0
        self._lingers = True
        self.deadline_s = self._loop.time() + LINGER_S

    # ------------------------------------------------------------------ answering

    def _answer(self, request: Request) -> None:
        self.busy, self._current = True, request
        self.deadline_s = NEVER
        self._app.handle(request, self)

    @property
    def keeps(self) -> bool:
        """Whether the connection stays after the present answer."""
        return bool(self._current and self._current.keep_alive) and not self._app.draining

    def respond(self, status: int, body: bytes, content_type: bytes = JSON, more: bytes = b"") -> None:
        """A whole answer. ``more``: complete header lines."""
        if self._closing:
            return
        keeps = self.keeps
        told = head(status, content_type, more, keeps, len(body))
        self.transport.write(told if self._current and self._current.method == b"HEAD" else told + body)
        self._done(keeps)

    def respond_error(self, refused: Refused) -> None:
        status, body, more = refusal(refused)
        self.respond(status, body, more=more)

    def begin(self, status: int, content_type: bytes, more: bytes = b"") -> None:
        """The head of a streamed answer."""
        if not self._closing:
            self.transport.write(head(status, content_type, more, self.keeps, None))

    def chunk(self, data: bytes) -> None:
        if not self._closing:
            self.transport.write(b"%x\r\n%b\r\n" % (len(data), data))

    def finish(self, data: bytes = b"") -> None:
        """The last bytes of a streamed answer, and its end."""
        if self._closing:
            return
        last = b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data) if data else b"0\r\n\r\n"
        self.transport.write(last)
        self._done(self.keeps)

    def abort(self) -> None:
        """Ends the connection in the middle of an answer: the caller sees that it is not whole."""
        self._closing = True
        self.transport.abort()

    def break_off(self, data: bytes) -> None:
        """A last chunk, and then no end of the answer: the caller sees that it is not whole."""
        if not self._closing:
            self.chunk(data)
            self._closing = True
            self.listener = None
            self.transport.close()

    def _done(self, keeps: bool) -> None:
        self.busy, self.listener, self._current = False, None, None
        if not keeps:
            self._closing = True
            self.transport.close()
            return
        self.deadline_s = self._loop.time() + (self.limits.stalled_s if self._held else self.limits.idle_s)
        if self._waiting:
            self.busy = True  # nobody overtakes
            request = self._waiting.popleft()
            if not self._waiting:
                self._unread = False
                self.transport.resume_reading()
            self._loop.call_soon(self._next, request)

    def _next(self, request: Request) -> None:
        if not self._closing:
            self._answer(request)
