"""Budgets of the factory file as accounts: which of them a call is about, and what it would cost in each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec

from tokenworks.ledger.ingest.buckets import Buckets
from tokenworks.physics.worker_model import MICROJOULES_PER_J
from tokenworks.serve.access.keys import Key
from tokenworks.serve.body.usage import Told
from tokenworks.serve.limits.book import Amounts
from tokenworks.serve.limits.bound import Bounded
from tokenworks.serve.limits.joules import ServiceJoules
from tokenworks.serve.limits.rates import PICO, Rates
from tokenworks.serve.limits.throttle import concerns
from tokenworks.spec.limits import Budget


class Windows:
    """The labels of today and of this month, by UTC."""

    def __init__(self) -> None:
        self.until_s, self._now = 0.0, {"total": "", "day": "", "month": ""}

    def at(self, now_s: float) -> dict[str, str]:
        if now_s >= self.until_s:
            day = datetime.fromtimestamp(now_s, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
            self._now = {"total": "total", "day": f"{day:%Y-%m-%d}", "month": f"{day:%Y-%m}"}
            self.until_s = (day + timedelta(days=1)).timestamp()
        return self._now


@dataclass(frozen=True)
class Rule:
    """One budget. ``limit`` in tokens, 10⁻¹² dollars or microjoules. ``shown``: its remainder is no secret of other tenants."""

    budget: Budget
    limit: int
    in_usd: bool
    in_joules: bool
    shown: bool

    @classmethod
    def of(cls, budget: Budget) -> Rule:
        limit = int(budget.tokens or 0) or (budget.joules or 0) * MICROJOULES_PER_J
        if budget.usd is not None:
            limit = int(Decimal(repr(budget.usd)) * PICO)
        shown = bool(budget.per or budget.tenant or budget.key)
        return cls(budget, limit, budget.usd is not None, budget.joules is not None, shown)

    @property
    def of_runs(self) -> bool:
        return self.budget.per == "run"

    def concerns(self, key: Key, service: str) -> bool:
        return concerns(self.budget, key, service)

    def account(self, tenant: str, key: str, run: str, windows: dict[str, str]) -> str:
        """Its name in the store; "" where it is about runs and this call is of none."""
        budget, whose = self.budget, ""
        if self.of_runs:
            if not run:
                return ""
            whose = f"{tenant.replace('%', '%25').replace('/', '%2F')}/{run}"  # no other tenant's run is called so
        elif budget.per:
            whose = tenant if budget.per == "tenant" else key
        return f"{budget.name}|{whose}|{windows[budget.window]}"

    def remaining(self, amount: int) -> str:
        """For people: what is left."""
        amount = max(0, amount)
        if self.in_joules:
            return f"{amount / MICROJOULES_PER_J:.6f} J"
        return f"{amount // (PICO // 10**6) / 1e6:.6f} USD" if self.in_usd else f"{amount} tokens"


class Cost(msgspec.Struct, frozen=True):
    """Of a call in one unit: ``fixed`` for the prompt, ``output`` for each token of its answers."""

    fixed: int
    output: int

    def of(self, bounded: Bounded) -> int:
        return self.fixed + self.output * bounded.outputs * bounded.answers


def worst(rule: Rule, bounded: Bounded, rates: Rates | None, joules: ServiceJoules | None) -> int:
    """What a call comes to, at most."""
    if rule.in_usd or rule.in_joules:
        return cost(rule, bounded, rates, joules).of(bounded)
    return bounded.inputs + bounded.outputs * bounded.answers


def cost(rule: Rule, bounded: Bounded, rates: Rates | None, joules: ServiceJoules | None) -> Cost:
    if rule.in_joules:
        assert joules
        return Cost(*joules.most_uj(bounded))
    if not rule.in_usd:
        return Cost(bounded.inputs, 1)
    assert rates
    return Cost(bounded.inputs * rates.input + rates.request, rates.output)


def truth(rule: Rule, most: int, bounded: Bounded, rates: Rates | None, told: Told, failed: bool) -> int:
    """What counts: what the engine told; what it did not tell counts at its bound, all of it at ``most``. Failed calls cost no
    dollars where the plan waives them."""
    if rule.in_joules:
        return most if told.energy_uj is None else told.energy_uj
    inputs, outputs = told_sides(told.buckets, told.source)
    if not rule.in_usd:
        made = bounded.outputs * bounded.answers
        return (bounded.inputs if inputs is None else inputs) + (made if outputs is None else outputs)
    assert rates
    if failed and rates.waived:
        return 0
    whole = rates.inputs(told.buckets) if inputs is not None else bounded.inputs * rates.input
    whole += rates.outputs(told.buckets) if outputs is not None else bounded.outputs * bounded.answers * rates.output
    return whole + rates.request


def told_sides(told: Buckets, source: str) -> tuple[int | None, int | None]:
    """Tokens in and out; None where the engine did not say: an estimate is not its word."""
    if source == "estimate":
        return None, None
    return (
        None if told.input_fresh is None else told.inputs,
        None if told.output_visible is None else told.outputs,
    )


def if_lost(rules: Sequence[Rule], amounts: Amounts, rates: Rates) -> list[int]:
    """What counts where nobody ever learns what became of the call."""
    return [0 if rates.waived and rule.in_usd else amount for rule, (_, amount) in zip(rules, amounts, strict=True)]


def affordable(costs: Sequence[Cost], free: Sequence[int], answers: int) -> int:
    """Tokens of each answer that all accounts can pay for; below 1: nothing."""
    each = [(f - c.fixed) // (c.output * answers) for c, f in zip(costs, free, strict=True) if c.output]
    return min(each, default=0)
