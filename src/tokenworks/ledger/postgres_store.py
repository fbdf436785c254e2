"""The ledger in PostgreSQL: many writers on many machines, one transaction after the other.

The chain orders all writers anyway, so each transaction takes one lock of the database; that also makes looking for a
key before inserting it safe. Commits are durable by themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from tokenworks.errors import InputError
from tokenworks.ledger.postgres_connection import PostgresConnection
from tokenworks.ledger.store import KeyTaken, Row
from tokenworks.ledger.tables import POSTGRES, VERSION, create

LOCK = 0x746F6B656E77  # "tokenw"; with the schema's hash it names one ledger of the database
MOST_PARAMETERS = 60_000  # the protocol ends at 65,535


class PostgresStore:
    """``postgresql://user@host/base?schema=name``: the schema (default ``tokenworks``) is made where there is none."""

    sole = False
    blob: type[bytes] | type[bytearray] = bytes

    def __init__(self, url: str, *, read_only: bool = False):
        plain, self._schema = without_schema(url)
        self.place = without_password(url)
        self._connection = PostgresConnection(plain, self._schema, self.place)
        try:
            if not read_only:
                self._prepare()
            self._connection.require_ledger()
        except BaseException:
            self.close()
            raise

    def _prepare(self) -> None:
        """The schema and what is missing in it, by one process at a time."""
        with self.writing():
            self.run(f'CREATE SCHEMA IF NOT EXISTS "{self._schema}"')
            for statement in create(POSTGRES):
                self.run(statement)
            self.run("INSERT INTO meta VALUES ('version', ?) ON CONFLICT DO NOTHING", (str(VERSION),))

    def writing(self) -> AbstractContextManager[None]:
        """The lock lasts until the server has ended the transaction, on a connection that was cut, too: who has the lock sees
        whether a transaction whose answer was lost is stored."""
        return self._connection.transaction(
            "SELECT pg_advisory_xact_lock(%s # hashtext(%s)::bigint)", (LOCK, self._schema)
        )

    def snapshot(self) -> AbstractContextManager[None]:
        return self._connection.transaction("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")

    def sync(self) -> None:
        """Nothing to do: a commit returns when it is on the server's disk."""

    def tidy(self, lock: AbstractContextManager[Any]) -> None:
        """The server looks after itself."""

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        return self._connection.rows(_in_its_words(sql), parameters)

    def run(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        self._connection.base.execute(_in_its_words(sql), parameters)

    def insert(self, table: str, width: int, flat: list[Any]) -> None:
        import psycopg

        try:
            with self._connection.base.cursor() as cursor, cursor.copy(f"COPY {table} FROM STDIN") as copy:
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
                self._connection.base.execute(sql, part)
            except psycopg.errors.NumericValueOutOfRange as error:
                raise OverflowError(f"a sum of {table} leaves int64") from error

    def close(self) -> None:
        self._connection.close()


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
