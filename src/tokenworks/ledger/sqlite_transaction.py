"""A transaction of an SQLite file that begins by taking the writer's lock."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def transaction(base: sqlite3.Connection) -> Iterator[None]:
    """All of it or nothing. SQLite itself may have rolled it back already, as on a full disk."""
    base.execute("BEGIN IMMEDIATE")
    try:
        yield
        base.execute("COMMIT")
    except BaseException:
        if base.in_transaction:
            base.execute("ROLLBACK")
        raise
