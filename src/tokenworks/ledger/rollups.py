"""Running sums by tenant, run, model and hour, and of other costs by meter: in step with the events, always."""

from __future__ import annotations

from typing import Any

from tokenworks.ledger.prepare import Cell
from tokenworks.ledger.store import Store
from tokenworks.ledger.sums import COST_CELL, COST_SUMS, USAGE_CELL, USAGE_SUMS, Sums


def _conflict(table: str, cell: tuple[str, ...], sums: tuple[str, ...]) -> str:
    adding = ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in sums)
    return f"ON CONFLICT ({', '.join(cell)}) DO UPDATE SET {adding}"


_USAGE = _conflict("usage_sums", USAGE_CELL, USAGE_SUMS)
_COST = _conflict("cost_sums", COST_CELL, COST_SUMS)


def write(store: Store, cells: dict[Cell, Sums]) -> None:
    """Adds a group's sums, one row per cell. OverflowError where a sum leaves int64."""
    usage: list[Any] = []
    cost: list[Any] = []
    for cell, sums in cells.items():
        (usage if len(cell) == len(USAGE_CELL) else cost).extend((*cell, *sums))
    if usage:
        store.upsert("usage_sums", len(USAGE_CELL) + len(USAGE_SUMS), usage, _USAGE)
    if cost:
        store.upsert("cost_sums", len(COST_CELL) + len(COST_SUMS), cost, _COST)
