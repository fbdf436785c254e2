"""Reads what engines publish of their KV caches. Needs the extra `kv-events` (pyzmq)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from tokenworks.errors import InputError
from tokenworks.serve.upstreams.kv_events import CacheMirror
from tokenworks.serve.upstreams.prefix_router import PrefixRouter
from tokenworks.serve.upstreams.served import Served

MOST_AT_ONCE = 1000  # messages of one upstream, before others have their turn
LOOK_S = 0.5  # ZeroMQ tells of new messages only at the edge: one that was missed waits no longer


def _places(services: Sequence[Served]) -> list[tuple[PrefixRouter, int, str]]:
    return [
        (router, i, endpoint)
        for router in (router for served in services for router in served.routers)
        if isinstance(router, PrefixRouter)
        for i in router.positions
        if (endpoint := router.upstreams[i].kv_events)
    ]


def _zeromq() -> Any:
    try:
        import zmq
    except ImportError:
        raise InputError("kv_events needs the extra kv-events: pip install 'tokenworks[kv-events]'") from None
    return zmq


def check_events(services: Sequence[Served]) -> None:
    """Raises InputError where events are wanted and cannot be read."""
    if places := _places(services):
        zmq = _zeromq()
        context = zmq.Context()
        try:
            for _, _, endpoint in places:
                _subscription(zmq, context, endpoint).close(0)
        finally:
            context.term()


def _subscription(zmq: Any, context: Any, endpoint: str) -> Any:
    """A socket. Raises InputError for an endpoint that ZeroMQ refuses."""
    socket = context.socket(zmq.SUB)
    try:
        socket.subscribe(b"")
        socket.connect(endpoint)
    except zmq.ZMQError as error:
        socket.close(0)
        raise InputError(f"kv_events: ZeroMQ refuses {endpoint}: {error}") from None
    return socket


class KvSubscription:
    """All upstreams of KV-aware services that publish events. Where there are none ZeroMQ is not loaded."""

    def __init__(self, services: Sequence[Served]):
        """Raises InputError where pyzmq is not installed, or refuses an endpoint: see `check_events`."""
        self._mirrors: list[tuple[Any, CacheMirror]] = []
        self._timer: asyncio.TimerHandle | None = None
        places = _places(services)
        if not places:
            return
        zmq = _zeromq()
        self._zmq, self._context = zmq, zmq.Context()
        for router, position, endpoint in places:
            self._mirrors.append((_subscription(zmq, self._context, endpoint), CacheMirror(router.index, position)))

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        for socket, mirror in self._mirrors:
            loop.add_reader(socket.getsockopt(self._zmq.FD), self._read, socket, mirror)
        if self._mirrors:
            self._look()

    def _look(self) -> None:
        self._timer = self._loop.call_later(LOOK_S, self._look)
        for socket, mirror in self._mirrors:
            self._read(socket, mirror)

    def _read(self, socket: Any, mirror: CacheMirror) -> None:
        """Topic, number in eight bytes, events."""
        for _ in range(MOST_AT_ONCE):
            try:
                parts = socket.recv_multipart(self._zmq.NOBLOCK)
            except self._zmq.Again:
                return
            if len(parts) == 3 and len(parts[1]) == 8:
                mirror.batch(int.from_bytes(parts[1], "big"), parts[2])

    def stop(self) -> None:
        if self._timer:
            self._timer.cancel()
        for socket, _ in self._mirrors:
            self._loop.remove_reader(socket.getsockopt(self._zmq.FD))
            socket.close(0)
        if self._mirrors:
            self._context.term()
