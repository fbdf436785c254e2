"""A changed factory file in a running gateway: all of it or nothing, and no call under way is touched."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from tokenworks.errors import InputError
from tokenworks.serve.building import limits_of, open_upstreams, services_of, splits_of, upstreams_of
from tokenworks.serve.gateway import Gateway
from tokenworks.serve.http.listening import Listening
from tokenworks.serve.http.sweep import Sweep
from tokenworks.serve.limits.bound import Bounds
from tokenworks.serve.limits.rates import PriceBook
from tokenworks.serve.limits.start import measures
from tokenworks.serve.stamp import stamp
from tokenworks.serve.upstreams.kv_subscription import check_events
from tokenworks.serve.upstreams.outlook import Outlook
from tokenworks.serve.upstreams.served import Served
from tokenworks.spec.factory import Factory

LOOK_S = 1.0
GONE = (0, 0, 0)  # for a moment, while an editor puts another file in its place
log = logging.getLogger("tokenworks.serve")


async def take_over_each(
    factories: asyncio.Queue[Factory], listening: Listening, app: Gateway, upstream_sweep: Sweep, outlook: Outlook
) -> None:
    """Takes over every factory that comes; one that does not fit is named, and the old one stays in force."""
    while True:
        factory = await factories.get()
        try:
            take_over(factory, listening, app, upstream_sweep, outlook)
        except InputError as error:
            log.error("the factory is not taken over, the old one stays in force: %s", error)
        except Exception:  # a fault of ours: the next file may mend what it leaves behind
            log.exception("the factory is perhaps taken over in part")
        else:
            log.warning("took over %s", factory.source_file or factory.name)


def checked(load: Callable[[], Factory]) -> Factory | None:
    """What ``load`` reads, where a gateway can work with it; otherwise says why not."""
    try:
        factory = load()
        check_events(services_of(factory, upstreams_of(factory)))
    except InputError as error:
        log.error("the factory is not taken over, the old one stays in force: %s", error)
        return None
    return factory


async def watch(path: Path, changed: Callable[[], None]) -> None:
    """Calls ``changed`` whenever a file is another one than before."""
    seen = stamp(path)
    while True:
        await asyncio.sleep(LOOK_S)
        if stamp(path) not in (seen, GONE):
            seen = stamp(path)
            changed()


def take_over(
    factory: Factory, listening: Listening, app: Gateway, upstream_sweep: Sweep, outlook: Outlook
) -> None:  # fmt: skip
    """Services, upstreams, aliases, splits, fallbacks, queue, hedging, retries, breakers' rules, sizes. Raises InputError: then
    nothing has changed.

    A service that stays keeps its counters, an upstream that stays its connections, its breaker and what is outstanding
    there. One that is gone gets no more calls; those under way end as they would have."""
    known = {served.name: served for served in app.services}
    fresh, measured = fitting(factory, known, app.limits_said)
    services = [_renewed(known.pop(new.name, None), new) for new in fresh]
    by_name = {served.name: served for served in services}
    for served, new in zip(services, fresh, strict=True):
        served.standby = tuple(by_name[one.name] for one in new.standby)
    for gone in known.values():
        for upstream in (u for router in gone.routers for u in router.listed):
            upstream.retire()
    open_upstreams(services, upstream_sweep, asyncio.get_running_loop())
    outlook.turn_to(services, factory.serve.look_s)
    app.serve(services, factory.serve.aliases, splits_of(factory, services))
    if app.limits:
        app.limits.measure(*measured)
    listening.limit(limits_of(factory))


def limits_said(factory: Factory) -> tuple[object, ...]:
    """What a file says of rates and budgets: kept from the start to the end."""
    rules = factory.serve
    return rules.limits, rules.budgets, rules.bounds, rules.price_plan


def fitting(
    factory: Factory, known: Mapping[str, Served], said: tuple[object, ...]
) -> tuple[list[Served], tuple[dict[str, Bounds], PriceBook | None]]:
    """The services of a file, and by what their calls are measured. Raises InputError where a gateway that serves what is
    ``known``, under the limits that were ``said``, cannot take it over."""
    fresh = services_of(factory, upstreams_of(factory))
    _fits(factory, fresh, known, said)
    splits_of(factory, fresh)
    return fresh, measures(factory)


def _fits(factory: Factory, fresh: list[Served], known: Mapping[str, Served], said: tuple[object, ...]) -> None:
    """Raises InputError for what only a new start can change."""
    check_events(fresh)
    if factory.serve.fleets or any(s.scaled for s in factory.services):
        raise InputError("replicas of this factory are scaled: its file is read at the start alone")
    if limits_said(factory) != said:
        raise InputError("limits and budgets change at a new start alone")
    for new in fresh:
        if factory.serve.budgets and new.name in known and known[new.name].model != new.model:
            raise InputError(f"{new.name}: under a budget its model changes at a new start alone")
        if new.name in known and (known[new.name].prefill is None) != (new.prefill is None):
            raise InputError(f"{new.name}: between one pool and two only a new start changes")
        if new.name in known and type(known[new.name].router) is not type(new.router):
            raise InputError(f"{new.name}: between kv-aware and other routing only a new start changes")


def _renewed(served: Served | None, new: Served) -> Served:
    """The service that is there, as the new file has it."""
    if served is None:
        return new
    served.model, served.retries, served.hedging = new.model, new.retries, new.hedging
    served.speaks, served.keyed = new.speaks, new.keyed
    if served.queue is None or new.queue is None:
        served.queue = new.queue  # who waits in a queue that is gone is still called when a place is free
        for router in served.routers:
            router.freed = new.queue.freed if new.queue else router.freed
    else:
        served.queue.rules = new.queue.rules
    for router, fresh in zip(served.routers, new.routers, strict=True):
        for upstream in router.take_over(fresh):
            upstream.retire()
    return served
