"""Keeps one process running: it is started again whenever it ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from tokenworks.errors import InputError, OutputError
from tokenworks.serve.processes.child import Child
from tokenworks.serve.processes.settings import Drain, Order, Settings

log = logging.getLogger("tokenworks.serve")
ATTEMPTS, PAUSE_S = 6, 0.25  # in a row, before it is given up: after 0.25, 0.5, … 8 s
SHORT_S, BREATH_S = 5.0, 0.5  # a process that lived less than the first is started again after the second


def _nobody(_wish: Drain) -> None:
    """Only gateways want something of others."""


class Keeper:
    """``settings`` are asked for at every start; ``wished`` hears what the process wants of all."""

    def __init__(self, name: str, settings: Callable[[], Settings], wished: Callable[[Drain], None] = _nobody):
        self.name, self._settings, self._wished = name, settings, wished
        self._child: Child | None = None
        self._there = asyncio.Event()
        self._missed: list[Order] = []  # while it was being started
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> Child:
        """Raises InputError where it cannot begin."""
        self._missed.clear()
        self._child = await Child.start(self.name, self._settings(), self._wished)
        for order in self._missed:
            self._child.tell(order)
        self._there.set()
        return self._child

    def keep(self) -> asyncio.Task[None]:
        """Ends with OutputError where it is given up."""
        self._task = asyncio.get_running_loop().create_task(self._keep())
        return self._task

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            assert self._child is not None
            since_s, pid = loop.time(), self._child.pid
            code = await self._child.ended()
            self._child = None
            self._there.clear()
            log.error("%s (process %d) ended with %d and is started again", self.name, pid, code)
            await asyncio.sleep(0.0 if loop.time() - since_s > SHORT_S else BREATH_S)
            await self._again()

    async def _again(self) -> None:
        why = ""
        for attempt in range(ATTEMPTS):
            try:
                child = await self.start()
            except InputError as error:
                why = str(error)
                log.error("%s cannot be started: %s", self.name, why)
                await asyncio.sleep(PAUSE_S * 2**attempt)
            else:
                log.warning("%s works again (process %d)", self.name, child.pid)
                return
        raise OutputError(f"{self.name} cannot be started again: {why}")

    def tell(self, order: Order) -> None:
        """One that is being started hears of it then."""
        if self._child is not None:
            self._child.tell(order)
        else:
            self._missed.append(order)

    async def do(self, order: Drain) -> None:
        """Returns when the process has done it; one that ends meanwhile is followed by one that begins with it."""
        await self._there.wait()
        if self._child is not None:
            await self._child.do(order)

    async def stop(self, patience_s: float) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._child is not None:
            await self._child.stop(patience_s)
