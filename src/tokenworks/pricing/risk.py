"""Probability of loss of a plan over drawn months: tenants and their runs are drawn again from what really happened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from tokenworks.errors import InputError
from tokenworks.pricing.account import Account
from tokenworks.pricing.charges import Balances
from tokenworks.pricing.draws import Floats, Month, draw, runs_of
from tokenworks.pricing.fees import under
from tokenworks.pricing.measure import Measured, Tables
from tokenworks.pricing.periods import Period
from tokenworks.pricing.plan import Plan, Version
from tokenworks.pricing.quick import revenue
from tokenworks.pricing.rating import Terms, metered

PERCENTILES = (5, 50, 95)


@dataclass(frozen=True)
class Population:
    """Drawn months of all tenants, and which tenants each draw consists of (drawn with replacement)."""

    months: Mapping[str, Month]
    accounts: tuple[Account, ...]
    period: Period
    chosen: Floats  # (draws, tenants): how often a tenant is in a draw

    @property
    def draws(self) -> int:
        return len(self.chosen)


@dataclass(frozen=True)
class Risk:
    """Of the whole business under a plan, in the plan's currency taken as dollars."""

    plan: str
    draws: int
    loss_probability: float  # that revenue is below cost
    margin_usd: tuple[float, float, float]  # 5th, 50th, 95th percentile
    margin_share: tuple[float, float, float]
    losing_tenants: float  # mean share of tenants that cost more than they pay


def population(
    accounts: Sequence[Account],
    tables: Tables,
    period: Period,
    draws: int = 1000,
    seed: int = 1,
    bill_failed: bool = False,
) -> Population:
    """The same seed gives the same draws; the first draw is the month that was. Raises InputError."""
    if draws < 2:
        raise InputError(f"{draws} draws say nothing about risk: take at least 2")
    runs = runs_of(tables, period, [a.tenant for a in accounts], bill_failed)
    streams = np.random.SeedSequence(seed).spawn(len(accounts) + 1)
    months = {
        a.tenant: draw(runs[a.tenant], draws, np.random.default_rng(s)) for a, s in zip(accounts, streams, strict=False)
    }
    n = len(accounts)
    chosen = np.random.default_rng(streams[-1]).multinomial(n, np.full(n, 1 / n), size=draws).astype(np.float64)
    chosen[0] = 1.0
    return Population(months, tuple(accounts), period, chosen)


def risk(plan: Plan, drawn: Population) -> Risk:
    """Raises UnsupportedError for meters that are not drawn, InputError for a plan that is not in dollars."""
    income, spent = incomes(plan, drawn)
    whole, cost = (drawn.chosen * income).sum(axis=1), (drawn.chosen * spent).sum(axis=1)
    margin = whole - cost
    share = np.divide(margin, whole, out=np.full_like(margin, -np.inf), where=whole > 0)
    low = tuple(float(v) for v in np.percentile(margin, PERCENTILES))
    shares = tuple(float(v) for v in np.percentile(share, PERCENTILES, method="nearest"))
    return Risk(plan.plan, drawn.draws, float((margin < 0).mean()), low, shares, float((income < spent).mean()))  # type: ignore[arg-type]


def incomes(plan: Plan, drawn: Population) -> tuple[Floats, Floats]:
    """Revenue and cost, (draws, tenants)."""
    if plan.currency != "USD":
        raise InputError(f"risk compares revenue with cost in USD; plan {plan.plan} is in {plan.currency}")
    version = version_at_end(plan, drawn.period)
    fees = [_fee(plan, account, drawn.period) for account in drawn.accounts]
    income = np.stack(
        [revenue(version, drawn.months[a.tenant], f) for a, f in zip(drawn.accounts, fees, strict=True)], axis=1
    )
    return income, np.stack([drawn.months[a.tenant].cost_usd for a in drawn.accounts], axis=1)


def version_at_end(plan: Plan, period: Period) -> Version:
    """Risk looks ahead: the prices that hold when the period ends."""
    for version in reversed(plan.versions):
        if version.from_ < period.after and (version.until is None or version.until >= period.after):
            return version
    raise InputError(f"plan {plan.plan} has no version at the end of {period.label}")


def _fee(plan: Plan, account: Account, period: Period) -> float:
    version = version_at_end(plan, period)
    alone = plan.model_copy(
        update={"versions": (version.model_copy(update={"from_": account.from_, "minimum": None}),)}
    )
    opening = Balances({p.id: Decimal(0) for p in version.prices if p.rollover}, {})
    charges, _ = metered(Terms(alone, under(plan, account), period), Measured(), opening)
    return float(sum(c.amount for c in charges if c.kind == "fee"))
