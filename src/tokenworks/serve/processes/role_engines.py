"""The process that emulates engines."""

from __future__ import annotations

import socket

from tokenworks.serve.emulate.start import emulated
from tokenworks.serve.processes.orders import Orders, say
from tokenworks.serve.processes.settings import EngineSettings, Ready
from tokenworks.spec.loading import loads


async def emulate_engines(settings: EngineSettings, orders: Orders) -> int:
    door = socket.socket(fileno=settings.door)
    factory = loads(settings.factory.text, settings.factory.file)
    async with emulated(factory, settings.speed, settings.streams, door) as upstreams, orders.heard():
        say(Ready({service: [(u.url, u.role) for u in them] for service, them in upstreams.items()}))
        await orders.stop.wait()
    return 0
