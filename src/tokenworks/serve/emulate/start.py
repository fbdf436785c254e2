"""Emulates a factory's engines for as long as they are wanted."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

from tokenworks.errors import InputError
from tokenworks.rehearsal.plant import Plant, plant
from tokenworks.serve.emulate.address import EmulatedUpstream
from tokenworks.serve.emulate.application import EmulatedEngines
from tokenworks.serve.emulate.clock import Clock
from tokenworks.serve.emulate.handover import Caches
from tokenworks.serve.emulate.loaded import loaded_of
from tokenworks.serve.emulate.pace import chunks_s, most_tokens_s, require_pace
from tokenworks.serve.emulate.worker import EmulatedWorker
from tokenworks.serve.http.limits import Limits
from tokenworks.serve.http.listening import listen
from tokenworks.serve.upstreams.upstream import Upstream
from tokenworks.spec.factory import Factory
from tokenworks.spec.hours import DAY_S

log = logging.getLogger("tokenworks.serve")
SLOWEST, FASTEST = 1e-3, 1e3


@asynccontextmanager
async def emulated(
    factory: Factory, speed: float, streams: int, opened: socket.socket | None = None
) -> AsyncIterator[dict[str, list[Upstream]]]:
    """Upstreams of each service, answered by emulated workers at any port, or at a socket that listens already. Raises
    InputError for a speed that this machine cannot stream."""
    if not SLOWEST <= speed <= FASTEST or streams < 0:
        raise InputError(f"--speed is between {SLOWEST:g} and {FASTEST:g}, --streams not negative")
    made = plant(factory, clocks=False)
    _warn(made)
    made_s = most_tokens_s(made.models, [made.cell.workers[w] for w in _that_answer(made)], streams)
    require_pace(factory.name, made_s, await chunks_s(), speed, streams)
    loop, clock = asyncio.get_running_loop(), Clock(speed)
    off = set(_begin_off(made))
    roles, caches = _roles(made), Caches(loop)
    workers = [
        EmulatedWorker(made.models[m], clock, loop, loaded, w not in off, roles.get(w), f"worker-{w}")
        for w, (m, loaded) in enumerate(zip(made.cell.workers, loaded_of(made), strict=True))
    ]
    listening = await listen(
        EmulatedEngines(workers, streams, caches), Limits(body_bytes=1 << 30), "127.0.0.1", 0, opened=opened
    )
    try:
        yield {
            plan.name: [
                EmulatedUpstream(f"http://127.0.0.1:{listening.port}/{w}", workers[w].turn, roles.get(w))
                for w in (*plan.workers, *plan.prefill, *plan.decode)
            ]
            for plan in made.cell.services
        }
    finally:
        caches.close()
        for worker in workers:
            worker.close()
        await listening.drain(0.0)
        listening.sweep.stop()


def _begin_off(made: Plant) -> Iterator[int]:
    """Workers of scaled services that nobody has started yet."""
    for scaled in made.cell.scaling:
        yield from made.cell.pool(scaled)[scaled.rules.start :]


def _that_answer(made: Plant) -> Iterator[int]:
    for plan in made.cell.services:
        yield from (*plan.workers, *plan.decode)


def _warn(made: Plant) -> None:
    if any(watts for _, watts in made.factory.site.budgets(0.0, DAY_S)) and made.cell.budget is None:
        log.warning("emulated workers run at full clock, and none is scaled: the site's power budget is not enforced")


def _roles(made: Plant) -> dict[int, str]:
    """Of workers of pools."""
    pools = [("prefill", plan.prefill) for plan in made.cell.services]
    pools += [("decode", plan.decode) for plan in made.cell.services]
    return {w: role for role, pool in pools for w in pool}
