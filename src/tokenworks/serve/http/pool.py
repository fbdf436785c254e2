"""Kept connections to one upstream."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from tokenworks.serve.http.client import ClientConnection, Exchange
from tokenworks.serve.http.sweep import Sweep


@dataclass(frozen=True)
class Address:
    """Where an upstream listens."""

    host: str
    port: int
    tls: bool
    base: str  # path before /v1, without a slash at its end

    @classmethod
    def of(cls, url: str) -> Address:
        """Of ``http(s)://host[:port][/base][/v1]``."""
        parts = urlsplit(url)
        tls = parts.scheme == "https"
        return cls(
            parts.hostname or "", parts.port or (443 if tls else 80), tls, parts.path.rstrip("/").removesuffix("/v1")
        )

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"


@dataclass(frozen=True)
class Patience:
    """Seconds that an upstream has."""

    connect_s: float = 5.0
    first_byte_s: float = 600.0
    silence_s: float = 120.0  # between two pieces of an answer
    most_idle: int = 1024  # connections that are kept


class Connecting:
    """A connection on its way; ``abandon`` gives it up."""

    framed = True  # as of a connection that is there

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None

    def abandon(self) -> None:
        if self.task:
            self.task.cancel()

    def hold(self) -> None: ...

    def resume(self) -> None: ...


Handle = ClientConnection | Connecting


class Pool:
    """Connections to one address."""

    def __init__(self, address: Address, patience: Patience, sweep: Sweep, loop: asyncio.AbstractEventLoop):
        self.address, self.patience = address, patience
        self._sweep, self._loop = sweep, loop
        self._idle: deque[ClientConnection] = deque()
        self._tls = ssl.create_default_context() if address.tls else None
        self._tasks: set[asyncio.Task[None]] = set()
        self._most_idle = patience.most_idle

    def ask(self, payload: bytes, exchange: Exchange, taken: Callable[[Handle], None], fresh: bool = False) -> None:
        """Sends a request over a kept connection, or a new one (``fresh``: always). ``taken`` is told what can be given up."""
        while self._idle and not fresh:
            connection = self._idle.pop()
            if not connection.transport.is_closing():
                taken(connection)
                connection.ask(payload, exchange)
                return
        opening = Connecting()
        taken(opening)
        opening.task = self._loop.create_task(self._connect(payload, exchange, taken))
        self._tasks.add(opening.task)
        opening.task.add_done_callback(self._tasks.discard)

    async def _connect(self, payload: bytes, exchange: Exchange, taken: Callable[[Handle], None]) -> None:
        place, patience = self.address, self.patience

        def made() -> ClientConnection:
            return ClientConnection(self, self._sweep, self._loop, patience.first_byte_s, patience.silence_s)

        try:
            async with asyncio.timeout(patience.connect_s):
                _, connection = await self._loop.create_connection(made, place.host, place.port, ssl=self._tls)
        except (OSError, ValueError) as error:  # ValueError: no name that can be looked up
            exchange.answer_broken(f"cannot be reached: {error or 'no answer in time'}", "unreachable")
            return
        taken(connection)
        connection.ask(payload, exchange)

    def free(self, connection: ClientConnection) -> None:
        if len(self._idle) < self._most_idle:
            self._idle.append(connection)
        else:
            connection.transport.close()

    def lost(self, connection: ClientConnection) -> None:
        if connection in self._idle:
            self._idle.remove(connection)

    def retire(self) -> None:
        """Keeps no connection any more; exchanges under way end as they would have."""
        self._most_idle = 0
        while self._idle:
            self._idle.pop().transport.close()

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        self.retire()
