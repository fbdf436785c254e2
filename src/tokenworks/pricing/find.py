"""The value of one parameter of a plan at which a margin is reached at a risk: bisection over the same draws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, TypeAlias

import numpy as np

from tokenworks.errors import InputError
from tokenworks.pricing.plan import Plan, Price
from tokenworks.pricing.risk import Population, Risk, incomes, risk, version_at_end
from tokenworks.spec.messages import near

Parameter: TypeAlias = Literal["price", "included"]
MOST_STEPS = 10**9


@dataclass(frozen=True)
class Found:
    """The plan with the value that was looked for. ``miss``: share of draws below the margin."""

    plan: Plan
    value: Decimal
    miss: float
    risk: Risk


def find(
    plan: Plan, price_id: str, parameter: Parameter, margin_share: float, miss: float, drawn: Population, step: Decimal
) -> Found:
    """The lowest price (or the most included units), in multiples of ``step``, at which at most the share ``miss`` of draws
    has a margin below ``margin_share`` of revenue. Raises InputError where none does."""
    if not 0 <= miss < 1 or margin_share >= 1 or step <= 0:
        raise InputError("the risk lies in [0, 1), the margin is below 1, the step above 0")
    price = _price(plan, price_id, parameter, drawn)

    def missed(steps: int) -> float:
        return _missed(_with(plan, price, parameter, step * steps), margin_share, drawn)

    steps = _lowest(missed, miss) if parameter == "price" else _highest(missed, miss)
    chosen = _with(plan, price, parameter, step * steps)
    return Found(chosen, step * steps, missed(steps), risk(chosen, drawn))


def _missed(plan: Plan, margin_share: float, drawn: Population) -> float:
    income, spent = incomes(plan, drawn)
    whole, cost = (drawn.chosen * income).sum(axis=1), (drawn.chosen * spent).sum(axis=1)
    return float(np.mean(whole - cost < margin_share * whole))


def _lowest(missed: Callable[[int], float], miss: float) -> int:
    """More is safer: the first that is safe enough."""
    high = 1
    while missed(high) > miss:
        high *= 2
        if high > MOST_STEPS:
            raise InputError("no value of this parameter reaches the margin at this risk")
    low = 0
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if missed(middle) <= miss else (middle + 1, high)
    return high


def _highest(missed: Callable[[int], float], miss: float) -> int:
    """Less is safer: the last that is safe enough."""
    if missed(0) > miss:
        raise InputError("even without included units the margin is not reached at this risk")
    low, high = 0, 1
    while missed(high) <= miss:
        low, high = high, high * 2
        if high > MOST_STEPS:
            return low  # more than anybody uses
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if missed(middle) <= miss else (low, middle)
    return low


def _price(plan: Plan, price_id: str, parameter: Parameter, drawn: Population) -> Price:
    prices = {p.id: p for p in version_at_end(plan, drawn.period).prices}
    if price_id not in prices:
        raise InputError(f"plan {plan.plan} has no price {price_id!r}{near(price_id, list(prices))}")
    if parameter == "price" and prices[price_id].price is None:
        raise InputError(f"price {price_id!r} is {prices[price_id].model}: it has no single price to look for")
    return prices[price_id]


def _with(plan: Plan, price: Price, parameter: Parameter, value: Decimal) -> Plan:
    changed = price.model_copy(update={parameter: value if parameter == "price" else int(value)})
    versions = tuple(
        v.model_copy(update={"prices": tuple(changed if p == price else p for p in v.prices)}) for v in plan.versions
    )
    return plan.model_copy(update={"versions": versions})
