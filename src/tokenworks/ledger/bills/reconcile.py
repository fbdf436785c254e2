"""The ledger's usage beside a provider's bill: what differs, in which bucket, by how much, in tokens and money.

Tokens are compared by (day, model, bucket); the ledger's three outputs are one there, as bills do not part them. Money is
compared by (day, model), and for the bill alone priced by bucket: a difference of tokens is worth what the bill itself
charges a token of that bucket, where it says both. What stands on one side alone is listed, never matched by guess.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, TypeAlias

from tokenworks.errors import InputError
from tokenworks.events.ledger_events import MICRO
from tokenworks.ledger.bills.rows import BUCKETS, BillRow
from tokenworks.ledger.calls import opened

Cell: TypeAlias = tuple[date, str, str]


@dataclass(frozen=True)
class LedgerRow:
    """What the ledger holds of one model on one day."""

    day: date
    model: str
    bucket: str
    quantity: int
    unknown_calls: int  # of which nobody knows this bucket: the quantity is at least this


@dataclass(frozen=True)
class Difference:
    """One cell in which both sides speak and do not agree. Positive: the bill has more."""

    day: date
    model: str
    bucket: str  # "money": all that was charged for the model that day
    ledger: Decimal  # tokens, or money
    bill: Decimal
    difference: Decimal
    money: Decimal | None  # what the difference is worth; None: the bill does not say what a token costs
    currency: str
    unknown_calls: int  # of the ledger: they may explain it


@dataclass(frozen=True)
class Reconciliation:
    """``agreed``: cells that match exactly. Unmatched rows stand on one side alone."""

    agreed: int
    differences: list[Difference]
    bill_only: list[BillRow]
    ledger_only: list[LedgerRow]
    billed: dict[str, Decimal]  # by currency: all that the bill charges
    money_of_differences: dict[str, Decimal]  # by currency: Σ of what token differences are worth

    @property
    def clean(self) -> bool:
        return not (self.differences or self.bill_only or self.ledger_only)


def ledger_usage(usage: Any, *, models: Mapping[str, str] | None = None) -> list[LedgerRow]:
    """Rows by UTC day, model and bucket of an Arrow table with USAGE_COLUMNS; failed attempts count: providers bill them.

    ``models`` renames the ledger's models to the bill's.
    """
    link = opened(usage)
    columns = {
        **{name: (name,) for name in BUCKETS[:3]},
        "output": ("output_visible", "output_reasoning", "output_tool"),
    }
    sums = ", ".join(
        f"sum(sign * ({' + '.join(f'coalesce({c}, 0)' for c in names)}))::BIGINT, count(*) FILTER ({names[0]} IS NULL)"
        for names in columns.values()
    )
    try:
        found = link.execute(
            f"SELECT strftime(make_timestamp(time_us), '%Y-%m-%d'), model, {sums} FROM calls GROUP BY 1, 2"
        ).fetchall()
    finally:
        link.close()
    return _renamed(found, models or {})


def _renamed(found: Sequence[tuple[Any, ...]], models: Mapping[str, str]) -> list[LedgerRow]:
    sums: dict[Cell, list[int]] = {}
    for day, model, *numbers in found:
        for i, bucket in enumerate(BUCKETS):
            cell = sums.setdefault((date.fromisoformat(day), models.get(model, model), bucket), [0, 0])
            cell[0] += numbers[2 * i]
            cell[1] += numbers[2 * i + 1]
    return [LedgerRow(*cell, *sums[cell]) for cell in sorted(sums, key=_order)]


def _order(cell: Cell) -> tuple[date, str, int]:
    return cell[0], cell[1], BUCKETS.index(cell[2])


def ledger_money(usage: Any, *, models: Mapping[str, str] | None = None) -> dict[tuple[date, str], Decimal]:
    """What the ledger's calls cost by UTC day and model, in dollars; a model of which some call has no cost is left out."""
    link = opened(usage)
    try:
        query = """SELECT strftime(make_timestamp(time_us), '%Y-%m-%d'), model, sum(sign * cost_micro_usd)::BIGINT,
            bool_or(cost_micro_usd IS NULL) FROM calls GROUP BY 1, 2"""
        found = link.execute(query).fetchall()
    finally:
        link.close()
    money: dict[tuple[date, str], Decimal] = {}
    open_: set[tuple[date, str]] = set()
    for day, model, micro, unknown in found:
        key = (date.fromisoformat(day), (models or {}).get(model, model))
        money[key] = money.get(key, Decimal(0)) + Decimal(micro or 0) / MICRO
        if unknown:
            open_.add(key)
    return {key: value for key, value in money.items() if key not in open_}


def reconcile(
    ledger: Iterable[LedgerRow], bill: Iterable[BillRow], money: Mapping[tuple[date, str], Decimal] | None = None
) -> Reconciliation:
    """Compare both sides cell by cell. ``money``: the ledger's dollars by day and model, compared where it is given.

    Raises InputError where one model is charged in two currencies on one day.
    """
    held = {(r.day, r.model, r.bucket): r for r in ledger}
    rows = list(bill)
    tokens = _tokens(rows)
    prices = _prices(rows, tokens)
    differences, agreed = [], 0
    for cell in sorted(held.keys() & tokens.keys(), key=_order):
        if held[cell].quantity == tokens[cell]:
            agreed += 1
        else:
            differences.append(_difference(held[cell], tokens[cell], prices.get(cell)))
    charged = _charged(rows)
    for key in sorted(charged.keys() & (money or {}).keys()):
        ours, (theirs, currency) = (money or {})[key], charged[key]
        if currency != "USD":
            raise InputError(
                f"{key[1]} on {key[0]} is charged in {currency}, the ledger's money is USD: convert the bill first"
            )
        agreed += ours == theirs
        if ours != theirs:
            differences.append(Difference(*key, "money", ours, theirs, theirs - ours, theirs - ours, currency, 0))
    return _result(agreed, differences, rows, held, tokens)


def _result(
    agreed: int,
    differences: list[Difference],
    rows: list[BillRow],
    held: Mapping[Cell, LedgerRow],
    tokens: Mapping[Cell, int],
) -> Reconciliation:
    billed: dict[str, Decimal] = {}
    worth: dict[str, Decimal] = {}
    for row in rows:
        if row.cost is not None:
            billed[row.currency] = billed.get(row.currency, Decimal(0)) + row.cost
    for item in differences:
        if item.money is not None and item.bucket != "money":
            worth[item.currency] = worth.get(item.currency, Decimal(0)) + item.money
    known = {(day, model) for day, model, _ in held}
    only = [row for row in rows if _alone(row, held, known)]
    silent = [row for cell, row in held.items() if cell not in tokens and (row.quantity or row.unknown_calls)]
    return Reconciliation(agreed, differences, only, silent, billed, worth)


def _alone(row: BillRow, held: Mapping[Cell, LedgerRow], known: set[tuple[date, str]]) -> bool:
    """A row of tokens that the ledger has not (no tokens at all is nothing), or money of what it does not know."""
    if row.bucket not in BUCKETS:
        return True
    if row.quantity is not None:
        return (row.day, row.model, row.bucket) not in held and bool(row.quantity or row.cost)
    return (row.day, row.model) not in known


def _tokens(rows: Iterable[BillRow]) -> dict[Cell, int]:
    found: dict[Cell, int] = {}
    for row in rows:
        if row.bucket in BUCKETS and row.quantity is not None:
            cell = (row.day, row.model, row.bucket)
            found[cell] = found.get(cell, 0) + row.quantity
    return found


def _prices(rows: Iterable[BillRow], tokens: Mapping[Cell, int]) -> dict[Cell, tuple[Decimal, str]]:
    """What the bill charges a token of a bucket: its money of that cell ÷ its tokens."""
    costs: dict[Cell, tuple[Decimal, str]] = {}
    for row in rows:
        if row.bucket in BUCKETS and row.cost is not None:
            cell = (row.day, row.model, row.bucket)
            costs[cell] = (costs.get(cell, (Decimal(0), ""))[0] + row.cost, row.currency)
    return {cell: (cost / tokens[cell], currency) for cell, (cost, currency) in costs.items() if tokens.get(cell)}


def _charged(rows: Iterable[BillRow]) -> dict[tuple[date, str], tuple[Decimal, str]]:
    found: dict[tuple[date, str], tuple[Decimal, str]] = {}
    for row in rows:
        if row.model and row.cost is not None:
            total, currency = found.get((row.day, row.model), (Decimal(0), row.currency))
            if currency != row.currency:
                raise InputError(f"{row.model} on {row.day} is charged in {currency} and in {row.currency}")
            found[row.day, row.model] = (total + row.cost, currency)
    return found


def _difference(ours: LedgerRow, theirs: int, price: tuple[Decimal, str] | None) -> Difference:
    more = theirs - ours.quantity
    money, currency = (more * price[0], price[1]) if price else (None, "")
    return Difference(
        ours.day,
        ours.model,
        ours.bucket,
        Decimal(ours.quantity),
        Decimal(theirs),
        Decimal(more),
        money,
        currency,
        ours.unknown_calls,
    )
