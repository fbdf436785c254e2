"""Connections to one server, kept alive between requests; what comes is stamped when the loop hands it over."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any

from tokenworks.serve.bench.address import Address
from tokenworks.serve.bench.response import BadResponseError, Response

Sink = Callable[[Response, bytes, float], None]  # (response, piece of the body, loop time)


class ClosedEarlyError(ConnectionError):
    """The connection ended before the answer did."""


class StaleError(ClosedEarlyError):
    """A kept connection was closed before it said anything: the request may be sent again."""


class Connection(asyncio.Protocol):
    """One connection; one exchange at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop):
        self._loop, self._now = loop, loop.time
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Response] | None = None
        self._response = Response()
        self._sink: Sink = _nowhere
        self._used, self._silent = False, True
        self.open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport, self.open = transport, True

    async def exchange(self, request: bytes, sink: Sink) -> Response:
        """Sends a request; the response once it is whole. Raises ClosedEarlyError, BadResponseError."""
        assert self._transport is not None
        self._response, self._sink, self._silent = Response(), sink, True
        self._waiter = self._loop.create_future()
        self._transport.write(request)
        try:
            return await self._waiter
        finally:
            self._waiter, self._used = None, True
            if not self._response.keep_alive:
                self.close()

    def data_received(self, data: bytes) -> None:
        now = self._now()
        self._silent = False
        if self._waiter is None or self._waiter.done():
            self.close()  # nobody asked
            return
        try:
            for piece in self._response.feed(data):
                self._sink(self._response, piece, now)
        except ValueError as error:
            self._waiter.set_exception(error if isinstance(error, BadResponseError) else BadResponseError(str(error)))
            return
        if self._response.done:
            self._waiter.set_result(self._response)

    def connection_lost(self, error: Exception | None) -> None:
        self.open = False
        if self._waiter is None or self._waiter.done():
            return
        if error is None and self._response.end():
            self._waiter.set_result(self._response)
        elif self._used and self._silent:
            self._waiter.set_exception(StaleError("a kept connection was closed"))
        else:
            self._waiter.set_exception(ClosedEarlyError("the connection ended before the answer"))

    def close(self) -> None:
        self.open = False
        if self._transport is not None:
            self._transport.abort()


def _nowhere(_response: Response, _piece: bytes, _now: float) -> None:
    """Where bytes go that nobody waits for."""


class Connections:
    """As many as are needed at the same time."""

    def __init__(self, address: Address, trust: ssl.SSLContext | None = None):
        self._address, self._idle = address, list[Connection]()
        self._tls = (trust or ssl.create_default_context()) if address.tls else None
        self.opened = 0

    async def ask(self, request: bytes, sink: Sink) -> Response:
        """Raises ClosedEarlyError, BadResponseError, OSError."""
        while True:
            connection = self._kept() or await self.connect()
            try:
                response = await connection.exchange(request, sink)
            except StaleError:
                continue  # nothing of it was answered; a new connection is never stale
            if connection.open:
                self._idle.append(connection)
            return response

    def _kept(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.open:
                return connection
        return None

    async def connect(self) -> Connection:
        """A new connection. Raises OSError."""
        loop = asyncio.get_running_loop()
        more: dict[str, Any] = {"ssl": self._tls, "server_hostname": self._address.host} if self._tls else {}
        _, made = await loop.create_connection(lambda: Connection(loop), self._address.host, self._address.port, **more)
        self.opened += 1
        return made

    def keep(self, connection: Connection) -> None:
        self._idle.append(connection)

    def close(self) -> None:
        for connection in self._idle:
            connection.close()
        self._idle.clear()
