"""A prefill upstream that works on a prompt while the decode upstream of the same call is asked for the answer.

Nobody reads what it answers; that it fails is all that counts. A call that is no good it refuses as the decode upstream does,
in whose words the caller hears of it.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from tokenworks.serve.call.course import Seat
from tokenworks.serve.http.client import Broken
from tokenworks.serve.http.pool import Handle
from tokenworks.serve.upstreams.breaker import fails
from tokenworks.serve.upstreams.upstream import Upstream

log = logging.getLogger("tokenworks.serve")
BUSY = 429


class Waits(Protocol):
    """The relay of the call."""

    def prefill_failed(self) -> None: ...


class Beside:
    """Of one attempt."""

    __slots__ = ("_handle", "_payload", "_relay", "_seat", "_status", "_upstream")

    def __init__(self, relay: Waits, seat: Seat):
        self._relay, self._seat = relay, seat
        self._handle: Handle | None = None
        self._status = 0

    def ask(self, upstream: Upstream, payload: bytes) -> None:
        self._upstream, self._payload = upstream, payload
        upstream.pool.ask(payload, self, self._taken)

    def _taken(self, handle: Handle) -> None:
        self._handle = handle

    def drop(self) -> None:
        """Nobody needs it any more."""
        handle, self._handle = self._handle, None
        if handle:
            handle.abandon()
            self._seat.router.undecided(self._seat.position)
            self._seat.leave()

    # ------------------------------------------------------------------ its answer

    def answer_head(self, status: int, headers: dict[bytes, bytes]) -> None:
        self._status = status

    def answer_body(self, data: bytes) -> None: ...

    def answer_end(self) -> None:
        self._handle = None
        if fails(self._status) or self._status == BUSY:
            self._lost(f"answered {self._status}")
            return
        if self._status == 200:
            self._seat.filled()
        else:
            self._seat.router.well(self._seat.position)
        self._seat.leave()

    def answer_broken(self, reason: str, kind: Broken) -> None:
        self._handle = None
        if kind == "stale":
            self._upstream.pool.ask(self._payload, self, self._taken, True)
        else:
            self._lost(reason)

    def _lost(self, why: str) -> None:
        seat = self._seat
        log.warning("%s: prefill upstream %d %s", seat.router.service, seat.position, why)
        seat.router.failed(seat.position, asyncio.get_running_loop().time(), self._status)
        seat.leave()
        self._relay.prefill_failed()
