"""Limits of a factory for as long as its gateway takes traffic."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from tokenworks import catalog
from tokenworks.errors import InputError
from tokenworks.serve.limits.admission import Limits
from tokenworks.serve.limits.bound import Bounds
from tokenworks.serve.limits.desk import Desk
from tokenworks.serve.limits.joules import ServiceJoules
from tokenworks.serve.limits.journal import Journal
from tokenworks.serve.limits.leases import Leases
from tokenworks.serve.limits.media import KINDS
from tokenworks.serve.limits.rates import PriceBook
from tokenworks.serve.limits.records import Owner
from tokenworks.serve.limits.recovery import LOOK_S, Events, Finish, boot, settle_dead
from tokenworks.serve.limits.rules import Rule
from tokenworks.serve.limits.store import BudgetStore, Database, SqliteBase
from tokenworks.serve.limits.throttle import Throttle
from tokenworks.serve.uuids import uuid7
from tokenworks.spec.factory import Factory
from tokenworks.spec.limits import Bound
from tokenworks.spec.service import Service

PATIENCE_S, PAUSE_S = 5.0, 0.005  # with the last events at the end
log = logging.getLogger("tokenworks.serve")


@dataclass(frozen=True)
class Place:
    """Where budgets are kept: the database that gateways share, and the folder of this machine's journals."""

    base: str
    folder: Path


def beside(ledger: str) -> Place:
    """In the ledger's database, or beside its file."""
    if _is_server(ledger):
        return Place(ledger, Path("tokenworks-reservations"))
    return Place(f"{ledger}.budgets", Path(f"{ledger}.reservations"))


def _is_server(place: str) -> bool:
    return place.startswith(("postgresql://", "postgres://"))


@asynccontextmanager
async def limiting(
    factory: Factory, keyed: bool, events: Events, source: str, place: Place | None, emulated: bool
) -> AsyncIterator[Limits | None]:
    """None where nothing can be limited or priced: no rates, budgets, keys or price plan. What a gateway that died left open is
    settled before the block begins. ``emulated``: all engines are. Raises InputError, also for budgets without a place."""
    rules = [Rule.of(budget) for budget in factory.serve.budgets]
    if not rules and not factory.serve.limits and not keyed and not factory.serve.price_plan:
        yield None
        return
    throttle = Throttle(factory.serve.limits)
    bounds, prices = measures(factory, emulated)
    if not rules:
        yield Limits(throttle, rules, bounds, prices, None)
        return
    if place is None:
        raise InputError("budgets need a place that gateways share: a file beside the ledger, or its database")
    joules = _joules(factory, emulated) if any(rule.in_joules for rule in rules) else {}
    async with _desk(events, source, place) as desk:
        yield Limits(throttle, rules, bounds, prices, desk, joules)


def _joules(factory: Factory, emulated: bool) -> dict[str, ServiceJoules]:
    """What the calls of each service cost at most, by the models of its emulated workers."""
    from tokenworks.rehearsal.plant import plant

    if not emulated:
        names = ", ".join(budget.name for budget in factory.serve.budgets if budget.joules is not None)
        raise InputError(
            f"{factory.source_file or factory.name}: the budget {names} counts joules, which real engines do not tell of a "
            "call: start with --emulate, or give tokens or usd"
        )
    made = plant(factory)
    workers = {
        plan.name: {made.cell.workers[w] for w in (*plan.workers, *plan.prefill, *plan.decode)}
        for plan in made.cell.services
    }
    return {name: ServiceJoules(made.models[m] for m in sorted(models)) for name, models in workers.items()}


def measures(factory: Factory, emulated: bool = False) -> tuple[dict[str, Bounds], PriceBook | None]:
    """What a call of each service can use at most, and its prices where there are some. Raises InputError."""
    bounds = {service.name: _bounds(factory, service, emulated) for service in factory.services}
    return bounds, _prices(factory, factory.serve.price_plan) if factory.serve.price_plan else None


@asynccontextmanager
async def _desk(events: Events, source: str, place: Place) -> AsyncIterator[Desk]:
    """All work of the database happens on one thread."""
    loop, gateway = asyncio.get_running_loop(), uuid7()
    with ThreadPoolExecutor(1, "budgets") as pool:
        store = await loop.run_in_executor(pool, lambda: BudgetStore(_base(place.base)))

        def finish(of: str, spent: Mapping[str, int] | None) -> asyncio.Future[None]:
            return loop.run_in_executor(pool, partial(store.finish, of, spent))

        try:
            await settle_dead(place.folder, events, finish, store.id)
            journal = Journal(place.folder, Owner(gateway, source, boot(), socket.gethostname(), store.id))
            desk = Desk(journal)
            desk.leases = Leases(store, gateway, pool, loop, desk.dropped)
            tasks = [
                loop.create_task(desk.leases.run()),
                loop.create_task(_look(place.folder, events, finish, store.id)),
            ]
            try:
                yield desk
            finally:
                for task in tasks:
                    task.cancel()
                for ended in await asyncio.gather(*tasks, return_exceptions=True):
                    if isinstance(ended, Exception):
                        log.error("budgets: %s", ended)
                if await _settled(desk):  # else the journal stays, for whoever comes next
                    desk.tell_settled()
                    await finish(gateway, desk.spent)
                    journal.remove()
        finally:
            await loop.run_in_executor(pool, store.close)


async def _settled(desk: Desk) -> bool:
    """Whether the last events become durable."""
    for _ in range(round(PATIENCE_S / PAUSE_S)):
        if not desk.open:
            return True
        await asyncio.sleep(PAUSE_S)
    return False


async def _look(folder: Path, events: Events, finish: Finish, store: str) -> None:
    while True:
        await asyncio.sleep(LOOK_S)
        try:
            await settle_dead(folder, events, finish, store)
        except Exception as error:  # noqa: BLE001 - this look failed; the next one comes
            log.error("gateways that died cannot be looked for now: %s", error)


def _base(place: str) -> Database:
    if _is_server(place):
        from tokenworks.serve.limits.postgres import PostgresBase

        return PostgresBase(place)
    return SqliteBase(Path(place))


def _bounds(factory: Factory, service: Service, emulated: bool) -> Bounds:
    model = catalog.load("models", service.model)
    context = int(model["max_context"]) if "max_context" in model else None
    said = next((b for b in factory.serve.bounds if b.service == service.name), None)
    if said is None:
        return Bounds(service.name, None, context, emulated=emulated)
    return Bounds(
        service.name, said.template_tokens, said.context_tokens or context, said.tools_factor,
        tuple((kind, _media(said, kind)) for kind in KINDS), emulated,
    )  # fmt: skip


def _media(said: Bound, kind: str) -> int | None:
    most: int | None = getattr(said, f"{kind}_tokens")
    return most


def _prices(factory: Factory, file: str) -> PriceBook:
    from tokenworks.pricing.plan import Plan
    from tokenworks.pricing.reading import read

    models = tuple(dict.fromkeys(s.model for s in factory.services))
    return PriceBook(read(file, Plan), models, datetime.now(UTC).date())
