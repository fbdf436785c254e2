"""The ledger in PostgreSQL: many writers on many machines, one transaction after the other.

The chain orders all writers anyway, so each transaction takes one lock of the database; that also makes looking for a
key before inserting it safe. Commits are durable by themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from tokenworks.errors import InputError, OutputError
from tokenworks.ledger.store import KeyTaken, Row
from tokenworks.ledger.tables import POSTGRES, VERSION, create, require_version

if TYPE_CHECKING:
    from psycopg import Connection

LOCK = 0x746F6B656E77  # "tokenw"; with the schema's hash it names one ledger of the database
MOST_PARAMETERS = 60_000  # the protocol ends at 65,535


class PostgresStore:
    """``postgresql://user@host/base?schema=name``: the schema (default ``tokenworks``) is made where there is none."""

    sole = False
    blob: type[bytes] | type[bytearray] = bytes

    def __init__(self, url: str, *, read_only: bool = False):
        self._url, self._schema = without_schema(url)
        self.place = without_password(url)
        psycopg = driver()
        try:
            self._base: Connection[Any] = psycopg.connect(self._url, autocommit=True, connect_timeout=10)
        except psycopg.OperationalError as error:
            raise InputError(f"ledger {self.place}: no server answers there: {str(error).strip()}") from error
        try:
            with self._said():
                self._prepare(read_only)
        except BaseException:
            self._base.close()
            raise

    def _prepare(self, read_only: bool) -> None:
        """The schema and what is missing in it, by one process at a time."""
        self.run("SELECT set_config('search_path', ?, false)", (f'"{self._schema}"',))
        self.run("SELECT set_config('synchronous_commit', 'on', false)")
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
        with self._said(), self._base.transaction():
            self._take_lock()
            yield

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        with self._said(), self._base.transaction():
            self.run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield

    def sync(self) -> None:
        """Nothing to do: a commit returns when it is on the server's disk."""

    def tidy(self, lock: AbstractContextManager[Any]) -> None:
        """The server looks after itself."""

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        with self._said():
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
            raise OutputError(f"ledger {self.place}: {str(error).strip()}; nothing of this group was stored") from error
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
