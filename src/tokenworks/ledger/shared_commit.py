"""Group commit for threads: requests that come at one time share a transaction and a sync."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager

from tokenworks.errors import OutputError
from tokenworks.events.ledger_events import AnyEvent
from tokenworks.ledger.group import GroupCommit
from tokenworks.ledger.ledger import Ledger
from tokenworks.ledger.prepare import Prepared, all_prepared
from tokenworks.ledger.receipt import Receipt


class SharedCommit:
    """Runs a ``GroupCommit`` on a loop of its own. Use as ``with SharedCommit(ledger) as shared: shared.append(events)``."""

    def __init__(self, ledger: Ledger):
        self._ledger = ledger
        self._ready: Future[None] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="ledger-shared", daemon=True)
        self._door, self._shut, self._inside = threading.Condition(), False, 0

    def __enter__(self) -> SharedCommit:
        self._thread.start()
        self._ready.result()
        return self

    def __exit__(self, *_: object) -> None:
        """Waits for what is under way; who comes later hears that nothing was stored."""
        with self._door:
            self._shut = True
            self._door.wait_for(lambda: not self._inside)
        self._loop.call_soon_threadsafe(self._asked_to_stop.set)
        self._thread.join()

    async def _serve(self) -> None:
        self._loop, self._asked_to_stop = asyncio.get_running_loop(), asyncio.Event()
        async with GroupCommit(self._ledger) as self._group:
            self._ready.set_result(None)
            await self._asked_to_stop.wait()

    @property
    def waiting(self) -> int:
        """Events that no transaction has taken up yet."""
        return self._group.waiting

    def append(self, events: Iterable[AnyEvent]) -> list[Receipt]:
        """Returns when all are durable, or refused: one receipt each, in order. For any thread. OutputError where the disk
        refuses, or the door is shut; what was stored before then is met again as a duplicate."""
        return all_prepared(events, lambda ready: self._answers(ready) if ready else [])

    def _answers(self, ready: Sequence[Prepared]) -> list[Receipt]:
        with self._through():
            return asyncio.run_coroutine_threadsafe(self._submit(ready), self._loop).result()

    @contextmanager
    def _through(self) -> Iterator[None]:
        """The loop outlives whoever is in here. Raises OutputError where the door is shut."""
        with self._door:
            if self._shut:
                raise OutputError(f"ledger {self._ledger.store.place}: it is being closed; nothing of this was stored")
            self._inside += 1
        try:
            yield
        finally:
            with self._door:
                self._inside -= 1
                self._door.notify_all()

    async def _submit(self, ready: Sequence[Prepared]) -> list[Receipt]:
        return await asyncio.gather(*map(self._group.submit_prepared, ready))
