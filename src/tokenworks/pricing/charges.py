"""What rating makes: lines of money, each with how it came about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal, TypeAlias

from tokenworks.pricing.money import total

Kind: TypeAlias = Literal[
    "usage",  # a meter times a price
    "fee",  # subscription and seats
    "minimum",  # what is missing to a minimum, of a price or of the plan
    "cap",  # what is above a cap, negative
    "adjustment",  # late usage and corrections of a closed period
    "commit",  # prepaid money bought
    "drawdown",  # … and used, negative
    "expired",  # … and lost, 0
    "tax",
    "free",  # used, without a price on purpose, 0
    "waived",  # failed attempts that the plan does not bill, 0
    "unpriced",  # used and not priced, or not known, 0: only where the caller asked for such lines
]


@dataclass(frozen=True)
class StepLine:
    """Units at a price per ``per`` units, in the plan's currency."""

    quantity: Decimal
    price: Decimal
    per: int


@dataclass(frozen=True)
class Charge:
    """One line. ``amount`` is billed, ``list_amount`` is the same before discounts; both rounded, in ``currency``."""

    kind: Kind
    sku: str
    version: str  # of the prices, "" where none is concerned
    meter: str
    text: str
    start_us: int
    end_us: int
    currency: str
    amount: Decimal
    list_amount: Decimal
    quantity: Decimal | None = None
    unit: str = ""
    included: Decimal | None = None  # units of the quantity that cost nothing
    steps: tuple[StepLine, ...] = ()
    discount: Decimal = Decimal(0)  # share of the list amount
    of_period: str = ""  # of an adjustment: the closed period
    effective: Decimal | None = None  # cost that belongs to the period where it is not ``amount``: of prepaid money


@dataclass(frozen=True)
class Balances:
    """What goes from a period to the next: units carried over by price id, prepaid money by commit id."""

    units: Mapping[str, Decimal] = field(default_factory=dict)
    commits: Mapping[str, Decimal] = field(default_factory=dict)


@dataclass(frozen=True)
class Rated:
    """The lines of a tenant's period, and what is carried on."""

    charges: tuple[Charge, ...]
    closing: Balances
    currency: str

    @property
    def net(self) -> Decimal:
        return self.sum_of(c for c in self.charges if c.kind != "tax")

    @property
    def tax(self) -> Decimal:
        return self.sum_of(c for c in self.charges if c.kind == "tax")

    @property
    def total(self) -> Decimal:
        return self.sum_of(self.charges)

    def sum_of(self, charges: Iterable[Charge]) -> Decimal:
        return total([c.amount for c in charges], self.currency)
