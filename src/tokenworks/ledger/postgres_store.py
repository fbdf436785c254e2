"""The ledger in PostgreSQL: many writers on many machines, one transaction after the other.

The chain orders all writers anyway, so each transaction takes one lock of the database; that also makes looking for a
key before inserting it safe. Commits are durable by themselves. A connection that broke is opened again, outside of transactions.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from tokenworks.errors import InputError, OutputError
from tokenworks.ledger.store import KeyTaken, LostError, Row
from tokenworks.ledger.tables import POSTGRES, VERSION, create, require_version

if TYPE_CHECKING:
    from psycopg import Connection

LOCK = 0x746F6B656E77  # "tokenw"; with the schema's hash it names one ledger of the database
MOST_PARAMETERS = 60_000  # the protocol ends at 65,535
PATIENCE_S, PAUSE_S = 5.0, 0.2  # with a server that is starting again
SILENCE_MS = 30_000  # after which a connection that gets no answer from the other machine is given up


class PostgresStore:
    """``postgresql://user@host/base?schema=name``: the schema (default ``tokenworks``) is made where there is none."""

    sole = False
    blob: type[bytes] | type[bytearray] = bytes

    def __init__(self, url: str, *, read_only: bool = False):
        self._url, self._schema = without_schema(url)
        self.place = without_password(url)
        self._connecting, self._inside = Lock(), False  # a transaction
        psycopg = driver()
        try:
            self._connect()
        except psycopg.OperationalError as error:
            raise InputError(f"ledger {self.place}: no server answers there: {str(error).strip()}") from error
        try:
            with self._said():
                self._prepare(read_only)
        except BaseException:
            self._base.close()
            raise

    def _connect(self) -> None:
        """Raises OperationalError."""
        base: Connection[Any] = driver().connect(
            self._url, autocommit=True, connect_timeout=10, tcp_user_timeout=SILENCE_MS
        )
        base.execute("SELECT set_config('search_path', %s, false)", (f'"{self._schema}"',))
        base.execute("SELECT set_config('synchronous_commit', 'on', false)")
        self._base = base

    def _there(self) -> None:
        """Opens a connection that broke again. In a transaction the next statement says that it is gone."""
        import psycopg

        with self._connecting:
            until_s = time.monotonic() + PATIENCE_S
            while self._base.closed and not self._inside:
                try:
                    self._connect()
                except psycopg.OperationalError:
                    if time.monotonic() > until_s:
                        raise
                    time.sleep(PAUSE_S)

    def _prepare(self, read_only: bool) -> None:
        """The schema and what is missing in it, by one process at a time."""
        if not read_only:
            with self._base.transaction():
                self._take_lock()
                self.run(f'CREATE SCHEMA IF NOT EXISTS "{self._schema}"')
                for statement in create(POSTGRES):
                    self.run(statement)
                self.run("INSERT INTO meta VALUES ('version', ?) ON CONFLICT DO NOTHING", (str(VERSION),))
        found = self.rows("SELECT value FROM meta WHERE name = 'version'")
        require_version(found[0][0] if found else None, self.place)

    def _take_lock(self) -> None:
        self.run("SELECT pg_advisory_xact_lock(? # hashtext(?)::bigint)", (LOCK, self._schema))

    @contextmanager
    def writing(self) -> Iterator[None]:
        with self._transaction():
            self._take_lock()
            yield

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        with self._transaction():
            self.run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """One at a time. Raises LostError where the connection breaks in it."""
        with self._said():
            self._there()
            self._inside = True
            try:
                with self._base.transaction():
                    yield
            finally:
                self._inside = False

    def sync(self) -> None:
        """Nothing to do: a commit returns when it is on the server's disk."""

    def tidy(self, lock: AbstractContextManager[Any]) -> None:
        """The server looks after itself."""

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        with self._said():
            self._there()
            found: list[Row] = self._base.execute(_in_its_words(sql), parameters).fetchall()
            return found

    def run(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        self._base.execute(_in_its_words(sql), parameters)

    def insert(self, table: str, width: int, flat: list[Any]) -> None:
        import psycopg

        try:
            with self._base.cursor() as cursor, cursor.copy(f"COPY {table} FROM STDIN") as copy:
                for start in range(0, len(flat), width):
                    copy.write_row(flat[start : start + width])
        except psycopg.errors.UniqueViolation as error:
            raise KeyTaken from error

    def upsert(self, table: str, width: int, flat: list[Any], conflict: str) -> None:
        import psycopg

        step = MOST_PARAMETERS // width * width
        row = f"({','.join(['%s'] * width)})"
        for start in range(0, len(flat), step):
            part = flat[start : start + step]
            sql = f"INSERT INTO {table} VALUES {','.join([row] * (len(part) // width))} {conflict}"
            try:
                self._base.execute(sql, part)
            except psycopg.errors.NumericValueOutOfRange as error:
                raise OverflowError(f"a sum of {table} leaves int64") from error

    @contextmanager
    def _said(self) -> Iterator[None]:
        """The server's complaints, with the place."""
        import psycopg

        try:
            yield
        except (psycopg.OperationalError, psycopg.InternalError) as error:
            said = f"ledger {self.place}: {str(error).strip()}"
            if self._base.closed:
                raise LostError(f"{said}; whether this group was stored is not known") from error
            raise OutputError(f"{said}; nothing of this group was stored") from error
        except psycopg.errors.UndefinedTable as error:
            raise InputError(f"ledger {self.place}: there is no ledger in schema {self._schema!r}") from error

    def close(self) -> None:
        self._base.close()


def driver() -> Any:
    try:
        import psycopg
    except ImportError as error:
        raise InputError("a ledger in PostgreSQL needs psycopg: pip install 'tokenworks[postgresql]'") from error
    return psycopg


def _in_its_words(sql: str) -> str:
    return sql.replace("%", "%%").replace("?", "%s")


def without_schema(url: str) -> tuple[str, str]:
    """The URL as the driver takes it, and the schema."""
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    schema = options.pop("schema", "tokenworks")
    if not schema.replace("_", "").isalnum():
        raise InputError(f"ledger schema {schema!r}: letters, digits and _ only")
    return urlunsplit(parts._replace(query=urlencode(options))), schema


def without_password(url: str) -> str:
    parts = urlsplit(url)
    if parts.password is None:
        return url
    return urlunsplit(parts._replace(netloc=parts.netloc.replace(f":{parts.password}@", ":…@", 1)))
