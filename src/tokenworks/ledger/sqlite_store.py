"""The ledger in an SQLite file: write-ahead log, one writer.

A commit writes the log, ``sync`` puts the log on the disk, and nothing is acknowledged in between. This is what
SQLite's synchronous=FULL does, in two calls: while one group is synced, the next is being inserted.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any

from tokenworks.errors import InputError, OutputError
from tokenworks.ledger.sqlite_rows import insert_rows
from tokenworks.ledger.sqlite_transaction import transaction
from tokenworks.ledger.store import KeyTaken, Row
from tokenworks.ledger.tables import SQLITE, VERSION, create, require_version
from tokenworks.ledger.writer_lock import WriterLock

TIDY_BYTES = 64 << 20  # of log, after which ``tidy`` moves it into the file
SMALL_PAGES = 1024  # of log, that a writer may wait for
CHECKPOINT_PAGES = 65_536  # of log, after which a commit does it itself where nobody tidies
CONSTRAINT_DATATYPE = 3091  # SQLITE_CONSTRAINT_DATATYPE, which Python's module does not name
CACHE_KIB = 262_144  # pages of the key index kept in memory


class SqliteStore:
    sole = True  # by the writer's lock
    blob: type[bytes] | type[bytearray] = bytearray  # for bytes the module first looks for an adapter, 0.3 µs a value

    def __init__(self, path: Path, *, read_only: bool = False):
        self.place = str(path)
        if read_only and not path.is_file():
            raise InputError(f"ledger {path}: no such file")
        self._path, self._log, self._failed = path, -1, ""
        self._lock = None if read_only else WriterLock(path)
        try:
            self._base = self._connect(path, read_only)
            if not read_only:
                self._log = os.open(f"{path}-wal", os.O_RDWR | os.O_CLOEXEC)
                _sync_folder(path)
        except BaseException:
            self._release()
            raise

    def _connect(self, path: Path, read_only: bool) -> sqlite3.Connection:
        with _said(self.place):
            uri = f"{path.resolve().as_uri()}?mode={'ro' if read_only else 'rwc'}"
            base = sqlite3.connect(
                uri, uri=True, isolation_level=None, check_same_thread=False, cached_statements=256, timeout=30
            )
            try:
                base.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
                base.execute("PRAGMA temp_store=MEMORY")
                if not read_only:
                    self._prepare(base)
                require_version(_version(base), self.place)
            except BaseException:
                base.close()
                raise
        return base

    @staticmethod
    def _prepare(base: sqlite3.Connection) -> None:
        """Durable settings and the tables; nothing is touched in a file of another version."""
        base.execute("PRAGMA journal_mode=WAL")
        base.execute("PRAGMA synchronous=NORMAL")  # the log is synced by ``sync``
        base.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
        base.execute("BEGIN IMMEDIATE")
        if base.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            base.execute("ROLLBACK")
            return
        for statement in create(SQLITE):
            base.execute(statement)
        base.execute("INSERT INTO meta VALUES ('version', ?), ('rolled', '0')", (str(VERSION),))
        base.execute("COMMIT")

    @contextmanager
    def writing(self) -> Iterator[None]:
        with _said(self.place):
            if self._failed:
                raise OutputError(f"ledger {self.place}: {self._failed}; open it again to see what is stored")
            with transaction(self._base):
                yield

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        with _said(self.place):
            self._base.execute("BEGIN")
            try:
                yield
            finally:
                self._base.execute("ROLLBACK")

    def sync(self) -> None:
        """After a failed sync nobody knows what the disk holds: nothing more is written until it is opened again."""
        try:
            os.fdatasync(self._log)
        except OSError as error:
            self._failed = f"the disk failed to sync ({error.strerror})"
            raise OutputError(f"ledger {self.place}: {self._failed}") from error

    def tidy(self, lock: AbstractContextManager[Any]) -> None:
        """Moves a long log into the file: most of it beside the writer, the rest while he waits."""
        if os.fstat(self._log).st_size < TIDY_BYTES:
            return
        with (
            _said(self.place),
            closing(
                sqlite3.connect(self._path, isolation_level=None, timeout=0)  # a reader in the way: next time
            ) as side,
        ):
            for _ in range(4):
                _, pages, moved = side.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                if pages - moved < SMALL_PAGES:
                    break
            with lock:
                side.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        with _said(self.place):
            return self._base.execute(sql, parameters).fetchall()

    def run(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        self._base.execute(sql, parameters)

    def insert(self, table: str, width: int, flat: list[Any]) -> None:
        try:
            insert_rows(
                self._base, f"OR ROLLBACK INTO {table}" if table == "keys" else f"INTO {table}", width, flat, ""
            )
        except sqlite3.IntegrityError as error:
            if error.sqlite_errorcode in (sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_UNIQUE):
                raise KeyTaken from error
            raise

    def upsert(self, table: str, width: int, flat: list[Any], conflict: str) -> None:
        try:
            insert_rows(self._base, f"INTO {table}", width, flat, conflict)
        except sqlite3.IntegrityError as error:
            if error.sqlite_errorcode == CONSTRAINT_DATATYPE:  # the sum became a float
                raise OverflowError(f"a sum of {table} leaves int64") from error
            raise

    def close(self) -> None:
        self._base.close()
        self._release()

    def _release(self) -> None:
        if self._log >= 0:
            os.close(self._log)
        if self._lock:
            self._lock.release()


def _sync_folder(path: Path) -> None:
    """Makes a new file's name durable."""
    folder = os.open(path.resolve().parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _version(base: sqlite3.Connection) -> str | None:
    """What the file says; None where it is no ledger."""
    try:
        found = base.execute("SELECT value FROM meta WHERE name = 'version'").fetchone()
    except sqlite3.OperationalError:
        return None
    return str(found[0]) if found else None


@contextmanager
def _said(place: str) -> Iterator[None]:
    """SQLite's complaints, with the place: a full disk and the like."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise OutputError(f"ledger {place}: {error}; nothing of this group was stored") from error
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.IntegrityError):
            raise
        raise InputError(f"ledger {place}: {error}") from error
