"""Starts the gateway, keeps it running, lets it go: ledger, port, upstreams, what is read again, drain."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from tokenworks.economics.facts import facts_of
from tokenworks.ledger import GroupCommit, Ledger
from tokenworks.serve.access.access import Access
from tokenworks.serve.access.keys import KeyRing
from tokenworks.serve.admin import Processes, admin_of
from tokenworks.serve.building import limits_of, open_upstreams, splits_of
from tokenworks.serve.gateway import Gateway
from tokenworks.serve.http.listening import Listening, listen
from tokenworks.serve.http.sweep import Sweep
from tokenworks.serve.http.tls import Certificate
from tokenworks.serve.limits.admission import Limits as Admitted
from tokenworks.serve.limits.start import Place, beside, limiting
from tokenworks.serve.metering import Commits, Meter
from tokenworks.serve.observing import Observing
from tokenworks.serve.pages.board import Board
from tokenworks.serve.reloading import limits_said, take_over_each
from tokenworks.serve.upstreams.kv_subscription import check_events
from tokenworks.serve.upstreams.outlook import Outlook
from tokenworks.serve.upstreams.served import Served
from tokenworks.spec.factory import Factory

log = logging.getLogger("tokenworks.serve")
LOOK_S = 1.0  # between looks at files that may have changed


@dataclass(frozen=True)
class Door:
    """Where callers come in, and what may change while they do."""

    host: str = "127.0.0.1"
    port: int = 0
    opened: socket.socket | None = None  # listens already, in place of host and port
    certificate: Certificate | None = None
    factories: asyncio.Queue[Factory] | None = None  # that take the place of the present one
    board: Board | None = None  # of several processes, for their counters
    budgets: Place | None = None  # where budgets are kept
    emulated: bool = False  # all engines are
    processes: Processes | None = None  # of the port, where there are several


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
    door = Door(host, port, budgets=budgets or beside(ledger.store.place))
    async with GroupCommit(ledger) as group, front(factory, services, group, ring, door) as listening:
        yield listening


@asynccontextmanager
async def front(
    factory: Factory, services: list[Served], group: Commits, ring: KeyRing | None, door: Door
) -> AsyncIterator[Listening]:
    """The same over any way into a ledger, which must outlive the block."""
    source = f"gateway/{factory.name}/{socket.gethostname()}/{os.getpid()}"
    async with (
        limiting(factory, ring is not None, group, source, door.budgets, door.emulated) as limits,
        _open(factory, services, Meter(group, source), ring, door, limits) as listening,
    ):
        yield listening


@asynccontextmanager
async def _open(
    factory: Factory, services: list[Served], meter: Meter, ring: KeyRing | None, door: Door, limits: Admitted | None
) -> AsyncIterator[Listening]:
    loop = asyncio.get_running_loop()
    check_events(services)
    splits = splits_of(factory, services)
    app = Gateway(factory.name, services, factory.serve.aliases, Access(ring), meter, loop, splits, door.board, limits)
    app.limits_said = limits_said(factory)
    app.admin = admin_of(factory, ring, door.processes)
    observing = Observing(factory, app)
    app.usd_h = sum(usd for system in facts_of(factory).systems for usd in system.costs_usd(3600.0).values())
    tls = door.certificate.context if door.certificate else None
    listening = await listen(
        app, limits_of(factory), door.host, door.port, opened=door.opened, tls=tls, gate=app.gate
    )  # fmt: skip
    upstream_sweep = Sweep(loop)
    upstream_sweep.start()
    outlook = Outlook(upstream_sweep, loop)
    outlook.turn_to(services, factory.serve.look_s)
    open_upstreams(services, upstream_sweep, loop)
    beside: list[asyncio.Task[None]] = [
        loop.create_task(work) for work in _beside(door, ring, listening, app, upstream_sweep, outlook)
    ]
    gc.collect()
    gc.freeze()  # what is there now stays: the collector need not look at it again
    try:
        yield listening
    finally:
        cut = await listening.drain(factory.serve.drain_s)
        if cut:
            log.warning("%d answers were cut off at the end of the drain", cut)
        await meter.settle()
        await observing.close()
        outlook.stop()
        listening.sweep.stop()
        upstream_sweep.stop()
        for served in app.services:
            for upstream in (u for router in served.routers for u in router.upstreams):
                upstream.close()
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        gc.unfreeze()


class Changing(Protocol):
    """Something from a file that may change."""

    def refresh(self) -> str:
        """The reason, where a changed file could not be taken over."""


def _beside(
    door: Door, ring: KeyRing | None, listening: Listening, app: Gateway, upstream_sweep: Sweep, outlook: Outlook
) -> list[Coroutine[Any, Any, None]]:
    """What goes on beside the traffic."""
    works: list[Coroutine[Any, Any, None]] = []
    changing = [one for one in (ring, door.certificate) if one is not None]
    if changing:
        works.append(_watch(changing))
    if door.factories is not None:
        works.append(take_over_each(door.factories, listening, app, upstream_sweep, outlook))
    if door.board is not None:
        works.append(door.board.keep(app.lines))
    return works


async def _watch(changing: Sequence[Changing]) -> None:
    """Keys and certificates that change hold within a second or so."""
    while True:
        await asyncio.sleep(LOOK_S)
        for one in changing:
            if why := one.refresh():
                log.error("a changed file cannot be read, what was known so far stays in force: %s", why)
