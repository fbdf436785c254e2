"""The client's side of a connection: one exchange at a time with an upstream, answers handed on as they come."""

from __future__ import annotations

import asyncio
from typing import Any, Literal, Protocol, TypeAlias

import httptools

from tokenworks.serve.http.sweep import NEVER, Sweep

MOST_HEAD_BYTES = 65_536
CLOSE_S = 5.0  # for what is left of a request whose answer is there already
STALE_S = 1.0  # after which the other side had the request: an idle connection that it closes is lost sooner
Broken: TypeAlias = Literal["unreachable", "stale", "broken"]


class Exchange(Protocol):
    """Who asked. After ``answer_end`` or ``answer_broken`` nothing more comes."""

    def answer_head(self, status: int, headers: dict[bytes, bytes]) -> None: ...

    def answer_body(self, data: bytes) -> None: ...

    def answer_end(self) -> None: ...

    def answer_broken(self, reason: str, kind: Broken) -> None:
        """``unreachable``: nothing was sent. ``stale``: a kept connection that was closed at once, before it answered anything;
        nothing is wrong with the upstream. ``broken``: it had the request, and nobody knows what it did with it."""


class Owner(Protocol):
    """The pool that a connection belongs to."""

    def free(self, connection: ClientConnection) -> None: ...

    def lost(self, connection: ClientConnection) -> None: ...


class ClientConnection(asyncio.Protocol):
    """A connection to an upstream, kept for further exchanges where both sides allow it. ``framed``: whether its answer said where
    it ends; where it is False at ``answer_end``, only the connection's end has ended it, and a part looks like the whole."""

    framed = True

    def __init__(
        self, owner: Owner, sweep: Sweep, loop: asyncio.AbstractEventLoop, first_byte_s: float, silence_s: float
    ):
        self._owner, self._sweep, self._loop = owner, sweep, loop
        self._parser = httptools.HttpResponseParser(self)
        self._first_byte_s, self._silence_s = first_byte_s, silence_s
        self.deadline_s, self._asked_s = NEVER, 0.0
        self.exchange: Exchange | None = None
        self._held = False
        self.used = False  # for an exchange before the present one
        self._headers: dict[bytes, bytes] = {}
        self._status = self._head_bytes = 0
        self._answered = self._keeps = self._late = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self._sweep.members.add(self)

    def ask(self, payload: bytes, exchange: Exchange) -> None:
        """Sends a whole request."""
        self._headers = {}
        self._status = self._head_bytes = 0
        self._answered = self._keeps = self._late = False
        self.exchange = exchange
        self._asked_s = self._loop.time()
        self.deadline_s = self._asked_s + self._first_byte_s
        self.transport.write(payload)

    def data_received(self, data: bytes) -> None:
        if self.exchange is None:  # nobody asked: what else it says cannot be trusted either
            self.transport.abort()
            return
        self._late = True
        if not self._status:
            self._head_bytes += len(data)
        else:
            self.deadline_s = self._loop.time() + self._silence_s
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError:
            raise  # a defect of ours, and the loop's to tell; it closes the connection
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._break(f"its answer is not HTTP as it should be: {error}")
            return
        if not self._status and self._head_bytes > MOST_HEAD_BYTES:
            self._break("the head of its answer is too large")

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._status:
            self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:
            self._headers = {}
            return
        self._status = status
        self._keeps = self._parser.should_keep_alive()
        self.deadline_s = self._loop.time() + self._silence_s
        if self.exchange:
            self.exchange.answer_head(status, self._headers)

    def on_body(self, data: bytes) -> None:
        if self.exchange:
            self.exchange.answer_body(data)

    def on_message_complete(self) -> None:
        if not self._status:
            return  # 100 Continue
        if self._answered:
            self._keeps = False  # two answers to one question
            self.transport.abort()
            return
        self._answered = True
        if self._held:
            self.resume()
        exchange, self.exchange = self.exchange, None
        self.deadline_s = NEVER
        if self._keeps:
            self.used = True
            self._owner.free(self)
        else:
            self.deadline_s = self._loop.time() + CLOSE_S
            self.transport.close()
        if exchange:
            exchange.answer_end()

    def connection_lost(self, error: Exception | None) -> None:
        self._sweep.members.discard(self)
        self._owner.lost(self)
        exchange, self.exchange = self.exchange, None
        if exchange is None:
            return
        said = b"content-length" in self._headers or b"transfer-encoding" in self._headers
        if self._status and not said and error is None:
            self.framed = False
            exchange.answer_end()
            return
        stale = self.used and not self._late and self._loop.time() - self._asked_s < STALE_S
        exchange.answer_broken("closed the connection", "stale" if stale else "broken")

    def expire(self) -> None:
        self._break("did not answer in time" if not self._status else "stopped in the middle of its answer")

    def _break(self, reason: str) -> None:
        exchange, self.exchange = self.exchange, None
        self.deadline_s = NEVER
        self.transport.abort()
        if exchange:
            exchange.answer_broken(reason, "broken")

    def abandon(self) -> None:
        """Nobody wants the answer any more: closing is what tells the upstream to stop."""
        self.exchange = None
        self.transport.abort()

    def hold(self) -> None:
        """Reads nothing more, so that the upstream is held back by the network."""
        self.deadline_s = NEVER
        if not self._held and not self.transport.is_closing():
            self._held = True
            self.transport.pause_reading()

    def resume(self) -> None:
        if self.exchange:
            self.deadline_s = self._loop.time() + self._silence_s
        if self._held and not self.transport.is_closing():
            self._held = False
            self.transport.resume_reading()
