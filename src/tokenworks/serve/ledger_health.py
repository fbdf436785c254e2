"""Whether the ledger stores events: by what became of the last commit, and after a failure by probes."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Protocol

from tokenworks.errors import InputError
from tokenworks.ledger import Receipt

log = logging.getLogger("tokenworks.serve")
PAUSE_S = 1.0  # between probes


class Probed(Protocol):
    async def probe(self) -> None:
        """Returns where events could be stored now; OutputError where not."""


class LedgerHealth:
    """After a failure whoever asks has the ledger probed: a balancer that sends no more calls, as the answer tells it to, would
    bring about no commit either, and never hear that all is well again. To let the failure expire instead would cost a call,
    and its event, at each try."""

    def __init__(self, ledger: Probed):
        self._ledger = ledger
        self._failed = False
        self._probe_at_s = 0.0  # the next, at the earliest
        self._probing: asyncio.Task[None] | None = None

    def heard(self, said: Receipt | Exception) -> None:
        """What the ledger answered about an event. A refusal is an answer, too: only that event is at fault."""
        self._failed = isinstance(said, Exception)
        if self._failed:
            self._probe_at_s = time.monotonic() + PAUSE_S

    def well(self) -> bool:
        """Whether the last commit succeeded. Where not, it starts a probe, a second after that commit or the last probe at the
        earliest, and does not wait for it."""
        now_s = time.monotonic()
        if self._failed and not self.probing and now_s >= self._probe_at_s:
            self._probe_at_s = now_s + PAUSE_S
            self._probing = asyncio.get_running_loop().create_task(self._probe())
        return not self._failed

    @property
    def probing(self) -> bool:
        return self._probing is not None and not self._probing.done()

    async def _probe(self) -> None:
        try:
            await self._ledger.probe()
        except InputError as error:  # of a server that no longer holds this ledger; OutputError is one
            log.warning("still no event can be stored: %s", error)
            return
        if self._failed:
            self._failed = False
            log.warning("events can be stored again")
