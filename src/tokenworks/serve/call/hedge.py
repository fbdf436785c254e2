"""A second attempt beside the first: the first piece of an answer decides, and the other is given up and metered."""

from __future__ import annotations

import asyncio
from typing import Protocol

from tokenworks.serve.call.course import Course
from tokenworks.serve.call.incoming import is_stream
from tokenworks.serve.call.question import Question
from tokenworks.serve.call.tally import Tally
from tokenworks.serve.http.client import Broken, Exchange
from tokenworks.serve.http.pool import Handle
from tokenworks.serve.metering import Attempt
from tokenworks.serve.upstreams.breaker import fails
from tokenworks.serve.upstreams.hedging import Hedging


class Asker(Exchange, Protocol):
    """The relay that it works for; once it leads it hands everything on to it."""

    def adopt(self, position: int, handle: Handle | None, attempt: Attempt, spoils: bool) -> None:
        """It takes the first attempt's place. ``spoils``: that one is under way, and is given up."""


class Hedge:
    """Waits, asks, and takes over where it is the faster one. Only a stream that works is an answer."""

    __slots__ = (
        "_asker", "_attempt", "_course", "_handle", "_headers", "_hedging", "_leads", "_loop", "_position", "_question",
        "_tally", "_timer",
    )  # fmt: skip

    def __init__(
        self, asker: Asker, course: Course, question: Question, tally: Tally, hedging: Hedging, delay_s: float,
        loop: asyncio.AbstractEventLoop,
    ):  # fmt: skip
        self._asker, self._course, self._question, self._tally = asker, course, question, tally
        self._hedging, self._loop = hedging, loop
        self._handle: Handle | None = None
        self._attempt: Attempt | None = None  # while it is under way
        self._headers: dict[bytes, bytes] | None = None
        self._position, self._leads = -1, False
        self._timer = loop.call_later(delay_s, self._launch)

    def _launch(self) -> None:
        if not self._hedging.may():
            return
        position = self._course.beside(self._loop.time())
        if position is None:
            return
        self._hedging.hedged += 1
        self._position, self._attempt = position, self._tally.beside()
        upstream = self._course.served.router.upstreams[position]
        payload = self._question.payload(upstream, self._course.name_at(upstream), self._attempt.id)
        upstream.pool.ask(payload, self, self._taken)

    def _taken(self, handle: Handle) -> None:
        self._handle = handle

    def take_over(self) -> bool:
        """The first attempt has failed: whether this one stands in for it."""
        self._timer.cancel()
        if self._attempt is None:
            return False
        self._lead(False)
        return True

    def _lead(self, spoils: bool) -> None:
        assert self._attempt is not None
        self._leads = True
        self._asker.adopt(self._position, self._handle, self._attempt, spoils)
        if self._headers is not None:
            self._asker.answer_head(200, self._headers)

    def cancel(self) -> None:
        """The first attempt answers, or nobody wants an answer any more."""
        self._timer.cancel()
        if self._attempt is not None and not self._leads:
            self._drop(True)

    def _drop(self, sent: bool) -> None:
        """``sent``: the upstream had the call, and nobody knows what it did with it."""
        attempt, self._attempt = self._attempt, None
        handle, self._handle = self._handle, None
        if handle:
            handle.abandon()
        self._course.give_back(self._position)
        if sent and attempt:
            self._tally.spoiled(attempt)

    # ------------------------------------------------------------------ the upstream's answer

    def answer_head(self, status: int, headers: dict[bytes, bytes]) -> None:
        if self._leads:
            self._asker.answer_head(status, headers)
        elif status == 200 and is_stream(headers.get(b"content-type", b"")):
            self._headers = headers
        else:
            if fails(status):
                self._course.served.router.failed(self._position, self._loop.time(), status)
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
            self._course.served.router.failed(self._position, self._loop.time())
        self._handle = None
        self._drop(kind == "broken")
