"""A price plan as data: versions that never change, prices as meter × price model.

A price without ``models`` (of tokens) or ``of`` (of costs, outcomes, workflows) is for all that no other price of its version
names. Prices of one id in several versions share their counters.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field, model_validator

from tokenworks.errors import InputError
from tokenworks.events.ledger_events import BUCKETS
from tokenworks.pricing.money import Rounding, digits
from tokenworks.pricing.plan_checks import BY_MODEL, limit_misfits, meter_misfits, model_misfits
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
        findings = [*model_misfits(self), *meter_misfits(self), *limit_misfits(self)]
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
    elif price.meter in BY_MODEL:
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
