"""The gateway's end of the way to the ledger process: events go out, each is answered once it is durable.

What has no answer yet is kept and sent again over a new connection. The ledger takes an event once by (source, id), so
that a second sending of one that was stored is answered like the first.
"""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from itertools import islice
from pathlib import Path

import msgspec

from tokenworks.errors import OutputError
from tokenworks.events.ledger_events import AnyEvent
from tokenworks.ledger import Heard, Receipt, fulfil
from tokenworks.serve.processes.frames import Frames, Numbered, decode_acks, framed

AT_ONCE = 256  # events of one message
RETRY_S = 0.05  # between attempts to connect
LOOK_S = 1.0  # between looks for events that have waited too long
PATIENCE_S = 30.0  # for an answer; long enough for a ledger process that is killed and started again


class _Pending(msgspec.Struct, gc=False):
    event: AnyEvent
    heard: Heard
    since_s: float


class LedgerLink:
    """In place of a ``GroupCommit``: ``async with LedgerLink(path) as group: await group.submit(event)``."""

    def __init__(self, path: Path, patience_s: float = PATIENCE_S):
        self._path, self._patience_s = path, patience_s
        self._pending: dict[int, _Pending] = {}
        self._unsent: list[Numbered] = []
        self._number = 0
        self._frames: Frames | None = None
        self._down = asyncio.Event()

    async def __aenter__(self) -> LedgerLink:
        self._loop = asyncio.get_running_loop()
        self._down.set()
        self._keeping = self._loop.create_task(self._keep())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Waits for what is under way, as long as its patience lasts."""
        while self._pending:
            await asyncio.sleep(0.002)
        self._keeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._keeping
        if self._frames:
            self._frames.transport.close()

    def submit(self, event: AnyEvent) -> asyncio.Future[Receipt]:
        """Await it: done when the event is durable or refused; OutputError where the ledger cannot store it, or does not
        answer within the patience."""
        future: asyncio.Future[Receipt] = self._loop.create_future()
        self.tell(event, partial(fulfil, future))
        return future

    def tell(self, event: AnyEvent, heard: Heard) -> None:
        """As `submit`, for who has no use for a future: ``heard`` gets the receipt, or why there is none."""
        self._number = number = self._number + 1
        self._pending[number] = _Pending(event, heard, self._loop.time())
        if self._frames:
            if not self._unsent:
                self._loop.call_soon(self._flush)
            self._unsent.append((number, event))

    async def probe(self) -> None:
        """OutputError where no ledger process is there: one that fails to store events ends, and the next one takes connections
        only once it has opened the file."""
        if self._frames is None:
            raise OutputError("no ledger process answers")

    def _flush(self) -> None:
        """All events of one turn of the loop go together."""
        unsent, self._unsent = self._unsent, []
        if self._frames and unsent:
            self._frames.transport.write(framed(unsent))

    def _heard(self, message: bytes) -> None:
        for ack in decode_acks(message):
            pending = self._pending.pop(ack.number, None)
            if pending is not None:
                pending.heard(ack.receipt or OutputError(ack.trouble))

    def _lost(self, frames: Frames) -> None:
        if frames is self._frames:
            self._frames = None
            self._down.set()

    async def _keep(self) -> None:
        """Holds a connection, and gives up what has waited too long."""
        while True:
            if self._frames is None and not await self._connect():
                await asyncio.sleep(RETRY_S)
            self._give_up()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._down.wait()

    async def _connect(self) -> bool:
        """Everything that has no answer goes out again, in its order."""
        try:
            _, frames = await self._loop.create_unix_connection(
                lambda: Frames(self._heard, self._lost), str(self._path)
            )
        except OSError:
            return False
        self._down.clear()
        self._frames, self._unsent = frames, []
        waiting = iter([(number, pending.event) for number, pending in self._pending.items()])
        while part := list(islice(waiting, AT_ONCE)):
            frames.transport.write(framed(part))
        return True

    def _give_up(self) -> None:
        earliest_s = self._loop.time() - self._patience_s
        for number in [n for n, pending in self._pending.items() if pending.since_s < earliest_s]:
            late = OutputError(f"the ledger process did not answer for {self._patience_s:g} s")
            self._pending.pop(number).heard(late)
