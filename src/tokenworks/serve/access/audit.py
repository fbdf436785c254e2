"""The audit log of admin actions: lines of JSON, each with the hash of the one before it, so that a change shows.

It proves that no line in the middle was changed, moved or taken out. Lines cut off at the end show only against a hash that
was noted elsewhere: `verified` returns the last one.
"""

from __future__ import annotations

import fcntl
import os
import time
from hashlib import sha256
from pathlib import Path

import msgspec

from tokenworks.errors import InputError, OutputError

START = "0" * 64


class Action(msgspec.Struct, frozen=True):
    """``previous``: SHA-256 of the line before, without its end; 64 zeros in the first."""

    time_us: int
    actor: str  # a key's id with its tenant, or the user of the machine
    action: str
    subject: str
    detail: dict[str, str | int | list[str]]
    previous: str


_decode = msgspec.json.Decoder(Action, strict=True).decode


def record(path: Path, actor: str, action: str, subject: str, **detail: str | int | list[str]) -> None:
    """Appends an action, durable on return; one process at a time. Raises OutputError where it cannot be written,
    InputError where its last line is broken."""
    try:
        with open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "r+b", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            previous = _hash_of_last(path, file.fileno())
            line = msgspec.json.encode(Action(time.time_ns() // 1000, actor, action, subject, detail, previous))
            os.write(file.fileno(), line + b"\n")
            os.fsync(file.fileno())
    except OSError as error:
        raise OutputError(f"cannot write the audit log {path}: {error.strerror}") from error


def _hash_of_last(path: Path, file: int) -> str:
    size, block = os.fstat(file).st_size, 4096
    if not size:
        return START
    while True:
        tail = os.pread(file, block, max(0, size - block))
        if not tail.endswith(b"\n"):
            raise InputError(f"{path}: the last line of the audit log has no end; see `tokenworks keys audit`")
        *_, end, line = tail[:-1].rpartition(b"\n")
        if end or size <= block:
            return sha256(line).hexdigest()
        block *= 2


def verified(path: Path) -> tuple[int, str]:
    """(number of actions, hash of the last). Raises InputError naming the first line that does not fit, or where there is
    no such file."""
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except OSError as error:
        raise InputError(f"cannot read the audit log {path}: {error.strerror}") from None
    previous = START
    for number, line in enumerate(lines, 1):
        try:
            action = _decode(line)
        except msgspec.MsgspecError as error:
            raise InputError(f"{path}, line {number}: no action of an audit log: {error}") from None
        if not line.endswith(b"\n"):
            raise InputError(f"{path}, line {number}: has no end")
        if action.previous != previous:
            raise InputError(f"{path}, line {number}: does not follow the line before it, as it was written")
        previous = sha256(line[:-1]).hexdigest()
    return len(lines), previous


def user() -> str:
    """Who works on this machine."""
    return f"user:{os.getuid()}"


def beside(keys: Path) -> Path:
    """The audit log of a key file."""
    return keys.with_name(keys.name + ".audit")
