"""What a process under the supervisor runs: `python -m tokenworks.serve.processes.roles`, told the rest on its standard input."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from tokenworks.errors import InputError
from tokenworks.ledger import GroupCommit, Ledger
from tokenworks.serve.building import services_of, upstreams_of
from tokenworks.serve.keys import KeyRing
from tokenworks.serve.metering import Commits
from tokenworks.serve.processes.board import Board
from tokenworks.serve.processes.child import LONGEST_LINE
from tokenworks.serve.processes.ledger_door import keep_ledger
from tokenworks.serve.processes.ledger_link import LedgerLink
from tokenworks.serve.processes.settings import (
    Again,
    EngineSettings,
    FactoryText,
    Failed,
    GatewaySettings,
    LedgerSettings,
    Ready,
    to_child,
    to_line,
)
from tokenworks.serve.start import Door, front, run_loop
from tokenworks.serve.tls import Certificate
from tokenworks.serve.upstream import Upstream
from tokenworks.spec.factory import Factory
from tokenworks.spec.loading import loads

log = logging.getLogger("tokenworks.serve")
FAILED = 3  # exit code of a ledger process whose disk refused: it wants to be started again


async def main() -> int:
    orders, stop = await _orders(), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    first = to_child(await orders.readline())
    try:
        if isinstance(first, LedgerSettings):
            return await _ledger(first, orders, stop)
        if isinstance(first, EngineSettings):
            return await _engines(first, orders, stop)
        if isinstance(first, GatewaySettings):
            return await _gateway(first, orders, stop)
        raise InputError("the first line says what this process is")
    except InputError as error:
        _say(Failed(str(error)))
        return 2


async def _orders() -> asyncio.StreamReader:
    reader = asyncio.StreamReader(limit=LONGEST_LINE)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


def _say(what: Ready | Failed) -> None:
    with contextlib.suppress(BrokenPipeError):
        os.write(1, to_line(what) + b"\n")


@asynccontextmanager
async def _listening_to(
    orders: asyncio.StreamReader, stop: asyncio.Event, factories: asyncio.Queue[Factory] | None = None
) -> AsyncIterator[None]:
    """Beside the work: takes further orders; their end asks to stop."""
    task = asyncio.get_running_loop().create_task(_listen(orders, stop, factories))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _listen(orders: asyncio.StreamReader, stop: asyncio.Event, factories: asyncio.Queue[Factory] | None) -> None:
    while line := await orders.readline():
        order = to_child(line)
        if isinstance(order, Again) and factories is not None:
            factories.put_nowait(_factory(order.factory))
    stop.set()


def _factory(given: FactoryText) -> Factory:
    return loads(given.text, given.file)


async def _ledger(settings: LedgerSettings, orders: asyncio.StreamReader, stop: asyncio.Event) -> int:
    segments = Path(settings.segments) if settings.segments else None
    with Ledger.open(settings.place, segments=segments) as ledger:
        async with _listening_to(orders, stop):
            _say(Ready())
            trouble = await keep_ledger(ledger, socket.socket(fileno=settings.door), stop, settings.patience_s)
    if trouble:
        log.error("the ledger is opened anew: %s", trouble)
    return FAILED if trouble else 0


async def _engines(settings: EngineSettings, orders: asyncio.StreamReader, stop: asyncio.Event) -> int:
    from tokenworks.serve.emulate.start import emulated

    door = socket.socket(fileno=settings.door)
    emulating = emulated(_factory(settings.factory), settings.speed, settings.streams, door)
    async with emulating as upstreams, _listening_to(orders, stop):
        _say(Ready({service: [u.url for u in them] for service, them in upstreams.items()}))
        await stop.wait()
    return 0


async def _gateway(settings: GatewaySettings, orders: asyncio.StreamReader, stop: asyncio.Event) -> int:
    factory = _factory(settings.factory)
    services = services_of(factory, _upstreams(settings, factory))
    factories: asyncio.Queue[Factory] = asyncio.Queue()
    door = Door(
        opened=socket.socket(fileno=settings.door),
        certificate=Certificate(*map(Path, settings.certificate)) if settings.certificate else None,
        factories=factories,
        board=Board(Path(settings.folder), settings.place, settings.places),
    )
    ring = KeyRing(Path(settings.keys)) if settings.keys else None
    async with AsyncExitStack() as stack:
        group = await _way_into_the_ledger(settings, stack)
        await stack.enter_async_context(front(factory, services, group, ring, door))
        async with _listening_to(orders, stop, factories):
            _say(Ready())
            await stop.wait()
    return 0


def _upstreams(settings: GatewaySettings, factory: Factory) -> dict[str, list[Upstream]]:
    if settings.emulated is None:
        return upstreams_of(factory)
    return {service: [Upstream(url) for url in urls] for service, urls in settings.emulated.items()}


async def _way_into_the_ledger(settings: GatewaySettings, stack: AsyncExitStack) -> Commits:
    if settings.link is not None:
        return await stack.enter_async_context(LedgerLink(Path(settings.link)))
    segments = Path(settings.segments) if settings.segments else None
    ledger = stack.enter_context(Ledger.open(settings.ledger, segments=segments))
    return await stack.enter_async_context(GroupCommit(ledger))


def run() -> Any:
    logging.basicConfig(format=f"%(levelname)s %(message)s (process {os.getpid()})", level=logging.WARNING)
    sys.exit(run_loop(main()))


if __name__ == "__main__":
    run()
