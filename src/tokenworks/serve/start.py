"""Starts the gateway, keeps it running, lets it go: sockets, ledger, sweep, drain."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tokenworks.errors import InputError
from tokenworks.ledger import GroupCommit, Ledger
from tokenworks.serve.access import Access
from tokenworks.serve.building import limits_of, open_upstreams
from tokenworks.serve.gateway import Gateway
from tokenworks.serve.http.limits import Limits
from tokenworks.serve.http.server import Application, ServerConnection
from tokenworks.serve.http.sweep import Sweep
from tokenworks.serve.keys import KeyRing
from tokenworks.serve.limits.start import Place, beside, limiting
from tokenworks.serve.metering import Meter
from tokenworks.serve.served import Served
from tokenworks.spec.factory import Factory

log = logging.getLogger("tokenworks.serve")
BACKLOG = 4096
KEYS_INTERVAL_S = 1.0


def run_loop(main: Any) -> Any:
    """Runs a coroutine to its end, on uvloop where it is installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


@dataclass
class Listening:
    """An HTTP server that takes connections."""

    server: asyncio.Server
    sweep: Sweep
    app: Application
    port: int

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


async def listen(app: Application, limits: Limits, host: str, port: int) -> Listening:
    """Opens the port (0: any). Raises InputError where it cannot be had."""
    if not 0 <= port <= 65_535:
        raise InputError(f"cannot listen at {host}:{port}: a port is a number from 0 to 65535")
    loop = asyncio.get_running_loop()
    sweep = Sweep(loop)
    try:
        server = await loop.create_server(
            lambda: ServerConnection(app, limits, sweep, loop), host, port, backlog=BACKLOG, reuse_address=True
        )
    except OSError as error:
        raise InputError(f"cannot listen at {host}:{port}: {error}") from None
    sweep.start()
    bound: socket.socket = server.sockets[0]
    return Listening(server, sweep, app, bound.getsockname()[1])


@asynccontextmanager
async def gateway(
    factory: Factory,
    services: list[Served],
    ledger: Ledger,
    ring: KeyRing | None,
    host: str,
    port: int,
    budgets: Place | None = None,
) -> AsyncIterator[Listening]:
    """A gateway that takes traffic until the block ends; then it drains, and what was metered is durable. ``budgets``: where
    they are kept; None: beside the ledger's file."""
    loop = asyncio.get_running_loop()
    source = f"gateway/{factory.name}/{socket.gethostname()}/{os.getpid()}"
    place = budgets or beside(ledger.store.place)
    async with GroupCommit(ledger) as group, limiting(factory, ring is not None, group, source, place) as limits:
        meter = Meter(group, source)
        app = Gateway(factory.name, services, factory.serve.aliases, Access(ring), meter, loop, limits)
        listening = await listen(app, limits_of(factory), host, port)
        upstream_sweep = Sweep(loop)
        upstream_sweep.start()
        open_upstreams(services, upstream_sweep, loop)
        watch = loop.create_task(_watch(ring)) if ring else None
        gc.collect()
        gc.freeze()  # what is there now stays: the collector need not look at it again
        try:
            yield listening
        finally:
            cut = await listening.drain(factory.serve.drain_s)
            if cut:
                log.warning("%d answers were cut off at the end of the drain", cut)
            await meter.settle()
            listening.sweep.stop()
            upstream_sweep.stop()
            for served in services:
                for upstream in served.router.upstreams:
                    upstream.close()
            if watch:
                watch.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await watch
            gc.unfreeze()


async def _watch(ring: KeyRing) -> None:
    """Keys that are added or revoked hold within a second or so."""
    while True:
        await asyncio.sleep(KEYS_INTERVAL_S)
        if why := ring.refresh():
            log.error("the key file cannot be read, the keys known so far stay in force: %s", why)


async def until_asked(said: Callable[[], None]) -> None:
    """Until Ctrl-C or SIGTERM."""
    import signal

    loop, asked = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked.set)
    said()
    try:
        await asked.wait()
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
