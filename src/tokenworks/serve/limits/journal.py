"""A gateway's journal of its open reservations: memory of a file, so that a record costs no system call and outlives the
process that dies right after it.

The file is locked while its owner lives; who can lock it settles what is in it (`recovery`). When it is full it is written
anew with what is open. It does not outlive the machine: see docs/decisions/0018-budgets-by-reservation.md.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Mapping
from pathlib import Path
from struct import Struct

from tokenworks.errors import OutputError
from tokenworks.serve.limits.records import SIZE_BYTES, Owner, Record, Totals, encode

SUFFIX = ".journal"
write_size = Struct("<I").pack_into
SIZE = 8 << 20  # bytes; grows where more is open at a time


class Journal:
    """Of one gateway, from its start on."""

    def __init__(self, folder: Path, owner: Owner, size: int = SIZE):
        """Raises OutputError where the folder takes no file."""
        self.path = folder / (owner.gateway + SUFFIX)
        self._owner, self._least = owner, size
        self._map: mmap.mmap | None = None
        self.open: dict[int, bytes] = {}  # records of reservations that are open, as they stand in the file
        self.known: dict[int, bytes] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._trouble(error) from error
        self._begin({}, size)

    def _trouble(self, error: OSError) -> OutputError:
        return OutputError(f"cannot keep a journal of reservations in {self.path.parent}: {error.strerror}")

    def _begin(self, spent: Mapping[str, int], size: int) -> None:
        """A new file, locked before it has its name. Raises OutputError; the old one is then what it was."""
        rows = [encode(self._owner), encode(Totals(dict(spent))), *self.open.values(), *self.known.values()]
        whole = sum(map(len, rows)) + SIZE_BYTES * (len(rows) + 1)
        while size < 2 * whole:
            size *= 2
        draft = self.path.with_suffix(".draft")
        old = self._map
        try:
            self._map = _room(draft, size)
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise self._trouble(error) from error
        self._size, self._place = size, 0
        for row in rows:
            write_size(self._map, self._place, len(row))
            self._place += SIZE_BYTES + len(row)
            self._map[self._place - len(row) : self._place] = row
        os.replace(draft, self.path)
        if old:
            old.close()

    def write(self, record: Record, spent: Mapping[str, int]) -> bytes:
        """Appends a record; ``spent``: by account, what all that is closed comes to, should the file be written anew. Raises
        OutputError where that cannot be done; nothing is written then."""
        row, file = encode(record), self._map
        assert file is not None
        size, place = len(row), self._place
        start = place + SIZE_BYTES
        end = start + size
        if end + SIZE_BYTES > self._size:
            self._begin(spent, self._least)
            return self.write(record, spent)
        self._place = end
        file[start:end] = row  # first the record, then its length: half of one is none
        write_size(file, place, size)
        return row

    def remove(self) -> None:
        """Everything is settled, and the store knows."""
        self.path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """From now on it is anybody's."""
        if self._map:
            self._map.close()


def _room(path: Path, size: int) -> mmap.mmap:
    """Memory of a file that this process has locked. Raises OSError."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        os.posix_fallocate(handle, 0, size)  # a full disk is found out here, not by a signal at a write
        return mmap.mmap(handle, size)  # which keeps the lock: it has a descriptor of its own
    finally:
        os.close(handle)
