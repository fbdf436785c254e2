"""The ledger process's end: takes events from gateways, stores them in common groups, answers when they are durable."""

from __future__ import annotations

import asyncio
import logging
import socket
from functools import partial

import msgspec

from tokenworks.errors import InputError
from tokenworks.events.ledger_events import AnyEvent
from tokenworks.ledger import GroupCommit, Ledger, Receipt
from tokenworks.serve.processes.frames import Ack, Frames, decode_events, framed

log = logging.getLogger("tokenworks.serve")


class _Gateway:
    """One that is connected. Answers of one turn of the loop go together."""

    def __init__(self, door: LedgerDoor, loop: asyncio.AbstractEventLoop):
        self._door, self._loop = door, loop
        self.frames = Frames(self._taken, self._lost)
        self._acks: list[Ack] = []
        door.gateways.add(self)

    def _taken(self, message: bytes) -> None:
        try:
            events = decode_events(message)
        except msgspec.MsgspecError as error:
            log.error("a gateway sent what is no event: %s", error)
            self.frames.transport.abort()
            return
        for number, event in events:
            self._take(number, event)

    def _take(self, number: int, event: AnyEvent) -> None:
        try:
            self._door.group.tell(event, partial(self._stored, number))
        except InputError as error:
            self._answer(Ack(number, Receipt("refused", note=str(error))))

    def _stored(self, number: int, said: Receipt | Exception) -> None:
        if isinstance(said, Receipt):
            self._answer(Ack(number, said))
            return
        self._answer(Ack(number, None, str(said)))
        self._door.fail(str(said))

    def _answer(self, ack: Ack) -> None:
        if not self._acks:
            self._loop.call_soon(self._flush)
        self._acks.append(ack)

    def _flush(self) -> None:
        acks, self._acks = self._acks, []
        if not self.frames.transport.is_closing():
            self.frames.transport.write(framed(acks))

    def _lost(self, _frames: Frames) -> None:
        self._door.gateways.discard(self)


class LedgerDoor:
    """The one writer of a ledger, for gateways of other processes."""

    def __init__(self, group: GroupCommit):
        self.group = group
        self.gateways: set[_Gateway] = set()
        self.trouble = ""  # of the disk: the ledger has to be opened anew
        self.failed = asyncio.Event()

    def fail(self, why: str) -> None:
        self.trouble = self.trouble or why
        self.failed.set()

    async def listen(self, door: socket.socket) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        return await loop.create_unix_server(lambda: _Gateway(self, loop).frames, sock=door)

    async def left(self, patience_s: float) -> None:
        """Until no gateway is connected any more, for so long at most."""
        end_s = asyncio.get_running_loop().time() + patience_s
        while self.gateways and asyncio.get_running_loop().time() < end_s:
            await asyncio.sleep(0.02)


async def keep_ledger(ledger: Ledger, door: socket.socket, asked: asyncio.Event, patience_s: float) -> str:
    """Takes events until it is asked to stop and all gateways have gone, or until the disk refuses: then returns why."""
    async with GroupCommit(ledger) as group:
        keeper = LedgerDoor(group)
        server = await keeper.listen(door)
        waits = [asyncio.ensure_future(event.wait()) for event in (asked, keeper.failed)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        if not keeper.trouble:
            await keeper.left(patience_s)
        server.close()
    await asyncio.sleep(0.05)  # the last answers are on their way
    for gateway in list(keeper.gateways):
        gateway.frames.transport.close()
    return keeper.trouble
