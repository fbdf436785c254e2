"""One ledger under several plans: revenue, cost and margin by tenant, who pays more, where a plan breaks even. Exact."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from tokenworks.errors import InputError
from tokenworks.pricing.account import Account, Rate, Seat
from tokenworks.pricing.bulk import rate_many
from tokenworks.pricing.charges import Rated
from tokenworks.pricing.costs import Cost, costs
from tokenworks.pricing.fees import under
from tokenworks.pricing.measure import THREADS, Tables, open_source
from tokenworks.pricing.money import as_decimal, rounded
from tokenworks.pricing.periods import Period, month
from tokenworks.pricing.plan import Plan

DOLLAR = "USD"


@dataclass(frozen=True)
class Result:
    """A tenant under a plan, in dollars: ``fixed`` is the part of revenue that does not follow usage (fees, minima)."""

    tenant: str
    revenue: Decimal
    fixed: Decimal
    cost: Decimal
    change: Decimal  # of the revenue against the first plan

    @property
    def margin(self) -> Decimal:
        return self.revenue - self.cost


@dataclass(frozen=True)
class Outcome:
    """All tenants under one plan."""

    plan: str
    results: tuple[Result, ...]
    unknown_costs: int  # events without known cost: the margin is too high by what they cost

    @property
    def revenue(self) -> Decimal:
        return _sum([r.revenue for r in self.results])

    @property
    def cost(self) -> Decimal:
        return _sum([r.cost for r in self.results])

    @property
    def margin(self) -> Decimal:
        return self.revenue - self.cost

    @property
    def margin_share(self) -> Decimal | None:
        """Of revenue; None without revenue."""
        return as_decimal(Fraction(self.margin) / Fraction(self.revenue), 4) if self.revenue else None

    @property
    def break_even(self) -> Decimal | None:
        """Usage, as a multiple of today's, at which the margin is 0 if usage revenue and cost grow alike.

        None where there is no such multiple: usage earns more than it costs, or there is no fixed revenue to lose.
        """
        fixed = _sum([r.fixed for r in self.results])
        loss = self.cost - (self.revenue - fixed)
        return as_decimal(Fraction(fixed) / Fraction(loss), 4) if loss > 0 and fixed > 0 else None

    def losers(self) -> tuple[Result, ...]:
        """Tenants that cost more than they pay, the worst first."""
        return tuple(sorted((r for r in self.results if r.margin < 0), key=lambda r: r.margin))


def simulate(
    plans: Sequence[Plan],
    accounts: Sequence[Account],
    tables: Tables,
    label: str,
    rates: tuple[Rate, ...] = (),
) -> tuple[Outcome, ...]:
    """Each plan as if all accounts had it in the month. Prepaid money and tax are left out. Raises InputError."""
    spent = _costs(accounts, tables, label)
    found: list[Outcome] = []
    for plan in plans:
        rated = rate_many(plan, [under(plan, a) for a in accounts], tables, label, rates=rates, unpriced="error")
        base = {r.tenant: r.revenue for r in found[0].results} if found else {}
        results = tuple(_result(t, r, spent.get(t, Cost()), base) for t, r in rated.items())
        found.append(Outcome(plan.plan, results, sum(c.unknown for c in spent.values())))
    return tuple(found)


def _result(tenant: str, rated: Rated, cost: Cost, base: dict[str, Decimal]) -> Result:
    fixed = rated.sum_of(c for c in rated.charges if c.kind in ("fee", "minimum"))
    return Result(tenant, rated.net, fixed, cost.usd, rated.net - base.get(tenant, rated.net))


def _costs(accounts: Sequence[Account], tables: Tables, label: str) -> dict[str, Cost]:
    found: dict[str, Cost] = {}
    for zone in sorted({a.zone for a in accounts}):
        found |= costs(tables, month(label, zone), [a.tenant for a in accounts if a.zone == zone])
    return found


def seats_of_agents(accounts: Sequence[Account], tables: Tables, period: Period) -> list[Account]:
    """Accounts with a seat, all period long, for each agent that worked for them. Raises InputError without usage."""
    import duckdb

    if tables.usage is None:
        raise InputError("seats by agent need a usage table")
    with duckdb.connect(config={"threads": THREADS}) as db:
        open_source(db, "usage", tables.usage)
        found = db.execute(
            "SELECT tenant, list(DISTINCT agent ORDER BY agent) FROM usage WHERE agent <> '' "
            f"AND time_us >= {period.start_us} AND time_us < {period.end_us} GROUP BY tenant"
        ).fetchall()
    agents = dict(found)
    return [
        a.model_copy(
            update={"seats": tuple(Seat.model_validate({"id": n, "from": a.from_}) for n in agents.get(a.tenant, ()))}
        )
        for a in accounts
    ]


def _sum(amounts: Sequence[Decimal]) -> Decimal:
    exact = sum((Fraction(a) for a in amounts), Fraction(0))
    return as_decimal(exact, 6) if exact.denominator > 100 else rounded(exact, DOLLAR)
