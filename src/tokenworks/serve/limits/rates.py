"""What a call costs by a price plan, exactly: whole 10⁻¹² dollars, from the very prices that invoices use."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction

from tokenworks.errors import InputError
from tokenworks.events.ledger_events import BUCKETS, INPUT, OUTPUT
from tokenworks.ledger.ingest.buckets import Buckets
from tokenworks.pricing.plan import Plan, Price, Version, claims_of

PICO = 10**12  # of a dollar
log = logging.getLogger("tokenworks.serve")


@dataclass(frozen=True, slots=True)
class Rates:
    """Of one model on one day, in 10⁻¹² dollars: of a token by bucket, of a request; ``waived``: failed calls are free."""

    tokens: tuple[int, ...]
    request: int
    waived: bool

    @property
    def input(self) -> int:
        """The dearest."""
        return max(self.tokens[: len(INPUT)])

    @property
    def output(self) -> int:
        return max(self.tokens[len(INPUT) :])

    def or_dearer(self, other: Rates) -> Rates:
        """Of each kind the dearer rate."""
        tokens = tuple(max(pair) for pair in zip(self.tokens, other.tokens, strict=True))
        return Rates(tokens, max(self.request, other.request), self.waived and other.waived)

    def inputs(self, told: Buckets) -> int:
        return sum((getattr(told, name) or 0) * rate for name, rate in zip(INPUT, self.tokens, strict=False))

    def outputs(self, told: Buckets) -> int:
        rates = self.tokens[len(INPUT) :]
        return sum((getattr(told, name) or 0) * rate for name, rate in zip(OUTPUT, rates, strict=True))

    def cost(self, told: Buckets, failed: bool) -> int:
        """Of a call by what its event says."""
        return 0 if failed and self.waived else self.inputs(told) + self.outputs(told) + self.request


class PriceBook:
    """Rates of a plan by model and day of UTC."""

    def __init__(self, plan: Plan, models: tuple[str, ...], today: date):
        """Raises InputError for a plan by which a call has no price of its own, today or in a version to come."""
        if plan.currency != "USD":
            raise InputError(
                f"plan {plan.plan} is in {plan.currency}: calls are told their dollars, and rates of exchange change"
            )
        self._plan = plan
        coming = [v for v in plan.versions if v.until is None or v.until > today]
        self._rates = {(v.id, m): _rates(plan, v, m) for v in coming for m in models}
        self._now = self._most = self._on(today)
        self._until_s = 0.0

    def of(self, model: str, now_s: float) -> Rates | None:
        """None for a model that this factory has not: another file was taken over meanwhile."""
        if now_s >= self._until_s:
            self._turn(now_s)
        return self._now.get(model)

    def most(self, model: str, now_s: float) -> Rates:
        """Of a call that begins now and may end tomorrow."""
        if now_s >= self._until_s:
            self._turn(now_s)
        return self._most[model]

    def _turn(self, now_s: float) -> None:
        """Where no version covers the day the last prices stay in force: traffic is not stopped by a plan that ran out."""
        self._until_s = (now_s // 86_400 + 1) * 86_400
        today = datetime.fromtimestamp(now_s, UTC).date()
        try:
            self._now = self._on(today)
        except InputError as error:
            log.error("%s: calls go on at the prices before; no invoice will take them", error)
        with suppress(InputError):
            tomorrow = self._on(today + timedelta(days=1))
            self._most = {model: rates.or_dearer(tomorrow[model]) for model, rates in self._now.items()}
            return
        self._most = self._now

    def _on(self, day: date) -> dict[str, Rates]:
        """By model. Raises InputError."""
        version = self._version(day)
        return {model: rates for (of, model), rates in self._rates.items() if of == version.id}

    def _version(self, day: date) -> Version:
        for version in self._plan.versions:
            if version.from_ <= day and (version.until is None or day < version.until):
                return version
        raise InputError(f"plan {self._plan.plan}: no version covers {day}")


def _rates(plan: Plan, version: Version, model: str) -> Rates:
    where = f"plan {plan.plan}, version {version.id}"
    claims = {claim: price for price in version.prices for claim in claims_of(price)}
    tokens = []
    for bucket in BUCKETS:
        price = claims.get(("tokens", bucket, model)) or claims.get(("tokens", bucket, ""))
        if price is None and "tokens" not in version.free:
            raise InputError(f"{where}: no price covers {bucket} of {model}")
        tokens.append(_unit(where, price, Fraction(price.token_weights[bucket])) if price else 0)
    of_request = claims.get(("requests", model)) or claims.get(("requests", ""))
    if claims.get(("seconds", model)) or claims.get(("seconds", "")):
        raise InputError(
            f"{where} prices seconds, which nobody knows when a call ends: serve.price_plan needs prices of tokens"
        )
    return Rates(tuple(tokens), _unit(where, of_request, Fraction(1)) if of_request else 0, plan.failed == "waive")


def _unit(where: str, price: Price, weight: Fraction) -> int:
    for what in _not_linear(price):
        raise InputError(
            f"{where}: price {price.id!r} has {what}: serve.price_plan needs a price for each token or request alone"
        )
    assert price.price is not None
    rate = Fraction(price.price) * weight / price.per * (1 - Fraction(price.discount)) * PICO
    if rate.denominator != 1:
        raise InputError(
            f"{where}: price {price.id!r} is {float(rate):.6g} · 10⁻¹² dollars a unit, not whole: the nearest is "
            f"{round(rate)}"
        )
    return int(rate)


def _not_linear(price: Price) -> Iterator[str]:
    if price.model != "unit":
        yield f"the model {price.model}"
    for field in ("included", "minimum", "cap"):
        if getattr(price, field):
            yield f"{field} {getattr(price, field)}"
