"""An open port: the connections that came over it, and its drain."""

from __future__ import annotations

import asyncio
import socket
import ssl
from dataclasses import dataclass
from typing import Any

from tokenworks.errors import InputError
from tokenworks.serve.http.limits import Limits
from tokenworks.serve.http.reading import Gate
from tokenworks.serve.http.server import Application, ServerConnection
from tokenworks.serve.http.sweep import Sweep

BACKLOG = 4096
HANDSHAKE_S, TLS_CLOSE_S = 10.0, 5.0


@dataclass
class Listening:
    """An HTTP server that takes connections."""

    server: asyncio.Server
    sweep: Sweep
    app: Application
    port: int
    limits: Limits

    def limit(self, limits: Limits) -> None:
        """For the connections there are, and those to come."""
        self.limits = limits
        for connection in self._connections():
            connection.limits = limits

    async def drain(self, patience_s: float) -> int:
        """Takes no more connections, lets answers in progress end; returns how many had to be cut off."""
        self.app.draining = True
        self.server.close()
        loop = asyncio.get_running_loop()
        end_s = loop.time() + patience_s
        for connection in self._connections():
            connection.shut()
        while self._busy() and loop.time() < end_s:
            await asyncio.sleep(0.02)
        left = self._busy()
        for connection in self._connections():
            connection.abort()
        return left

    def _connections(self) -> list[ServerConnection]:
        return [m for m in self.sweep.members if isinstance(m, ServerConnection)]

    def _busy(self) -> int:
        return sum(c.busy for c in self._connections())


async def listen(
    app: Application, limits: Limits, host: str, port: int, *, opened: socket.socket | None = None,
    tls: ssl.SSLContext | None = None, gate: Gate | None = None,
) -> Listening:  # fmt: skip
    """Opens the port (0: any), or takes connections from a socket that listens already. ``gate``: asked before a large body is
    kept. Raises InputError where the port cannot be had."""
    loop = asyncio.get_running_loop()
    sweep = Sweep(loop)

    def made() -> ServerConnection:
        return ServerConnection(app, listening.limits, sweep, loop, gate)

    where: dict[str, Any] = {"sock": opened} if opened else {"host": host, "port": port, "reuse_address": True}
    if tls:
        where |= {"ssl": tls, "ssl_handshake_timeout": HANDSHAKE_S, "ssl_shutdown_timeout": TLS_CLOSE_S}
    if not opened:
        require_port(host, port)
    try:
        server = await loop.create_server(made, backlog=BACKLOG, start_serving=False, **where)
        listening = Listening(server, sweep, app, 0, limits)
        await server.start_serving()
    except OSError as error:
        raise InputError(f"cannot listen at {host}:{port}: {error}") from None
    sweep.start()
    bound: socket.socket = server.sockets[0]
    listening.port = bound.getsockname()[1]
    return listening


def require_port(host: str, port: int) -> None:
    if not 0 <= port <= 65_535:
        raise InputError(f"cannot listen at {host}:{port}: a port is a number from 0 to 65535")
