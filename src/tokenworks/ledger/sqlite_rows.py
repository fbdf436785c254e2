"""Many rows by few statements: each call into SQLite releases Python's lock, each size of a statement is compiled once."""

from __future__ import annotations

import sqlite3
from functools import lru_cache
from typing import Any

ROWS_AT_ONCE = (256, 64, 16, 1)  # of one INSERT


def insert_rows(base: sqlite3.Connection, into: str, width: int, flat: list[Any], conflict: str) -> None:
    """``into``: what follows INSERT; ``flat``: rows of ``width`` values one after the other; ``conflict``: its clause."""
    start, rows = 0, len(flat) // width
    for size in ROWS_AT_ONCE:
        sql, step = _insert_sql(into, width, size, conflict), size * width
        while rows >= size:
            base.execute(sql, flat[start : start + step])
            start, rows = start + step, rows - size


@lru_cache(maxsize=256)
def _insert_sql(into: str, width: int, rows: int, conflict: str) -> str:
    row = f"({','.join('?' * width)})"
    return f"INSERT {into} VALUES {','.join([row] * rows)} {conflict}"
