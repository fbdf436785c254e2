"""A second attempt beside the first: the first piece of an answer decides, and the other is given up and metered."""

from __future__ import annotations

import asyncio
from typing import Protocol

from tokenworks.serve.course import Course
from tokenworks.serve.hedging import Hedging
from tokenworks.serve.http.client import Broken, Exchange
from tokenworks.serve.http.pool import Handle
from tokenworks.serve.metering import Attempt

EVENT_STREAM = b"text/event-stream"


class Asker(Exchange, Protocol):
    """The relay that it works for; from its victory on it hands everything on to it."""

    def ask_beside(self, hedge: Hedge) -> Attempt:
        """Sends the same call to the upstream at ``hedge.position``, with ``hedge`` as its exchange."""

    def adopt(self, hedge: Hedge, spoils: bool) -> None:
        """It takes the first attempt's place. ``spoils``: that one is under way, and is given up."""

    def spoiled(self, attempt: Attempt) -> None:
        """An upstream had the call, and nobody knows what it did with it."""


class Hedge:
    """Waits, asks, and takes over where it is the faster one. Only a stream that works is an answer."""

    __slots__ = (
        "_asker",
        "_course",
        "_headers",
        "_hedging",
        "_leads",
        "_loop",
        "_timer",
        "attempt",
        "handle",
        "position",
    )

    def __init__(
        self, asker: Asker, course: Course, hedging: Hedging, delay_s: float, loop: asyncio.AbstractEventLoop
    ):  # fmt: skip
        self._asker, self._course, self._hedging, self._loop = asker, course, hedging, loop
        self.handle: Handle | None = None
        self.attempt: Attempt | None = None
        self._headers: dict[bytes, bytes] | None = None
        self.position, self._leads = -1, False
        self._timer = loop.call_later(delay_s, self._launch)

    def _launch(self) -> None:
        position = self._course.beside(self._loop.time())
        if position is None:
            return
        if not self._hedging.may():
            self._course.give_back(position)
            return
        self.position = position
        self.attempt = self._asker.ask_beside(self)

    def taken(self, handle: Handle) -> None:
        self.handle = handle

    def take_over(self) -> bool:
        """The first attempt has failed: whether this one stands in for it."""
        if self.position < 0:
            self._timer.cancel()
            return False
        self._lead(False)
        return True

    def _lead(self, spoils: bool) -> None:
        self._leads = True
        self._asker.adopt(self, spoils)
        if self._headers is not None:
            self._asker.answer_head(200, self._headers)

    def cancel(self) -> None:
        """The first attempt answers, or nobody wants an answer any more."""
        self._timer.cancel()
        if self.position >= 0 and not self._leads:
            self._course.served.router.undecided(self.position)
            self._drop(True)

    def _drop(self, sent: bool) -> None:
        handle, self.handle = self.handle, None
        if handle:
            handle.abandon()
        self._course.give_back(self.position)
        self.position = -1
        if sent and self.attempt:
            self._asker.spoiled(self.attempt)

    # ------------------------------------------------------------------ the upstream's answer

    def answer_head(self, status: int, headers: dict[bytes, bytes]) -> None:
        if self._leads:
            self._asker.answer_head(status, headers)
        elif status == 200 and headers.get(b"content-type", b"").startswith(EVENT_STREAM):
            self._headers = headers
        else:
            self._drop(False)

    def answer_body(self, data: bytes) -> None:
        if not self._leads:
            self._hedging.won += 1
            self._lead(True)
        self._asker.answer_body(data)

    def answer_end(self) -> None:
        if self._leads:
            self._asker.answer_end()
        else:
            self._drop(True)

    def answer_broken(self, reason: str, kind: Broken) -> None:
        if self._leads:
            self._asker.answer_broken(reason, kind)
            return
        if kind != "stale":
            self._course.served.router.failed(self.position, self._loop.time())
        self.handle = None
        self._drop(kind == "broken")
