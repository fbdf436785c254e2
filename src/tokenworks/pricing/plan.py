"""A price plan as data: versions that never change, prices as meter × price model.

A price without ``models`` (of tokens) or ``of`` (of costs, outcomes, workflows) is for all that no other price of its version
names. Prices of one id in several versions share their counters.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field, model_validator

from tokenworks.errors import InputError
from tokenworks.events.ledger_events import BUCKETS
from tokenworks.pricing.money import Rounding, digits
from tokenworks.spec.messages import near
from tokenworks.spec.part import MisfitError, Name, Part

Meter: TypeAlias = Literal[
    "tokens", "requests", "runs", "conversations", "workflows", "seconds", "cost", "outcomes", "seats", "subscription"
]
Model: TypeAlias = Literal["flat", "unit", "graduated", "volume", "package", "percentage"]
Bucket: TypeAlias = Literal[
    "input_fresh", "cache_read", "cache_write", "output_visible", "output_reasoning", "output_tool"
]
FREE = ("tokens", "cost", "outcomes")  # what must be covered by a price, or be free on purpose
FAMILIES = {"outcomes": "value", "workflows": "value", "seats": "seats", "subscription": "subscription"}


def amount(value: Any) -> Decimal:
    """A decimal number from text or a number of the file; floats of a program are refused: they are not exact."""
    if isinstance(value, bool | float) or not isinstance(value, str | int | Decimal):
        raise ValueError(f"{value!r} is not an exact number; write it in quotes, for example '0.15'")
    try:
        number = Decimal(value.replace("_", "") if isinstance(value, str) else value)
    except InvalidOperation:
        raise ValueError(f"{value!r} is not a number; write for example 0.15") from None
    if not number.is_finite() or number < 0:
        raise ValueError(f"{value!r} is not a finite number of at least 0")
    return number


def percent(value: Any) -> Decimal:
    """A share from text such as "19%"."""
    if not isinstance(value, str) or not value.strip().endswith("%"):
        raise ValueError(f"{value!r} is not a percentage; write for example '19%'")
    return amount(value.strip()[:-1].strip()).scaleb(-2)


def currency(value: Any) -> str:
    try:
        digits(str(value))
    except InputError as error:
        raise ValueError(str(error)) from None
    return str(value)


Amount = Annotated[Decimal, BeforeValidator(amount)]
Percent = Annotated[Decimal, BeforeValidator(percent)]
Currency = Annotated[str, BeforeValidator(currency)]
Units = Annotated[int, Field(ge=1, le=10**15)]


class Tier(Part):
    """Units up to ``up_to`` (inclusive; none: all the rest) cost ``price`` per ``per`` units."""

    up_to: Units | None = None
    price: Amount


class Rollover(Part):
    """Unused included units go to the next period, at most ``max`` of them."""

    max: Units


class Price(Part):
    """One meter under one price model."""

    id: Name
    name: str = ""
    meter: Meter
    model: Model = "unit"
    price: Amount | None = None  # per `per` units; of flat: per period; of package: per package
    per: Units = 1
    tiers: tuple[Tier, ...] = ()
    package: Units | None = None  # units in a package; begun packages count
    percent: Percent | None = None  # of the money that costs or outcomes carry
    included: Annotated[int, Field(ge=0, le=10**15)] = 0
    rollover: Rollover | None = None
    minimum: Amount | None = None
    cap: Amount | None = None
    discount: Percent = Decimal(0)
    proration: Literal["days", "seconds", "none"] = "days"  # of fees and seats
    buckets: tuple[Bucket, ...] = ()
    weights: dict[str, Amount] = Field(default_factory=dict)  # compute units: bucket → weight of a token
    models: tuple[Name, ...] = ()
    of: tuple[Name, ...] = ()  # names of costs, outcomes, workflows, kinds of seat

    @model_validator(mode="after")
    def _fits(self) -> Price:
        findings = [*_model_misfits(self), *_meter_misfits(self), *_limit_misfits(self)]
        if findings:
            raise MisfitError(*findings)
        return self

    @property
    def token_weights(self) -> dict[str, Decimal]:
        """Bucket → weight, of a price of tokens."""
        return self.weights or dict.fromkeys(self.buckets or BUCKETS, Decimal(1))

    @property
    def family(self) -> str:
        return FAMILIES.get(self.meter, "usage")


NEEDS = {
    "flat": "price",
    "unit": "price",
    "graduated": "tiers",
    "volume": "tiers",
    "package": "package",
    "percentage": "percent",
}


def _model_misfits(price: Price) -> Iterator[tuple[str, str]]:
    need = NEEDS[price.model]
    if not getattr(price, need) and getattr(price, need) != 0:
        yield "model", f"a {price.model} price needs {need!r}"
    if price.model == "package" and price.price is None:
        yield "model", "a package price needs 'price'"
    allowed = {need, "price"} if price.model == "package" else {need}
    for key in ("price", "tiers", "package", "percent"):
        if key not in allowed and getattr(price, key) not in (None, ()):
            yield key, f"a {price.model} price has no {key!r}; it has {need!r}"
    bounds = [t.up_to for t in price.tiers]
    if bounds and (bounds[-1] is not None or None in bounds[:-1]):
        yield "tiers", "the last tier, and only the last, has no up_to: usage above it would have no price"
    elif any(a >= b for a, b in pairwise(bounds) if a and b):
        yield "tiers", "each up_to must be above the one before"


def _meter_misfits(price: Price) -> Iterator[tuple[str, str]]:
    for key in ("buckets", "weights", "models"):
        if getattr(price, key) and price.meter != "tokens" and not (key == "models" and price.meter in _BY_MODEL):
            yield key, f"{key} belong to tokens, not to {price.meter}"
    if price.of and price.meter not in ("cost", "outcomes", "workflows", "seats"):
        yield "of", f"{price.meter} are not told apart by name; cost, outcomes, workflows and seats are"
    if price.buckets and price.weights:
        yield "weights", "give buckets or weights: weights name their buckets"
    for bucket in price.weights:
        if bucket not in BUCKETS:
            yield "weights", f"no bucket {bucket!r}{near(bucket, list(BUCKETS))}"
    if price.model == "percentage" and price.meter not in ("cost", "outcomes"):
        yield "model", f"a percentage is of money: {price.meter} carry none; cost and outcomes do"
    if price.meter == "subscription" and price.model != "flat":
        yield "model", "a subscription is flat"


_BY_MODEL = ("requests", "seconds")


def _limit_misfits(price: Price) -> Iterator[tuple[str, str]]:
    if price.minimum is not None and price.cap is not None and price.minimum > price.cap:
        yield "cap", f"the cap {price.cap} is below the minimum {price.minimum}"
    if price.rollover and not price.included:
        yield "rollover", "nothing is included that could be carried over"
    if price.included and (price.model in ("percentage", "flat") or price.meter == "subscription"):
        yield "included", f"a {price.model} price has no included units"
    if price.discount > 1:
        yield "discount", "a discount is at most 100%"


class Version(Part):
    """Prices from a day of the customer's calendar (inclusive) until another (exclusive; none: open)."""

    id: Name
    from_: date = Field(alias="from")
    until: date | None = None
    prices: tuple[Price, ...] = Field(min_length=1)
    minimum: Amount | None = None  # of usage and fees together, per period
    free: tuple[Literal["tokens", "cost", "outcomes"], ...] = ()  # used without a price, on purpose

    @model_validator(mode="after")
    def _fits(self) -> Version:
        findings = list(_twice(self))
        if self.until and self.until <= self.from_:
            findings.append(("until", f"{self.until} is not after {self.from_}"))
        if findings:
            raise MisfitError(*findings)
        return self


def _twice(version: Version) -> Iterator[tuple[str, str]]:
    """Ids and things that two prices claim."""
    ids: set[str] = set()
    claims: dict[tuple[str, ...], str] = {}
    for price in version.prices:
        if price.id in ids:
            yield "prices", f"the id {price.id!r} stands twice"
        ids.add(price.id)
        for claim in claims_of(price):
            if claims.setdefault(claim, price.id) != price.id:
                yield "prices", f"{claims[claim]!r} and {price.id!r} both price {' '.join(c for c in claim if c)}"


def claims_of(price: Price) -> Iterator[tuple[str, ...]]:
    """What a price is for; "" stands for all that no other price names."""
    if price.meter == "tokens":
        yield from (("tokens", b, m) for b in price.token_weights for m in price.models or ("",))
    elif price.meter in ("cost", "outcomes", "workflows", "seats"):
        yield from ((price.meter, name) for name in price.of or ("",))
    elif price.meter in _BY_MODEL:
        yield from ((price.meter, m) for m in price.models or ("",))


class Plan(Part):
    """A price plan: versions without overlap and without gap."""

    plan: Name
    name: str = ""
    currency: Currency
    rounding: Rounding = "half_even"
    failed: Literal["bill", "waive"] = "waive"  # attempts whose output nobody got; waived ones are lines of 0
    versions: tuple[Version, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _covers(self) -> Plan:
        findings = [f for i in range(1, len(self.versions)) for f in _joint(self.versions[: i + 1])]
        if findings:
            raise MisfitError(*findings)
        return self


def _joint(versions: tuple[Version, ...]) -> Iterator[tuple[str, str]]:
    """What is wrong between the last version and those before it."""
    one, two = versions[-2:]
    place = f"versions.{len(versions) - 1}.from"
    if two.id in {v.id for v in versions[:-1]}:
        yield place, f"the version {two.id!r} stands twice"
    if one.until is None or one.until > two.from_:
        yield place, f"{one.id!r} (until {one.until or 'open'}) and {two.id!r} (from {two.from_}) overlap"
    elif one.until < two.from_:
        yield place, f"no version covers {one.until} to {two.from_}, between {one.id!r} and {two.id!r}"
