"""Sockets that the supervisor opens and its processes take connections from. It keeps them open itself: who connects while
a process is being started again waits in the queue and is not refused."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

from tokenworks.errors import InputError
from tokenworks.serve.http.listening import BACKLOG, require_port

LONGEST_PATH = 100  # of a Unix socket, in bytes


def doors(host: str, port: int, count: int) -> list[socket.socket]:
    """So many sockets at one port (0: any that is free); the kernel spreads callers over them by their addresses. Raises
    InputError where the port cannot be had."""
    require_port(host, port)
    opened: list[socket.socket] = []
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        _require_free(socket.socket(family, kind, protocol), address)
        for _ in range(count):
            door = socket.socket(family, kind, protocol)
            opened.append(door)
            door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            door.bind(address)
            address = door.getsockname()
        for door in opened:
            door.listen(BACKLOG)
    except OSError as error:
        for door in opened:
            door.close()
        raise InputError(f"cannot listen at {host}:{port}: {error}") from None
    return opened


def _require_free(probe: socket.socket, address: Any) -> None:
    """Sockets that share a port would share it with another server, too, if that allows it. Raises OSError."""
    with probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
        probe.listen(1)


def meeting_place(path: Path) -> socket.socket:
    """A Unix socket. Raises InputError where its path is too long for one."""
    if len(bytes(path)) > LONGEST_PATH:
        raise InputError(f"{path} is too long for a socket: set TMPDIR to a shorter folder")
    door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    door.bind(str(path))
    door.listen(BACKLOG)
    return door
