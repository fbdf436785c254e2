"""The server's side of a connection: whole requests, one at a time to the application, and their answers."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Protocol

from tokenworks.serve.http.limits import Limits
from tokenworks.serve.http.reading import Gate, Reading
from tokenworks.serve.http.replies import JSON, UNTIL_CLOSE, head, refusal
from tokenworks.serve.http.request import Refused, Request
from tokenworks.serve.http.sweep import NEVER, Sweep

LINGER_S, MOST_UNREAD_BYTES = 2.0, 1 << 20  # after a refusal
PIECE_BYTES = 16_384  # that are parsed at once, so that only so many requests can come of them
MOST_AHEAD_BYTES = (
    65_536  # that are read while a request waits: as long as there are fewer a caller who leaves is noticed
)
DEFECT = Refused(500, "internal_error", "the server failed at this request; its log says why")


class Application(Protocol):
    """Answers requests by calling ``respond``, or ``begin``, ``chunk`` and ``finish``, of the connection."""

    draining: bool

    def handle(self, request: Request, connection: ServerConnection) -> None: ...


class Listener(Protocol):
    """Who makes the present answer, while it is made."""

    def client_gone(self) -> None: ...

    def hold(self) -> None: ...

    def resume(self) -> None: ...


class ServerConnection(Reading):
    """One caller. Requests that come while one is being answered, or while he does not read, wait; what comes after them is kept
    as bytes, up to a bound at which nothing more is read."""

    def __init__(
        self, app: Application, limits: Limits, sweep: Sweep, loop: asyncio.AbstractEventLoop, gate: Gate | None = None
    ):
        super().__init__(limits, gate)
        self._app, self._sweep, self._loop = app, sweep, loop
        self.listener: Listener | None = None
        self.proof: Any = None  # what the application remembers of who is there
        self.deadline_s = NEVER
        self.busy = False
        self._awaited: Request | None = None  # the last one whose body had its deadline
        self._current: Request | None = None
        self._begun = False  # a streamed answer
        self._chunked = True
        self._waiting: deque[Request] = deque()
        self._ahead = bytearray()  # none but while a request waits
        self._held = self._unread = False
        self._most_unread = MOST_UNREAD_BYTES

    # ------------------------------------------------------------------ the connection

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.set_write_buffer_limits(high=self.limits.buffered_bytes)
        if len(self._sweep.members) >= self.limits.connections or self._app.draining:
            self._closing = True
            transport.close()
            return
        self._sweep.members.add(self)
        self.deadline_s = self._loop.time() + self.limits.head_s

    def connection_lost(self, error: Exception | None) -> None:
        self._sweep.members.discard(self)
        self._leave()

    def eof_received(self) -> None:
        """Who ends his side has left; what is written already may still reach him."""
        if not self._closing:
            self.deadline_s = self._loop.time() + self.limits.stalled_s
            self._leave()

    def _leave(self) -> None:
        self._closing = True
        self._forget()
        listener, self.listener = self.listener, None
        if listener:
            listener.client_gone()

    def expire(self) -> None:
        """Too slow: says so where nothing has been answered yet."""
        self.deadline_s = NEVER
        if self.busy or self._held or self._closing:
            self.abort()
        elif self._raw or self._headed:
            self._refuse(Refused(408, "timeout", "the request did not arrive in time"))
        else:
            self._close()

    def pause_writing(self) -> None:
        self._held = True
        self.deadline_s = self._loop.time() + self.limits.stalled_s
        if self.listener:
            self.listener.hold()

    def resume_writing(self) -> None:
        self._held = False
        if self._closing:
            return
        self.deadline_s = NEVER if self.busy else self._loop.time() + self.limits.idle_s
        if self.listener:
            self.listener.resume()
        self._next()

    def shut(self) -> None:
        """For a drain: closes a connection that is not answering anything."""
        if not self.busy:
            self._close()

    def abort(self) -> None:
        """Ends the connection in the middle of an answer: the caller sees that it is not whole."""
        self._closing = True
        self.transport.abort()

    def _close(self) -> None:
        """Once the caller has read what was written, for which he has not for ever."""
        self._closing = True
        self._forget()
        self.deadline_s = self._loop.time() + self.limits.stalled_s
        if not self.transport.is_closing():
            self.transport.close()

    def _forget(self) -> None:
        """What will not be answered any more."""
        self._waiting.clear()
        self._ahead.clear()

    # ------------------------------------------------------------------ reading

    def data_received(self, data: bytes) -> None:
        if self._closing:
            self._raw += len(data)
            if self._raw > self._most_unread:
                self.transport.abort()
            return
        if self._waiting or len(data) > PIECE_BYTES:
            self._read(data)
        else:
            self._parse(data)

    def _read(self, data: bytes) -> None:
        """Piece by piece, and no further than to a request that has to wait."""
        for start in range(0, len(data), PIECE_BYTES):
            if self._closing:
                return
            if self._waiting:
                self._ahead += data[start:]
                break
            self._parse(data[start : start + PIECE_BYTES])
        if len(self._ahead) > MOST_AHEAD_BYTES and not self._unread:
            self._unread = True
            self.transport.pause_reading()

    def _read_on(self) -> None:
        if self._unread:
            self._unread = False
            self.transport.resume_reading()
        if self._ahead:
            data, self._ahead = bytes(self._ahead), bytearray()
            self._read(data)

    def _await_head(self) -> None:
        if not self.busy and not self._held:
            self.deadline_s = self._loop.time() + self.limits.head_s

    def _await_body(self) -> None:
        request = self._incoming
        if request is self._awaited or request is None or self.busy or self._waiting:
            return  # it is told already, or its turn has not come
        self._awaited = request
        if not self._held:
            self.deadline_s = self._loop.time() + self.limits.body_s
        if request.headers.get(b"expect", b"").lower() == b"100-continue":
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _arrived(self, request: Request) -> None:
        if self.busy or self._held or self._waiting:
            self._waiting.append(request)
        else:
            self._answer(request)

    def _refuse(self, refused: Refused) -> None:
        """After it nothing is read: what follows cannot be told apart from the request that was wrong."""
        self._closing = True
        if self.busy or self._waiting:
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
        if self.transport.can_write_eof():
            self.transport.write_eof()
        elif not self._hears_out:  # TLS ends both ways at once
            self._close()
            return
        self._raw, wait_s = 0, LINGER_S
        if self._hears_out:
            wait_s, self._most_unread = self.limits.body_s, MOST_UNREAD_BYTES + self.limits.body_bytes
        self.deadline_s = self._loop.time() + wait_s

    # ------------------------------------------------------------------ answering

    def _answer(self, request: Request) -> None:
        self.busy, self._current, self._begun = True, request, False
        self.deadline_s = NEVER
        try:
            self._app.handle(request, self)
        except Exception as error:  # noqa: BLE001 - whatever it is, the loop is told
            self._failed(request, error)

    def _failed(self, request: Request, error: Exception) -> None:
        """A defect of the application. Whoever it has begun to work for this request is told to leave it, so that no second answer
        comes."""
        self._tell(error)
        if self._current is not request:
            return  # its answer is whole
        listener, self.listener = self.listener, None
        try:
            if listener:
                listener.client_gone()
        except Exception as another:  # noqa: BLE001
            self._tell(another)
            self.abort()
            return
        if self._begun:
            self.abort()
        else:
            self.respond_error(DEFECT)

    def _tell(self, error: Exception) -> None:
        context = {"message": "a request could not be handled", "exception": error, "protocol": self}
        self._loop.call_exception_handler(context)

    def _next(self) -> None:
        """What waits has its turn, unless an answer is being made or the caller does not read."""
        if self.busy or self._held or self._closing:
            return
        if self._waiting:
            self._answer(self._waiting.popleft())
            if not self._waiting:
                self._read_on()
        elif self._headed:
            self._await_body()

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
        if self._closing:
            return
        request = self._current
        assert request is not None
        self._begun, self._chunked, length = True, request.chunks, None
        if not request.chunks:
            request.keep_alive, length = False, UNTIL_CLOSE
        self.transport.write(head(status, content_type, more, self.keeps, length))

    def chunk(self, data: bytes) -> None:
        if not self._closing:
            self.transport.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    def finish(self, data: bytes = b"") -> None:
        """The last bytes of a streamed answer, and its end."""
        if self._closing:
            return
        if self._chunked:
            data = b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data) if data else b"0\r\n\r\n"
        self.transport.write(data)
        self._done(self.keeps)

    def break_off(self, data: bytes) -> None:
        """A last chunk, and then no end of the answer: the caller sees that it is not whole."""
        if not self._closing:
            self.chunk(data)
            self.listener = None
            self._close()

    def _done(self, keeps: bool) -> None:
        self.busy, self.listener, self._current = False, None, None
        if not keeps:
            self._close()
            return
        self.deadline_s = self._loop.time() + (self.limits.stalled_s if self._held else self.limits.idle_s)
        if self._waiting or self._headed:
            self._loop.call_soon(self._next)  # not within the application's call
