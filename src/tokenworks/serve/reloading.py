"""A changed factory file in a running gateway: all of it or nothing, and no call under way is touched."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from tokenworks.errors import InputError
from tokenworks.serve.building import limits_of, open_upstreams, services_of, upstreams_of
from tokenworks.serve.gateway import Gateway
from tokenworks.serve.http.listening import Listening
from tokenworks.serve.http.sweep import Sweep
from tokenworks.serve.stamp import stamp
from tokenworks.spec.factory import Factory

LOOK_S = 1.0
GONE = (0, 0, 0)  # for a moment, while an editor puts another file in its place
log = logging.getLogger("tokenworks.serve")


async def take_over_each(
    factories: asyncio.Queue[Factory], listening: Listening, app: Gateway, upstream_sweep: Sweep
) -> None:
    """Takes over every factory that comes; one that does not fit is named, and the old one stays in force."""
    while True:
        factory = await factories.get()
        try:
            take_over(factory, listening, app, upstream_sweep)
        except InputError as error:
            log.error("the factory is not taken over, the old one stays in force: %s", error)
        else:
            log.warning("took over %s", factory.source_file or factory.name)


def checked(load: Callable[[], Factory]) -> Factory | None:
    """What ``load`` reads, where a gateway can work with it; otherwise says why not."""
    try:
        factory = load()
        services_of(factory, upstreams_of(factory))
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


def take_over(factory: Factory, listening: Listening, app: Gateway, upstream_sweep: Sweep) -> None:
    """Services, upstreams, aliases, retries, breakers' rules, sizes. Raises InputError: then nothing has changed.

    A service that stays keeps its counters, an upstream that stays its connections, its breaker and what is outstanding
    there. One that is gone gets no more calls; those under way end as they would have."""
    fresh = services_of(factory, upstreams_of(factory))
    known = {served.name: served for served in app.services}
    services = []
    for new in fresh:
        served = known.pop(new.name, None)
        if served is None:
            served = new
        else:
            served.model, served.retries = new.model, new.retries
            for upstream in served.router.take_over(new.router):
                upstream.retire()
        services.append(served)
    for gone in known.values():
        for upstream in gone.router.listed:
            upstream.retire()
    open_upstreams(services, upstream_sweep, asyncio.get_running_loop())
    app.serve(services, factory.serve.aliases)
    listening.limit(limits_of(factory))
