"""Usage as integer sums, by tenant, stretch of the period and what prices tell apart. DuckDB sums in 128 bits.

A reversal counts at the time of what it takes back; an outcome at the time of its verification.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from tokenworks.errors import InputError
from tokenworks.events.ledger_events import BUCKETS, MICRO
from tokenworks.pricing import measure_sql as sql
from tokenworks.pricing.periods import Period

THREADS = 2


@dataclass(frozen=True)
class Tables:
    """What the ledger gives: Arrow tables, or paths (globs) of Parquet files, with the columns of events/ledger_events."""

    usage: Any = None
    cost: Any = None
    outcomes: Any = None


@dataclass(frozen=True)
class Tokens:
    """Sums over attempts at one model in one stretch. ``unknown``: attempts whose count of a bucket nobody knows."""

    stretch: int
    model: str
    failed: bool
    requests: int
    duration_us: int
    unknown_duration: int
    counts: tuple[int, ...]  # by BUCKETS
    unknown: tuple[int, ...]


@dataclass(frozen=True)
class Counted:
    """Other things by name: runs, conversations, workflows, costs, outcomes."""

    meter: str
    name: str
    stretch: int
    quantity: Fraction
    money: Fraction
    unknown_money: int
    currency: str


@dataclass
class Measured:
    """All of one tenant."""

    tokens: list[Tokens] = field(default_factory=list)
    counted: list[Counted] = field(default_factory=list)


def measure(
    tables: Tables,
    period: Period,
    edges_us: Sequence[int],
    meters: Collection[str] = (),
    tenants: Collection[str] | None = None,
    last_seq: int | None = None,
) -> dict[str, Measured]:
    """Tenant → sums. Stretch 1 begins at the first edge; 0 and the last are outside of the contract.

    Tokens, costs and outcomes are always measured, runs, conversations and workflows where ``meters`` names them;
    rows after ``last_seq`` do not exist. Raises InputError for a reversal whose original is not in the table.
    """
    import duckdb

    found: dict[str, Measured] = {}
    with duckdb.connect(config={"threads": THREADS}) as db:
        window = sql.Window(period.start_us, period.end_us, tuple(edges_us), last_seq)
        for name in ("usage", "cost", "outcomes"):
            source = getattr(tables, name)
            if source is not None:
                open_source(db, name, source)
                sql.make_view(db, name, window, tenants)
        if tables.usage is not None:
            _tokens(db, window, found)
            for meter in sorted({"runs", "conversations", "workflows"} & set(meters)):
                _counted(db, sql.distinct(db, meter, window), meter, found)
        if tables.cost is not None:
            _counted(db, sql.costs(window), "cost", found)
        if tables.outcomes is not None:
            _counted(db, sql.outcomes(window), "outcomes", found)
    return found


def open_source(db: Any, name: str, source: Any) -> None:
    if isinstance(source, str | Path):
        quoted = str(source).replace("'", "''")
        db.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet('{quoted}')")
    else:
        db.register(name, source)


def _tokens(db: Any, window: sql.Window, found: dict[str, Measured]) -> None:
    n = len(BUCKETS)
    for tenant, stretch, model, failed, requests, us, blind, *rest in db.execute(sql.tokens(window)).fetchall():
        counts, unknown = tuple(map(int, rest[:n])), tuple(map(int, rest[n:]))
        row = Tokens(stretch, model, failed, int(requests), int(us), int(blind), counts, unknown)
        found.setdefault(tenant, Measured()).tokens.append(row)


def _counted(db: Any, query: str, meter: str, found: dict[str, Measured]) -> None:
    for tenant, name, stretch, quantity, money, blind, currency in db.execute(query).fetchall():
        units = Fraction(int(quantity), MICRO if meter == "cost" else 1)
        row = Counted(meter, name, stretch, units, Fraction(int(money), MICRO), int(blind), currency)
        found.setdefault(tenant, Measured()).counted.append(row)


def refuse_negative(tenant: str, measured: Measured) -> None:
    """Sums of sign × tokens below 0 mean that something was reversed twice or never was."""
    for row in measured.tokens:
        for bucket, count in zip(BUCKETS, row.counts, strict=True):
            if count < 0:
                raise InputError(f"{tenant}: {bucket} of {row.model} sums to {count}: below 0")
