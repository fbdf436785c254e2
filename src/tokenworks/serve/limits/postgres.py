"""Budgets in the PostgreSQL that holds the ledger, in its schema."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tokenworks.errors import InputError, OutputError
from tokenworks.ledger.postgres_connection import driver
from tokenworks.ledger.postgres_store import without_password, without_schema

LOCK = 0x627564676574  # "budget": two gateways do not make the tables at once; with a gateway's hash: that one's
PATIENCE_MS = 10_000  # with a server that says nothing, or a lock that does not come


class PostgresBase:
    """A connection of its own, opened again after the server was away."""

    lock = "FOR UPDATE"

    def __init__(self, url: str):
        """Raises InputError where no server answers."""
        self._url, self._schema = without_schema(url)
        self._place = without_password(url)
        self._psycopg = driver()
        try:
            self._connect()
        except self._psycopg.Error as error:
            raise InputError(f"budgets in {self._place}: {str(error).strip()}") from error

    def _connect(self) -> None:
        """Raises psycopg.Error, InputError for a database whose encoding does not hold all names."""
        base = self._psycopg.connect(self._url, autocommit=True, connect_timeout=10, tcp_user_timeout=PATIENCE_MS)
        try:
            self._settle(base)
        except BaseException:
            base.close()
            raise
        self._base = base

    def _settle(self, base: Any) -> None:
        base.isolation_level = self._psycopg.IsolationLevel.READ_COMMITTED  # sees what is there once it has its locks
        settings = {
            "search_path": f'"{self._schema}"',
            "synchronous_commit": "on",  # a grant that a crash of the server forgets would be granted twice
            "statement_timeout": str(PATIENCE_MS),
            "idle_in_transaction_session_timeout": str(PATIENCE_MS),  # a gateway that is stopped locks nobody out
        }
        for name, value in settings.items():
            base.execute("SELECT set_config(%s, %s, false)", (name, value))
        if base.execute("SHOW server_encoding").fetchone()[0] != "UTF8":
            raise InputError(
                f"budgets in {self._place}: the database's encoding is not UTF8: it does not hold all names"
            )

    def prepare(self, tables: Sequence[str]) -> None:
        with self.transaction():
            self.run("SELECT pg_advisory_xact_lock(?)", (LOCK,))
            for sql in (f'CREATE SCHEMA IF NOT EXISTS "{self._schema}"', *tables):
                self.run(sql)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        try:
            if self._base.closed:
                self._connect()
            with self._base.transaction():
                yield
        except self._psycopg.Error as error:
            raise OutputError(f"budgets in {self._place}: {str(error).strip()}") from error

    def alone(self, gateway: str) -> None:
        self.run("SELECT pg_advisory_xact_lock(? # hashtext(?)::bigint)", (LOCK, gateway))

    def run(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        cursor = self._base.execute(sql.replace("?", "%s"), values)
        return list(cursor.fetchall()) if cursor.description else []

    def close(self) -> None:
        self._base.close()
