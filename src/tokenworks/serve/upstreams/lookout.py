"""Looks at the engines' own metrics every so often, so that routing knows of load that came from others and of full caches.

A page counts until STALE looks have failed; then the gateway goes by what it knows itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from tokenworks.serve.http.client import Broken
from tokenworks.serve.http.pool import Address, Handle, Patience, Pool
from tokenworks.serve.http.sweep import Sweep
from tokenworks.serve.upstreams.engine_page import state_of
from tokenworks.serve.upstreams.routing import Router
from tokenworks.serve.upstreams.served import Served

log = logging.getLogger("tokenworks.serve")
STALE = 3  # looks without an answer after which a page is too old
CROWDED = 0.97  # of the KV cache: engines preempt soon
MOST_BYTES = 8 << 20


class Look:
    """One upstream's page: asked for again and again. An exchange of the HTTP client."""

    def __init__(self, router: Router, position: int, url: str):
        self._router, self._position, self._address = router, position, Address.of(url)
        self._payload = b"GET %b HTTP/1.1\r\nHost: %b\r\nAccept: text/plain\r\n\r\n" % (
            _path(url).encode(), self._address.authority.encode(),
        )  # fmt: skip
        self._pieces: list[bytes] = []
        self._size = 0
        self._handle: Handle | None = None
        self._own = 0  # requests that this gateway had there when it asked
        self._failures, self._status, self._asked = 0, 0, False
        self._rounds = 0  # since it was asked

    def open(self, sweep: Sweep, loop: asyncio.AbstractEventLoop, patience_s: float) -> None:
        self._pool = Pool(self._address, Patience(patience_s, patience_s, patience_s, 1), sweep, loop)

    def close(self) -> None:
        if self._handle:
            self._handle.abandon()
        self._pool.close()

    def ask(self, fresh: bool = False) -> None:
        """The one before it comes to its end first. The pool's patience bounds its pauses, STALE rounds the whole."""
        if self._asked:
            self._rounds += 1
            if self._rounds >= STALE:
                self._give_up("its page comes to no end")
            return
        self._pieces, self._size, self._rounds, self._status, self._asked = [], 0, 0, 0, True
        self._own = self._router.outstanding[self._position]
        self._pool.ask(self._payload, self, self._taken, fresh)

    def _taken(self, handle: Handle) -> None:
        self._handle = handle

    def answer_head(self, status: int, headers: dict[bytes, bytes]) -> None:
        self._status = status

    def answer_body(self, data: bytes) -> None:
        self._pieces.append(data)
        self._size += len(data)
        if self._size > MOST_BYTES:
            self._give_up("its page is too large")

    def _give_up(self, why: str) -> None:
        if self._handle:
            self._handle.abandon()
        self.answer_broken(why, "broken")

    def answer_end(self) -> None:
        self._asked, self._handle = False, None
        state = state_of(b"".join(self._pieces).decode("utf-8", "replace")) if self._status == 200 else None
        if state is None or state.requests is None:
            self._failed()
            return
        self._failures = 0
        own = max(self._own, self._router.outstanding[self._position])  # what came or left meanwhile is nobody else's
        emulated = state.speed is not None  # routed to as in the twin, which knows of no crowding
        crowded = not emulated and (state.kv_used or 0.0) >= CROWDED
        self._router.reported(self._position, max(0, state.requests - own), crowded, state)

    def answer_broken(self, reason: str, kind: Broken) -> None:
        self._asked, self._handle = False, None
        if kind == "stale":
            self.ask(True)
        else:
            self._failed()

    def _failed(self) -> None:
        self._failures += 1
        if self._failures == STALE:
            log.warning("%s: upstream %d shows no metrics of its engine", self._router.service, self._position)
            self._router.reported(self._position, 0, False, None)


def _path(url: str) -> str:
    """Of ``http://host:port/metrics``, as it is written."""
    from urllib.parse import urlsplit

    return urlsplit(url).path or "/metrics"


class Lookout:
    """All pages of a gateway's upstreams."""

    def __init__(self, services: Sequence[Served], interval_s: float):
        self._interval_s = interval_s
        self.looks = [
            Look(router, i, url)
            for served in services
            for router in served.routers
            for i in router.positions
            if (url := router.upstreams[i].metrics)
        ]
        self._timer: asyncio.TimerHandle | None = None

    def start(self, sweep: Sweep, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        for look in self.looks:
            look.open(sweep, loop, self._interval_s)
        if self.looks:
            self._round()

    def _round(self) -> None:
        self._timer = self._loop.call_later(self._interval_s, self._round)
        for look in self.looks:
            look.ask()

    def stop(self) -> None:
        if self._timer:
            self._timer.cancel()
        for look in self.looks:
            look.close()
