"""Lines that are no events: kept aside with reason and line number, counted, taken in again once they are mended."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from tokenworks.ledger.ledger import Ledger


class Aside(msgspec.Struct, frozen=True):
    """One line that was refused. ``line`` counts from 1 in its origin."""

    origin: str
    line: int
    reason: str
    content: bytes
    number: int = 0  # in the quarantine


def set_aside(ledger: Ledger, lines: Sequence[Aside]) -> int:
    """Keeps lines durably; one that waits there already, with the same content, is not kept twice. Returns how many."""
    if not lines:
        return 0
    with ledger.writing():
        known = {line.content for line in waiting(ledger)}
        last = ledger.store.rows("SELECT coalesce(max(number), 0) FROM quarantine")[0][0]
        fresh = {line.content: line for line in lines if line.content not in known}
        for number, line in enumerate(fresh.values(), last + 1):
            row = [number, line.origin, line.line, line.reason, line.content, "waiting"]
            ledger.store.insert("quarantine", 6, row)
    ledger.store.sync()
    return len(fresh)


def waiting(ledger: Ledger) -> list[Aside]:
    """What is kept aside, in the order it came."""
    columns = "origin, line, reason, content, number"
    rows = ledger.store.rows(f"SELECT {columns} FROM quarantine WHERE state = 'waiting' ORDER BY number")
    return [Aside(origin, line, reason, bytes(content), number) for origin, line, reason, content, number in rows]


def release(ledger: Ledger, numbers: Iterable[int]) -> None:
    """Marks lines as taken in; they stay in the table as a record."""
    with ledger.writing():
        for number in numbers:
            ledger.store.run("UPDATE quarantine SET state = 'taken in' WHERE number = ?", (number,))
    ledger.store.sync()
