"""One writer of an SQLite ledger at a time: a lock on a file beside it, which names who holds it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from tokenworks.errors import InputError, OutputError


class WriterLock:
    """Held until released or until its process dies."""

    def __init__(self, ledger: Path):
        self._path = ledger.with_name(ledger.name + ".lock")
        try:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise OutputError(f"ledger {ledger}: cannot be written there: {error.strerror}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(self._file, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(self._file)
            raise InputError(
                f"ledger {ledger}: process {holder} is writing it; an SQLite ledger has one writer at a time"
                " (read it with read_only, or use postgresql://… for many writers)"
            ) from error
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        """The file stays: removing it would let two writers hold two files of one name."""
        os.close(self._file)
