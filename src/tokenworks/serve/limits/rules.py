"""Budgets of the factory file as accounts: which of them a call is about, and what it would cost in each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec

from tokenworks.ledger.ingest.buckets import Buckets
from tokenworks.physics.worker_model import MICROJOULES_PER_J
from tokenworks.serve.body.usage import Told
from tokenworks.serve.keys import Key
from tokenworks.serve.limits.bound import Bounded
from tokenworks.serve.limits.joules import ServiceJoules
from tokenworks.serve.limits.rates import PICO, Rates
from tokenworks.serve.limits.throttle import concerns
from tokenworks.spec.limits import Budget


class Windows:
    """The labels of today and of this month, by UTC."""

    def __init__(self) -> None:
        self._until_s, self._now = 0.0, {"total": "", "day": "", "month": ""}

    def at(self, now_s: float) -> dict[str, str]:
        if now_s >= self._until_s:
            day = datetime.fromtimestamp(now_s, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
            self._now = {"total": "total", "day": f"{day:%Y-%m-%d}", "month": f"{day:%Y-%m}"}
            self._until_s = (day + timedelta(days=1)).timestamp()
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

    def concerns(self, key: Key, service: str) -> bool:
        return concerns(self.budget, key, service)

    def account(self, tenant: str, key: str, run: str, windows: dict[str, str]) -> str:
        """Its name in the store; "" where it is about runs and this call is of none."""
        budget, whose = self.budget, ""
        if budget.per == "run":
            if not run:
                return ""
            whose = f"{tenant}/{run}"
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


def worst(rule: Rule, bounded: Bounded, rates: Rates | None, joules: ServiceJoules | None = None) -> Cost:
    if rule.in_joules:
        assert joules
        return Cost(*joules.most_uj(bounded))
    if not rule.in_usd:
        return Cost(bounded.inputs, 1)
    assert rates
    return Cost(bounded.inputs * rates.input + rates.request, rates.output)


def truth(rule: Rule, cost: Cost, bounded: Bounded, rates: Rates | None, told: Told, failed: bool) -> int:
    """What counts: what the engine told; what it did not tell counts at its bound. Failed calls cost no dollars where the
    plan waives them."""
    if rule.in_joules:
        return cost.of(bounded) if told.energy_uj is None else told.energy_uj
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
    known = source != "estimate"
    inputs = (told.input_fresh or 0) + (told.cache_read or 0) + (told.cache_write or 0)
    outputs = (told.output_visible or 0) + (told.output_reasoning or 0) + (told.output_tool or 0)
    return (
        inputs if known and told.input_fresh is not None else None,
        outputs if known and told.output_visible is not None else None,
    )


def if_lost(rule: Rule, amount: int, rates: Rates | None) -> int:
    """What counts where nobody ever learns what became of the call."""
    return 0 if rule.in_usd and rates and rates.waived else amount


def affordable(costs: Sequence[Cost], free: Sequence[int], answers: int) -> int:
    """Tokens of each answer that all accounts can pay for; below 1: nothing."""
    each = [(f - c.fixed) // (c.output * answers) for c, f in zip(costs, free, strict=True) if c.output]
    return min(each, default=0)
