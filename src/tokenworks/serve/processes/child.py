"""One process under the supervisor, as the supervisor sees it."""

from __future__ import annotations

import asyncio
import logging
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable

import msgspec

from tokenworks.errors import InputError
from tokenworks.serve.processes.settings import (
    LONGEST_LINE,
    Done,
    Drain,
    Failed,
    FromChild,
    Order,
    Ready,
    Settings,
    from_child,
    to_line,
)

log = logging.getLogger("tokenworks.serve")
COMMAND = (sys.executable, "-m", "tokenworks.serve.processes.roles")  # and a name, for who lists processes


class Child:
    """It is told what to do on its standard input, and asked to stop by closing it: a supervisor that dies asks by dying."""

    def __init__(self, process: Process, ready: Ready, wished: Callable[[Drain], None]):
        self._process, self.ready, self._wished = process, ready, wished
        self._doing: dict[int, asyncio.Future[None]] = {}
        self._hearing = asyncio.get_running_loop().create_task(self._hear())

    @classmethod
    async def start(cls, name: str, settings: Settings, wished: Callable[[Drain], None]) -> Child:
        """Returns when it is ready. ``wished``: hears what it wants of all processes. Raises InputError with its reason where
        it cannot begin."""
        # a session of its own: Ctrl-C is for the supervisor, who asks the others to stop one after the other
        process = await asyncio.create_subprocess_exec(
            *COMMAND,
            name,
            stdin=PIPE,
            stdout=PIPE,
            pass_fds=(settings.door,),
            start_new_session=True,
            limit=LONGEST_LINE,
        )
        try:
            _tell(process, settings)
            assert process.stdout is not None
            line = await process.stdout.readline()
            said = from_child(line) if line else Failed("it ended before it was ready")
            if not isinstance(said, Ready):
                await process.wait()
                raise InputError(said.why if isinstance(said, Failed) else f"it said {said} before it was ready")
        except BaseException:
            if process.returncode is None:
                process.kill()
                await process.wait()
            raise
        return cls(process, said, wished)

    @property
    def pid(self) -> int:
        return self._process.pid

    async def ended(self) -> int:
        """Its exit code; negative: the signal that ended it."""
        return await self._process.wait()

    def tell(self, order: Order) -> None:
        _tell(self._process, order)

    async def do(self, order: Drain) -> None:
        """Returns when it has done it, or has ended."""
        if not self._hearing.done():
            self._doing[order.number] = asyncio.get_running_loop().create_future()
            self.tell(order)
            await self._doing[order.number]

    async def _hear(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            try:
                self._heard(from_child(line))
            except msgspec.MsgspecError as error:
                log.error("process %d said what nobody understands: %s", self.pid, error)
        for doing in self._doing.values():
            if not doing.done():
                doing.set_result(None)

    def _heard(self, said: FromChild) -> None:
        if isinstance(said, Drain):
            self._wished(said)
        elif isinstance(said, Done) and (doing := self._doing.pop(said.number, None)) and not doing.done():
            doing.set_result(None)

    async def stop(self, patience_s: float) -> None:
        """Asks it to stop, and makes it stop where it does not."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(patience_s):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


def _tell(process: Process, what: Settings | Order) -> None:
    assert process.stdin is not None
    process.stdin.write(to_line(what) + b"\n")
