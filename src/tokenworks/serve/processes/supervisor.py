"""Gateway processes on one port, the process that owns an SQLite ledger, and the one that emulates engines."""

from __future__ import annotations

import asyncio
import logging
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tokenworks.errors import InputError
from tokenworks.serve.building import services_of, upstreams_of
from tokenworks.serve.limits.start import Place, beside
from tokenworks.serve.processes.doors import doors, meeting_place
from tokenworks.serve.processes.drains import Drains
from tokenworks.serve.processes.keeper import Keeper
from tokenworks.serve.processes.settings import (
    Addresses,
    Again,
    Drain,
    EngineSettings,
    FactoryText,
    GatewaySettings,
    LedgerSettings,
    Settings,
)
from tokenworks.serve.reloading import fitting, limits_said
from tokenworks.spec.factory import Factory

log = logging.getLogger("tokenworks.serve")
MOST = 64
SETTLE_S = 10.0  # beyond the drain, for what is still on its way into the ledger


@dataclass(frozen=True)
class Wanted:
    """What is to run."""

    factory: Factory
    processes: int
    host: str
    port: int
    ledger: str  # file or postgresql://…
    segments: str | None = None
    budgets: Place | None = None  # where they are kept; None: beside the ledger
    keys: str | None = None
    certificate: tuple[str, str] | None = None
    emulate: tuple[float, int] | None = None  # speed, streams; None: the factory's upstreams

    @property
    def alone(self) -> bool:
        """Whether one process has to own the ledger."""
        return not self.ledger.startswith(("postgresql://", "postgres://"))


class Supervisor:
    """Starts what is wanted, in the order in which one needs the other, and ends it in the other order."""

    def __init__(self, wanted: Wanted, folder: Path):
        self._wanted, self._folder = wanted, folder
        self._in_force, self._factory = wanted.factory, _text(wanted.factory)
        self._patience_s = wanted.factory.serve.drain_s + SETTLE_S
        self._sockets: list[socket.socket] = []
        self._emulated: dict[str, Addresses] | None = None
        self._first: list[Keeper] = []  # what gateways need
        self._gateways: list[Keeper] = []
        self._drains = Drains()
        self._granting: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Raises InputError where something cannot begin."""
        wanted = self._wanted
        self._sockets = doors(wanted.host, wanted.port, wanted.processes)
        self.port: int = self._sockets[0].getsockname()[1]
        if wanted.alone:
            await self._start_first("ledger", self._ledger_settings(self._meet("ledger")))
        if wanted.emulate is not None:
            (door,) = doors("127.0.0.1", 0, 1)
            self._sockets.append(door)
            self._emulated = await self._start_first("engines", self._engine_settings(door, *wanted.emulate))
        self._gateways = [
            Keeper(f"gateway-{place}", partial(self._gateway_settings, place), partial(self._grant, place))
            for place in range(wanted.processes)
        ]
        began = await asyncio.gather(*(keeper.start() for keeper in self._gateways), return_exceptions=True)
        for failure in began:
            if isinstance(failure, BaseException):
                raise failure

    async def _start_first(self, name: str, settings: Settings) -> dict[str, Addresses]:
        keeper = Keeper(name, lambda: settings)
        self._first.append(keeper)
        return (await keeper.start()).ready.addresses

    def _meet(self, name: str) -> socket.socket:
        self._sockets.append(meeting_place(self._folder / name))
        return self._sockets[-1]

    def _ledger_settings(self, door: socket.socket) -> LedgerSettings:
        return LedgerSettings(self._wanted.ledger, self._wanted.segments, door.fileno(), self._patience_s)

    def _engine_settings(self, door: socket.socket, speed: float, streams: int) -> EngineSettings:
        return EngineSettings(self._factory, door.fileno(), speed, streams)

    def _gateway_settings(self, place: int) -> GatewaySettings:
        wanted = self._wanted
        budgets = wanted.budgets or beside(wanted.ledger)
        return GatewaySettings(
            factory=self._factory,
            place=place,
            places=wanted.processes,
            door=self._sockets[place].fileno(),
            folder=str(self._folder),
            link=str(self._folder / "ledger") if wanted.alone else None,
            ledger=wanted.ledger,
            segments=wanted.segments,
            budgets=(budgets.base, str(budgets.folder)),
            keys=wanted.keys,
            drained=self._drains.rows,
            certificate=wanted.certificate,
            emulated=self._emulated,
        )

    def keep(self) -> asyncio.Future[None]:
        """Everything is started again as it ends. Done only where something has to be given up, with the error."""
        tasks = [keeper.keep() for keeper in (*self._first, *self._gateways)]
        return asyncio.ensure_future(_first_failure(tasks))

    def take_over(self, factory: Factory) -> None:
        """Hands a factory to all gateways, and to those that are started from now on. One that gateways could not take over
        is named, and the old one stays in force."""
        old = services_of(self._in_force, upstreams_of(self._in_force))
        try:
            fresh, _ = fitting(factory, {served.name: served for served in old}, limits_said(self._in_force))
        except InputError as error:
            log.error("the factory is not taken over, the old one stays in force: %s", error)
            return
        self._drains.turn_to(old, fresh)
        self._in_force, self._factory = factory, _text(factory)
        for keeper in self._gateways:
            keeper.tell(Again(self._factory))

    def _grant(self, place: int, wish: Drain) -> None:
        granting = asyncio.ensure_future(self._drains.grant(wish, self._gateways[place], self._gateways))
        self._granting.add(granting)
        granting.add_done_callback(self._granting.discard)

    async def stop(self) -> None:
        """Gateways drain, then what they need ends."""
        for granting in self._granting:
            granting.cancel()
        await asyncio.gather(*(keeper.stop(self._patience_s) for keeper in self._gateways))
        await asyncio.gather(*(keeper.stop(self._patience_s) for keeper in self._first))
        for one in self._sockets:
            one.close()


async def _first_failure(tasks: list[asyncio.Task[None]]) -> None:
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    for task in done:
        task.result()


def _text(factory: Factory) -> FactoryText:
    return FactoryText(factory.to_yaml(), factory.source_file)


@asynccontextmanager
async def supervised(wanted: Wanted) -> AsyncIterator[Supervisor]:
    """All processes, until the block ends. Raises InputError where something cannot begin."""
    if not 1 <= wanted.processes <= MOST:
        raise InputError(f"--processes is between 1 and {MOST}")
    folder = Path(tempfile.mkdtemp(prefix="tokenworks-"))  # for this user only
    supervisor = Supervisor(wanted, folder)
    try:
        await supervisor.start()
        yield supervisor
    finally:
        await supervisor.stop()
        shutil.rmtree(folder, ignore_errors=True)
