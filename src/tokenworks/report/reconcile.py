"""A reconciliation as text."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

MOST = 50  # lines of a list


def reconcile_text(found: Any) -> str:
    """Differences, then what stands on one side alone, then the sums."""
    lines = [f"{found.agreed:,} figures agree, {len(found.differences):,} differ"]
    lines += [_difference(item) for item in found.differences[:MOST]]
    lines += _listed("on the bill alone", [_billed(row) for row in found.bill_only])
    lines += _listed(
        "in the ledger alone", [f"{r.day}  {r.model}  {r.bucket}  {r.quantity:,} tokens" for r in found.ledger_only]
    )
    lines += [f"billed: {_money(total, currency)}" for currency, total in sorted(found.billed.items())]
    worth = sorted(found.money_of_differences.items())
    lines += [f"token differences are worth {_money(total, currency)}" for currency, total in worth]
    return "\n".join(lines)


def _difference(item: Any) -> str:
    unit = item.currency if item.bucket == "money" else "tokens"
    worth = f" = {_money(item.money, item.currency)}" if item.money is not None and item.bucket != "money" else ""
    unknown = f"; {item.unknown_calls:,} calls of the ledger do not state it" if item.unknown_calls else ""
    sides = f"ledger {item.ledger:,}, bill {item.bill:,}: {item.difference:+,} {unit}"
    return f"{item.day}  {item.model}  {item.bucket}: {sides}{worth}{unknown}"


def _listed(title: str, lines: list[str]) -> list[str]:
    if not lines:
        return []
    more = [f"  … and {len(lines) - MOST} more (--json has all)"] if len(lines) > MOST else []
    return [f"{title}: {len(lines):,}", *(f"  {line}" for line in lines[:MOST]), *more]


def _billed(row: Any) -> str:
    tokens = f"  {row.quantity:,} tokens" if row.quantity is not None else ""
    cost = f"  {_money(row.cost, row.currency)}" if row.cost is not None else ""
    return f"{row.day}  {row.model or '?'}  {row.bucket}{tokens}{cost}  ({row.line})"


def _money(value: Decimal, currency: str) -> str:
    return f"{value:,.6f}".rstrip("0").rstrip(".") + f" {currency}"
