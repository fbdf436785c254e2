"""What a process under the supervisor hears on its standard input and says on its standard output."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tokenworks.serve.processes.settings import (
    LONGEST_LINE,
    FromChild,
    Order,
    ToChild,
    to_child,
    to_line,
)


class Orders:
    """Lines from the supervisor. Their end asks to stop, as SIGTERM does: whoever wants to stop sets ``stop``."""

    def __init__(self, reader: asyncio.StreamReader):
        self._reader = reader
        self.stop = asyncio.Event()
        self.changes: asyncio.Queue[Order] = asyncio.Queue()  # in the order in which they came

    @classmethod
    async def open(cls) -> Orders:
        reader = asyncio.StreamReader(limit=LONGEST_LINE)
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        return cls(reader)

    async def first(self) -> ToChild:
        return to_child(await self._reader.readline())

    @asynccontextmanager
    async def heard(self) -> AsyncIterator[None]:
        """Further orders are taken inside the block."""
        task = asyncio.get_running_loop().create_task(self._hear())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _hear(self) -> None:
        while line := await self._reader.readline():
            order = to_child(line)
            if isinstance(order, Order):
                self.changes.put_nowait(order)
        self.stop.set()


def say(what: FromChild) -> None:
    with contextlib.suppress(BrokenPipeError):
        os.write(1, to_line(what) + b"\n")
