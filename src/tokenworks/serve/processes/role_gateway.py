"""One gateway process of several."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

from tokenworks.ledger import GroupCommit, Ledger
from tokenworks.serve.access.keys import KeyRing
from tokenworks.serve.building import services_of, upstreams_of
from tokenworks.serve.emulate.address import upstream_at
from tokenworks.serve.gateway import Gateway
from tokenworks.serve.http.tls import Certificate
from tokenworks.serve.limits.start import Place
from tokenworks.serve.metering import Commits
from tokenworks.serve.pages.board import Board
from tokenworks.serve.processes.fellows import Fellows
from tokenworks.serve.processes.ledger_link import LedgerLink
from tokenworks.serve.processes.orders import Orders, say
from tokenworks.serve.processes.settings import Again, Done, Drain, FactoryText, GatewaySettings, Ready
from tokenworks.serve.start import Door, front
from tokenworks.serve.upstreams.upstream import Upstream
from tokenworks.spec.factory import Factory
from tokenworks.spec.loading import loads


async def be_gateway(settings: GatewaySettings, orders: Orders) -> int:
    factory = _factory(settings.factory)
    services = services_of(factory, _upstreams(settings, factory))
    for name, upstream in settings.drained:
        next(s for s in services if s.name == name).places[upstream].drain(True)
    factories: asyncio.Queue[Factory] = asyncio.Queue()
    board = Board(Path(settings.folder), settings.place, settings.places)
    fellows = Fellows(board)
    door = Door(
        opened=socket.socket(fileno=settings.door),
        certificate=Certificate(*map(Path, settings.certificate)) if settings.certificate else None,
        factories=factories,
        board=board,
        processes=fellows,
        emulated=settings.emulated is not None,
        budgets=Place(settings.budgets[0], Path(settings.budgets[1])),
    )
    ring = KeyRing(Path(settings.keys)) if settings.keys else None
    async with AsyncExitStack() as stack:
        group = await _way_into_the_ledger(settings, stack)
        app = (await stack.enter_async_context(front(factory, services, group, ring, door))).app
        assert isinstance(app, Gateway)
        await stack.enter_async_context(orders.heard())
        changing = asyncio.ensure_future(_change(orders, factories, fellows, app, lambda: board.put(app.lines())))
        stack.callback(changing.cancel)
        say(Ready())
        await orders.stop.wait()
    return 0


async def _change(
    orders: Orders, factories: asyncio.Queue[Factory], fellows: Fellows, app: Gateway, put: Callable[[], None]
) -> None:
    """What the supervisor says, one after the other."""
    while True:
        match await orders.changes.get():
            case Again() as again:
                factories.put_nowait(_factory(again.factory))
            case Drain() as drain:
                fellows.do(drain, app.services, put)
            case Done() as done:
                fellows.answered(done)


def _factory(given: FactoryText) -> Factory:
    return loads(given.text, given.file)


def _upstreams(settings: GatewaySettings, factory: Factory) -> dict[str, list[Upstream]]:
    if settings.emulated is None:
        return upstreams_of(factory)
    return {service: [upstream_at(url, role) for url, role in them] for service, them in settings.emulated.items()}


async def _way_into_the_ledger(settings: GatewaySettings, stack: AsyncExitStack) -> Commits:
    if settings.link is not None:
        return await stack.enter_async_context(LedgerLink(Path(settings.link)))
    segments = Path(settings.segments) if settings.segments else None
    ledger = stack.enter_context(Ledger.open(settings.ledger, segments=segments))
    return await stack.enter_async_context(GroupCommit(ledger))
