"""Lines that are no events: kept aside with reason and line number, counted, taken in again once they are mended."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import msgspec

from tokenworks.ledger.ingest.records import Context

if TYPE_CHECKING:
    from tokenworks.ledger.ledger import Ledger

WAITING, TAKEN_IN, RESTATED = "waiting", "taken in", "restated"  # states; restated: a record only, never taken in


class Aside(msgspec.Struct, frozen=True):
    """One record that was refused. ``line`` counts from 1 in its origin."""

    origin: str
    line: int
    reason: str
    content: bytes
    format: str = "native"  # that it came in
    context: Context = Context()  # that it came with
    number: int = 0  # in the quarantine


def set_aside(ledger: Ledger, lines: Sequence[Aside], state: str = WAITING) -> int:
    """Keeps lines durably; one that lies there already, with the same content, is not kept twice. Returns how many."""
    if not lines:
        return 0
    with ledger.writing():
        known = {line.content for line in held(ledger, state)}
        last = ledger.store.rows("SELECT coalesce(max(number), 0) FROM quarantine")[0][0]
        fresh = {line.content: line for line in lines if line.content not in known}
        for number, line in enumerate(fresh.values(), last + 1):
            row = [number, line.origin, line.line, line.reason, line.content, line.format, _said(line.context), state]
            ledger.store.insert("quarantine", 8, row)
    ledger.store.sync()
    return len(fresh)


def waiting(ledger: Ledger) -> list[Aside]:
    """What waits to be mended, in the order it came."""
    return held(ledger, WAITING)


def held(ledger: Ledger, state: str) -> list[Aside]:
    columns = "origin, line, reason, content, format, context, number"
    rows = ledger.store.rows(f"SELECT {columns} FROM quarantine WHERE state = ? ORDER BY number", (state,))
    return [
        Aside(origin, line, reason, bytes(content), format, msgspec.json.decode(context, type=Context), number)
        for origin, line, reason, content, format, context, number in rows
    ]


def _said(context: Context) -> str:
    return msgspec.json.encode(context).decode()


def release(ledger: Ledger, numbers: Iterable[int]) -> None:
    """Marks lines as taken in; they stay in the table as a record."""
    with ledger.writing():
        for number in numbers:
            ledger.store.run("UPDATE quarantine SET state = ? WHERE number = ?", (TAKEN_IN, number))
    ledger.store.sync()
