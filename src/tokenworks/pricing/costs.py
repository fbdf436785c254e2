"""What usage cost the factory, by tenant: allocated cost of attempts (failed ones too) and amounts of cost events."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal

from tokenworks.errors import InputError
from tokenworks.pricing.measure import THREADS, Tables, open_source
from tokenworks.pricing.measure_sql import Window, make_view
from tokenworks.pricing.money import in_minor
from tokenworks.pricing.periods import Period


@dataclass(frozen=True)
class Cost:
    """Whole micro-dollars. ``unknown``: events whose cost nobody knows; they are not in the sum."""

    micro_usd: int = 0
    unknown: int = 0

    @property
    def usd(self) -> Decimal:
        return in_minor(self.micro_usd, 6)

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.micro_usd + other.micro_usd, self.unknown + other.unknown)


_QUESTIONS = {
    "usage": "SELECT tenant, coalesce(sum(sign * cost_micro_usd), 0), coalesce(sum(sign) FILTER (cost_micro_usd IS NULL), 0)",
    "cost": "SELECT tenant, coalesce(sum(sign * amount_micro), 0), coalesce(sum(sign) FILTER (amount_micro IS NULL), 0)",
}


def costs(
    tables: Tables, period: Period, tenants: Collection[str] | None = None, last_seq: int | None = None
) -> dict[str, Cost]:
    """Tenant → cost of a period. Raises InputError for cost events that are not in dollars."""
    import duckdb

    found: dict[str, Cost] = {}
    window = Window(period.start_us, period.end_us, (), last_seq)
    with duckdb.connect(config={"threads": THREADS}) as db:
        for name, question in _QUESTIONS.items():
            if getattr(tables, name) is None:
                continue
            open_source(db, name, getattr(tables, name))
            make_view(db, name, window, tenants)
            where = f"FROM {name}_billed WHERE {window.holds('billed_us')}"
            if name == "cost":
                other = db.execute(
                    f"SELECT tenant, currency {where} AND amount_micro IS NOT NULL AND currency <> 'USD' LIMIT 1"
                )
                for tenant, currency in other.fetchall():
                    raise InputError(f"{tenant} has costs in {currency}: the factory's books are in USD")
            for tenant, micro, unknown in db.execute(f"{question} {where} GROUP BY tenant").fetchall():
                found[tenant] = found.get(tenant, Cost()) + Cost(int(micro), int(unknown))
    return found
