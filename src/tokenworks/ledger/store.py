"""What the ledger asks of a database. SQLite and PostgreSQL answer, each in a file of its own."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeAlias

from tokenworks.errors import OutputError

Row: TypeAlias = tuple[Any, ...]


class KeyTaken(Exception):  # noqa: N818 - a signal between store and appender, never shown
    """An insert met a key that is there already."""


class ConnectionLostError(OutputError):
    """The connection to the database was cut in a transaction. ``in_doubt``: while it committed, so that it may be stored."""

    def __init__(self, place: str, why: str, *, in_doubt: bool):
        fate = "whether this transaction was stored is not known" if in_doubt else "nothing of this group was stored"
        super().__init__(f"ledger {place}: the connection was lost ({why}); {fate}")
        self.in_doubt = in_doubt


class Store(Protocol):
    """Statements have ``?`` for parameters. Errors of the database come as InputError or OutputError."""

    place: str  # path or URL without password, for messages
    sole: bool  # whether nobody else can write while it is open
    blob: type[bytes] | type[bytearray]  # what its driver takes bytes as without detours

    def writing(self) -> AbstractContextManager[None]:
        """One transaction, the only one that writes; rolled back by any error, but see ConnectionLostError. Durable after
        ``sync``."""

    def snapshot(self) -> AbstractContextManager[None]:
        """A transaction whose queries all see one state, whatever others store or seal meanwhile."""

    def sync(self) -> None:
        """Returns when everything committed before is on the disk. OutputError where the disk fails."""

    def tidy(self, lock: AbstractContextManager[Any]) -> None:
        """Housekeeping beside the writer, who is kept out by ``lock`` for moments only."""

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """All rows of a query."""

    def run(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        """One statement without rows."""

    def insert(self, table: str, width: int, flat: list[Any]) -> None:
        """Rows of ``width`` values, one after the other in ``flat``. KeyTaken where a key exists."""

    def upsert(self, table: str, width: int, flat: list[Any], conflict: str) -> None:
        """The same with an ON CONFLICT clause. OverflowError where a sum leaves int64."""

    def close(self) -> None:
        """Gives the database back."""
