"""Group commit: many producers, each waiting for its own acknowledgement, share transactions and syncs.

The loop prepares events, one thread stores them in groups, others sync the disk and answer. What waits for a sync does
not keep the next group from being stored.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from queue import SimpleQueue
from typing import TypeAlias

from tokenworks.errors import OutputError
from tokenworks.events.ledger_events import AnyEvent
from tokenworks.ledger.ledger import Ledger
from tokenworks.ledger.prepare import Prepared, prepare
from tokenworks.ledger.receipt import Receipt

CHUNK = 256  # events stored while others are still being prepared
MOST = 4096  # events of one group
SYNCERS = 2

Heard: TypeAlias = Callable[[Receipt | Exception], None]  # called once, on the loop; it raises nothing
Answer: TypeAlias = Sequence[Receipt | Exception] | Exception


class GroupCommit:
    """For producers of one event loop. Use as ``async with GroupCommit(ledger) as group: await group.submit(event)``."""

    def __init__(self, ledger: Ledger):
        self._ledger = ledger
        self._waiting: deque[tuple[Prepared, Heard]] = deque()
        self._wake: SimpleQueue[bool] = SimpleQueue()
        self._committed: SimpleQueue[tuple[list[Heard], Answer] | None] = SimpleQueue()
        self._idle = True
        self._threads = [threading.Thread(target=self._write, name="ledger-writer", daemon=True)]
        self._threads += [threading.Thread(target=self._sync, name="ledger-sync", daemon=True) for _ in range(SYNCERS)]

    async def __aenter__(self) -> GroupCommit:
        self._loop = asyncio.get_running_loop()
        for thread in self._threads:
            thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Waits for what is under way; what nobody awaits any more is stored all the same."""
        self._wake.put(False)
        for thread in self._threads:
            await asyncio.to_thread(thread.join)

    def submit(self, event: AnyEvent) -> asyncio.Future[Receipt]:
        """Await it: done when the event is durable (or refused), OutputError where the disk refuses its group."""
        return self.submit_prepared(prepare(event))

    def submit_prepared(self, event: Prepared) -> asyncio.Future[Receipt]:
        """The same for an event that was prepared elsewhere."""
        future: asyncio.Future[Receipt] = self._loop.create_future()
        self._put(event, partial(fulfil, future))
        return future

    def tell(self, event: AnyEvent, heard: Heard) -> None:
        """As `submit`, for who has no use for a future: ``heard`` gets the receipt, or why there is none."""
        self._put(prepare(event), heard)

    def _put(self, event: Prepared, heard: Heard) -> None:
        self._waiting.append((event, heard))
        if self._idle:
            self._idle = False
            self._wake.put(True)

    async def probe(self) -> None:
        """Returns where events could be stored now: a commit that changes nothing is durable. OutputError where it fails."""
        await asyncio.to_thread(self._ledger.probe)

    @property
    def waiting(self) -> int:
        """Events that no transaction has taken up yet."""
        return len(self._waiting)

    def _write(self) -> None:
        """The writer's thread. ``_idle`` is set before the last look, so that no event is left behind."""
        while self._wake.get():
            self._idle = True
            while self._waiting:
                self._committed.put(self._commit())
        while self._waiting:
            self._committed.put(self._commit())
        self._committed.put(None)

    def _commit(self) -> tuple[list[Heard], Answer]:
        """Stores chunks while producers hand in more."""
        group: list[Heard] = []

        def more() -> Sequence[Prepared]:
            size = min(len(self._waiting), CHUNK, MOST - len(group))
            chunk = [self._waiting.popleft() for _ in range(size)]
            group.extend(heard for _, heard in chunk)
            return [event for event, _ in chunk]

        try:
            return group, self._ledger.commit_from(more)
        except Exception as error:  # noqa: BLE001 - whatever it is, the producers of this group must hear it
            return group, error

    def _sync(self) -> None:
        """A syncing thread: one sync per group, after its commit."""
        while (group := self._committed.get()) is not None:
            self._loop.call_soon_threadsafe(_answer, *self._synced(*group))
            self._tidy()
        self._committed.put(None)  # for the next syncing thread

    def _tidy(self) -> None:
        """A failure here loses nothing and shows at the next commit, which then does this work itself."""
        with contextlib.suppress(OutputError):
            self._ledger.tidy()

    def _synced(self, group: list[Heard], answer: Answer) -> tuple[list[Heard], Answer]:
        try:
            self._ledger.store.sync()
        except Exception as error:  # noqa: BLE001 - as above
            return group, error
        return group, answer


def _answer(group: list[Heard], answer: Answer) -> None:
    """One wake-up of the loop answers the whole group."""
    if isinstance(answer, Exception):
        answer = [answer] * len(group)
    for heard, said in zip(group, answer, strict=True):
        heard(said)


def fulfil(future: asyncio.Future[Receipt], said: Receipt | Exception) -> None:
    """A future may have been given up by its producer."""
    if future.done():
        return
    if isinstance(said, Exception):
        future.set_exception(said)
    else:
        future.set_result(said)
