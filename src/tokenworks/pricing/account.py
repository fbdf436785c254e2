"""Who is billed: a tenant with its plan, time zone, seats, prepaid commits, tax; and dated exchange rates."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from tokenworks.errors import InputError
from tokenworks.pricing.periods import midnight_us
from tokenworks.pricing.plan import Amount, Currency, Percent
from tokenworks.spec.part import MisfitError, Name, Part

OLDEST_DAYS = 7  # of an exchange rate before the last day of a period, see docs/decisions/0010-rating.md


def _zone(name: str) -> str:
    try:
        midnight_us(date(2026, 1, 1), name)
    except InputError as error:
        raise ValueError(str(error)) from None
    return name


class _Span(Part):
    from_: date = Field(alias="from")
    until: date | None = None  # exclusive; none: open

    @model_validator(mode="after")
    def _forward(self) -> Any:
        if self.until and self.until <= self.from_:
            raise MisfitError(("until", f"{self.until} is not after {self.from_}"))
        return self


class Seat(_Span):
    """A seat that was held from a day until another."""

    id: Name
    kind: str = ""


class Commit(_Span):
    """Prepaid money: bought in the period in which it begins, drawn down by usage and fees until it ends."""

    id: Name
    amount: Amount
    price: Amount | None = None  # what is paid for it; none: its amount


class Tax(Part):
    name: Name
    rate: Percent


class Account(_Span):
    """One tenant's contract."""

    tenant: Name
    plan: Name
    name: str = ""
    address: str = ""
    zone: Annotated[str, AfterValidator(_zone)] = "UTC"
    currency: Currency | None = None  # of invoices; none: the plan's
    tax: Tax | None = None
    seats: tuple[Seat, ...] = ()
    commits: tuple[Commit, ...] = ()


class Rate(Part):
    """On ``day`` one unit of ``of`` was ``rate`` units of ``to``."""

    of: Currency
    to: Currency
    day: date
    rate: Amount
    source: Name

    @model_validator(mode="after")
    def _real(self) -> Rate:
        if self.rate == 0 or self.of == self.to:
            raise MisfitError(("rate", "a rate is above 0 and between two currencies"))
        return self


class Accounts(Part):
    """The file of accounts."""

    accounts: tuple[Account, ...] = Field(min_length=1)
    rates: tuple[Rate, ...] = ()

    @model_validator(mode="after")
    def _once(self) -> Accounts:
        names = [a.tenant for a in self.accounts]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise MisfitError(("accounts", f"the tenant {twice[0]!r} stands twice"))
        return self

    def of(self, tenant: str) -> Account:
        found = next((a for a in self.accounts if a.tenant == tenant), None)
        if found is None:
            raise InputError(f"no account of tenant {tenant!r}; there are {', '.join(a.tenant for a in self.accounts)}")
        return found


def conversion(rates: tuple[Rate, ...], of: str, to: str, last: date) -> tuple[Fraction, Rate | None]:
    """The factor from one currency to another on a day, and the rate that says so (none: the same currency).

    Raises InputError where no rate of the week before is known.
    """
    if of == to:
        return Fraction(1), None
    known = [r for r in rates if {r.of, r.to} == {of, to} and 0 <= (last - r.day).days <= OLDEST_DAYS]
    if not known:
        raise InputError(f"no exchange rate of {of} to {to} dated within {OLDEST_DAYS} days before {last}")
    best = max(known, key=lambda r: (r.day, r.of == of))
    factor = Fraction(best.rate)
    return (factor if best.of == of else 1 / factor), best


def paid(commit: Commit) -> Decimal:
    return commit.amount if commit.price is None else commit.price
