"""A connection to PostgreSQL that is opened anew after it was cut: a server restarts, a proxy or an administrator ends it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tokenworks.errors import InputError, OutputError
from tokenworks.ledger.store import ConnectionLostError, Row
from tokenworks.ledger.tables import require_version

if TYPE_CHECKING:
    from psycopg import Connection

CONNECT_S = 10  # until an attempt is given up
PATIENCE_S, PAUSE_S = 5.0, 0.2  # with a server that is starting again
SILENCE_MS = 30_000  # after which a connection that gets no answer from the other machine is given up


class PostgresConnection:
    """Of one thread at a time: a transaction keeps others out until its end, and ends on the connection on which it began.
    A new connection is opened only where none is under way."""

    def __init__(self, url: str, schema: str, place: str):
        """InputError where no server answers."""
        self._url, self._schema, self._place = url, schema, place
        self._psycopg = driver()
        self._turn = threading.RLock()
        self._inside = self._given_back = False
        try:
            self.base = self._connect()
        except self._psycopg.OperationalError as error:
            raise InputError(f"ledger {place}: no server answers there: {_text(error)}") from error

    def _connect(self) -> Connection[Any]:
        """With the settings that every transaction relies on."""
        base: Connection[Any] = self._psycopg.connect(
            self._url, autocommit=True, connect_timeout=CONNECT_S, tcp_user_timeout=SILENCE_MS
        )
        try:
            for name, value in (("search_path", f'"{self._schema}"'), ("synchronous_commit", "on")):
                base.execute("SELECT set_config(%s, %s, false)", (name, value))
        except BaseException:
            base.close()
            raise
        return base

    def _open_anew(self) -> None:
        """OutputError where no server answers now; InputError where the one that answers does not hold this ledger. It makes no
        tables: a ledger that has vanished does not begin again by itself."""
        if self._given_back:
            raise OutputError(f"ledger {self._place}: it is closed")
        try:
            base = self._connect_soon()
        except self._psycopg.OperationalError as error:
            raise OutputError(
                f"ledger {self._place}: the connection was lost, and no server answers: {_text(error)}; nothing of this group was"
                " stored"
            ) from error
        try:
            self._require_ledger(base)
        except BaseException:
            base.close()
            raise
        self.base = base

    def _connect_soon(self) -> Connection[Any]:
        """A server that is starting again is waited for."""
        until_s = time.monotonic() + PATIENCE_S
        while True:
            try:
                return self._connect()
            except self._psycopg.OperationalError:
                if time.monotonic() > until_s:
                    raise
                time.sleep(PAUSE_S)

    def require_ledger(self) -> None:
        """InputError where there is none of this program's version."""
        with self._told():
            self._require_ledger(self.base)

    def _require_ledger(self, base: Connection[Any]) -> None:
        found = base.execute("SELECT value FROM meta WHERE name = 'version'").fetchone()
        require_version(found and found[0], self._place)

    @contextmanager
    def transaction(self, first: str, values: Sequence[Any] = ()) -> Iterator[None]:
        """``first`` is its first statement; an idle connection that was cut is noticed there and replaced. ConnectionLostError
        where it is cut later, OutputError for other complaints of the server."""
        with self._alone(), self._told():
            try:
                self._begin(first, values)
                yield
            except BaseException:
                self._roll_back()
                raise
            self._commit()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self._turn:
            self._inside = True
            try:
                yield
            finally:
                self._inside = False

    def _begin(self, first: str, values: Sequence[Any]) -> None:
        try:
            self._enter(first, values)
        except self._psycopg.Error:
            if not self.base.closed:
                raise
            self._open_anew()
            self._enter(first, values)

    def _enter(self, first: str, values: Sequence[Any]) -> None:
        self.base.execute("BEGIN")
        self.base.execute(first, values)

    def _roll_back(self) -> None:
        """A connection that cannot do it is given up: the server then does it by itself."""
        try:
            self.base.execute("ROLLBACK")
        except self._psycopg.Error:
            self.base.close()

    def _commit(self) -> None:
        try:
            said = self.base.execute("COMMIT").statusmessage
        except BaseException as error:
            lost = self.base.closed
            self.base.close()  # in whatever state it is, the server ends it
            if lost and isinstance(error, self._psycopg.Error):
                raise ConnectionLostError(self._place, _text(error), in_doubt=True) from error
            raise
        if said != "COMMIT":  # so it answers where a statement had failed and its error was swallowed
            raise OutputError(
                f"ledger {self._place}: the transaction was rolled back; nothing of this group was stored"
            )

    def rows(self, sql: str, values: Sequence[Any]) -> list[Row]:
        """Of a query. Outside a transaction a connection that was cut is replaced."""
        with self._turn, self._told():
            try:
                return self.base.execute(sql, values).fetchall()
            except self._psycopg.Error:
                if self._inside or not self.base.closed:
                    raise
            self._open_anew()
            return self.base.execute(sql, values).fetchall()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """The server's complaints, with the place."""
        errors = self._psycopg.errors
        try:
            yield
        except errors.UndefinedTable as error:
            raise InputError(f"ledger {self._place}: there is no ledger in schema {self._schema!r}") from error
        except self._psycopg.Error as error:
            if self.base.closed:
                raise ConnectionLostError(self._place, _text(error), in_doubt=False) from error
            if isinstance(error, self._psycopg.OperationalError | self._psycopg.InternalError):
                raise OutputError(f"ledger {self._place}: {_text(error)}; nothing of this group was stored") from error
            raise

    def close(self) -> None:
        self._given_back = True
        self.base.close()


def driver() -> Any:
    try:
        import psycopg
    except ImportError as error:
        raise InputError("a ledger in PostgreSQL needs psycopg: pip install 'tokenworks[postgresql]'") from error
    return psycopg


def _text(error: Exception) -> str:
    """On one line."""
    return " ".join(str(error).split())
