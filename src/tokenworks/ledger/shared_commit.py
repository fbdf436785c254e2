"""Group commit for threads: requests that come at one time share a transaction and a sync."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import Future

from tokenworks.errors import InputError, OutputError
from tokenworks.events.ledger_events import AnyEvent
from tokenworks.ledger.group import GroupCommit
from tokenworks.ledger.ledger import Ledger
from tokenworks.ledger.prepare import Prepared, prepare
from tokenworks.ledger.receipt import Receipt


class SharedCommit:
    """Runs a ``GroupCommit`` on a loop of its own. Use as ``with SharedCommit(ledger) as shared: shared.append(events)``."""

    def __init__(self, ledger: Ledger):
        self._ledger = ledger
        self._ready: Future[None] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="ledger-shared", daemon=True)
        self._answering: set[asyncio.Task[list[Receipt]]] = set()

    def __enter__(self) -> SharedCommit:
        self._thread.start()
        self._ready.result()
        return self

    def __exit__(self, *_: object) -> None:
        """Waits for what is under way; who comes later hears that nothing was stored."""
        self._loop.call_soon_threadsafe(self._asked_to_stop.set)
        self._thread.join()

    async def _serve(self) -> None:
        self._loop, self._asked_to_stop = asyncio.get_running_loop(), asyncio.Event()
        async with GroupCommit(self._ledger) as self._group:
            self._ready.set_result(None)
            await self._asked_to_stop.wait()
        if self._answering:
            await asyncio.wait(self._answering)

    @property
    def waiting(self) -> int:
        """Events that no transaction has taken up yet."""
        return self._group.waiting

    def append(self, events: Iterable[AnyEvent]) -> list[Receipt]:
        """Returns when all are durable, or refused: one receipt each, in order. For any thread. OutputError where the disk
        refuses, or the door is shut; what was stored before then is met again as a duplicate."""
        receipts: dict[int, Receipt] = {}
        ready: list[Prepared] = []
        for place, event in enumerate(events):
            try:
                ready.append(prepare(event))
            except InputError as error:
                receipts[place] = Receipt("refused", note=str(error))
        answers = iter(self._answers(ready) if ready else ())
        return [receipts.get(place) or next(answers) for place in range(len(ready) + len(receipts))]

    def _answers(self, ready: Sequence[Prepared]) -> list[Receipt]:
        shut = OutputError(f"ledger {self._ledger.store.place}: it is being closed; nothing of this was stored")
        submitting = self._submit(ready, shut)
        try:
            return asyncio.run_coroutine_threadsafe(submitting, self._loop).result()
        except RuntimeError:  # the loop has ended
            submitting.close()
            raise shut from None

    async def _submit(self, ready: Sequence[Prepared], shut: OutputError) -> list[Receipt]:
        if self._asked_to_stop.is_set():
            raise shut
        task = asyncio.current_task()
        assert task is not None
        self._answering.add(task)
        try:
            return await asyncio.gather(*map(self._group.submit_prepared, ready))
        finally:
            self._answering.discard(task)
