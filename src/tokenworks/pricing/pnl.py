"""Profit and loss by month: revenue of issued invoices by plan, costs of the factory, cash flow, payback, NPV and IRR.

Money is exact; revenue and cash tie to the invoices to the cent. Rates of return are floats.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from fractions import Fraction

from pydantic import model_validator

from tokenworks.errors import InputError
from tokenworks.pricing.factory_books import NO_FACTORY, Bought, FactoryCosts
from tokenworks.pricing.invoice import Invoice
from tokenworks.pricing.money import rounded, split, total
from tokenworks.pricing.periods import month, next_month
from tokenworks.pricing.plan import Amount, Percent, Units
from tokenworks.pricing.returns import irr_year, net_present_value
from tokenworks.spec.part import MisfitError, Name, Part

DOLLAR = "USD"
RUNNING = ("energy", "rent", "lease", "maintenance", "staff", "tools")
COSTS = (*RUNNING, "depreciation")


class Asset(Part):
    """Bought in a month, written off in equal parts to its residual value, which is got back when its life ends."""

    name: Name
    month: str
    price: Amount
    residual: Percent = Decimal(0)
    life_months: Units


class Running(Part):
    """Costs of each month from ``from_month`` until another entry begins; dollars."""

    from_month: str
    energy: Amount = Decimal(0)
    rent: Amount = Decimal(0)
    lease: Amount = Decimal(0)
    maintenance: Amount = Decimal(0)
    staff: Amount = Decimal(0)
    tools: Amount = Decimal(0)


class Books(Part):
    """The file of a factory's own costs."""

    first_month: str
    last_month: str
    assets: tuple[Asset, ...] = ()
    running: tuple[Running, ...] = ()
    discount_rate_year: Percent

    @model_validator(mode="after")
    def _in_order(self) -> Books:
        try:
            labels = months(self.first_month, self.last_month)
            starts = [month(r.from_month).label for r in self.running]
            bought = [month(a.month).label for a in self.assets]
        except InputError as error:
            raise MisfitError(("first_month", str(error))) from None
        if starts != sorted(set(starts)) or (starts and starts[0] > labels[0]):
            raise MisfitError(("running", f"entries rise by from_month, the first covers {labels[0]}"))
        outside = [label for label in bought if label not in labels]
        if outside:
            raise MisfitError(("assets", f"{outside[0]} lies outside of {labels[0]} to {labels[-1]}"))
        return self


@dataclass(frozen=True)
class MonthBook:
    """One month in dollars. ``revenue`` belongs to the month, ``billed`` is what its invoices ask for, both without tax."""

    month: str
    revenue: dict[str, Decimal]  # by plan
    billed: Decimal
    costs: dict[str, Decimal]  # by COSTS
    invested: Decimal  # paid for assets, less residual values got back
    cumulative: Decimal  # cash up to the end of the month

    @property
    def margin(self) -> Decimal:
        return total([*self.revenue.values(), *(-c for c in self.costs.values())], DOLLAR)

    @property
    def cash(self) -> Decimal:
        paid = [-self.costs[key] for key in RUNNING]
        return total([self.billed, *paid, -self.invested], DOLLAR)


@dataclass(frozen=True)
class ProfitAndLoss:
    months: tuple[MonthBook, ...]
    npv_usd: Decimal
    irr_year: float | None  # None: cash flow never changes its sign, or no rate below 1,000,000% fits
    payback_month: str | None  # the first from which on the sum of cash stays at 0 or above


def months(first: str, last: str) -> list[str]:
    """Labels from one month to another. Raises InputError."""
    found, period = [], month(first)
    if month(last).first < period.first:
        raise InputError(f"{last} is before {first}")
    while period.label <= month(last).label:
        found.append(period.label)
        period = next_month(period)
    return found


def profit_and_loss(
    books: Books,
    invoices: Sequence[Invoice],
    factory: FactoryCosts = NO_FACTORY,
    tools: Mapping[str, Decimal] | None = None,
) -> ProfitAndLoss:
    """``factory``: what the factory itself costs, ``tools``: by month, of the ledger's cost events; staff of the file is
    added to the factory's. Raises InputError for drafts, other currencies, invoices of months that the books do not
    cover, and costs that the file states although they come from elsewhere."""
    labels = months(books.first_month, books.last_month)
    by_month = _by_month(invoices, labels)
    _refuse_twice(books, factory.keys | ({"tools"} if tools is not None else set()))
    bought = [_asset(one, labels[0]) for one in factory.bought]
    written, invested = _assets((*books.assets, *bought), labels)
    found: list[MonthBook] = []
    for label in labels:
        stated = {**_running(books, label), "depreciation": written[label]}
        costs = {key: total([usd, factory.of(label, key)], DOLLAR) for key, usd in stated.items()}
        costs["tools"] = total([costs["tools"], (tools or {}).get(label, Decimal(0))], DOLLAR)
        book = MonthBook(label, _revenue(by_month[label]), _billed(by_month[label]), costs, invested[label], Decimal(0))
        before = found[-1].cumulative if found else Decimal(0)
        found.append(_summed(book, before))
    flow = [book.cash for book in found]
    npv = rounded(net_present_value(flow, Fraction(books.discount_rate_year)), DOLLAR)
    return ProfitAndLoss(tuple(found), npv, irr_year([float(c) for c in flow]), _payback(found))


def _summed(book: MonthBook, before: Decimal) -> MonthBook:
    return MonthBook(
        book.month, book.revenue, book.billed, book.costs, book.invested, total([before, book.cash], DOLLAR)
    )


def _by_month(invoices: Sequence[Invoice], labels: Sequence[str]) -> dict[str, list[Invoice]]:
    """An invoice belongs to its period, a credit note to the month of its date."""
    found: dict[str, list[Invoice]] = {label: [] for label in labels}
    for one in invoices:
        if one.state == "draft" or one.issued_on is None:
            raise InputError("a draft is no revenue; issue it first")
        if one.currency != DOLLAR:
            raise InputError(f"{one.number} is in {one.currency}: the factory's books are in {DOLLAR}")
        label = one.period if one.state == "issued" else f"{one.issued_on:%Y-%m}"
        if label not in found:
            raise InputError(f"{one.number} belongs to {label}; the books cover {labels[0]} to {labels[-1]}")
        found[label].append(one)
    return found


def _revenue(invoices: Sequence[Invoice]) -> dict[str, Decimal]:
    plans: dict[str, list[Decimal]] = {}
    for one in invoices:
        earned = [c.amount if c.effective is None else c.effective for c in one.lines if c.kind != "tax"]
        plans.setdefault(one.plan, []).extend(earned)
    return {plan: total(amounts, DOLLAR) for plan, amounts in sorted(plans.items())}


def _billed(invoices: Sequence[Invoice]) -> Decimal:
    return total([one.net for one in invoices], DOLLAR)


def _running(books: Books, label: str) -> dict[str, Decimal]:
    entry = next((r for r in reversed(books.running) if r.from_month <= label), None)
    return {key: rounded(Fraction(getattr(entry, key) if entry else 0), DOLLAR) for key in RUNNING}


def _asset(bought: Bought, label: str) -> Asset:
    return Asset.model_validate({**asdict(bought), "month": label, "residual": f"{bought.residual * 100}%"})


def _refuse_twice(books: Books, elsewhere: frozenset[str] | set[str]) -> None:
    for entry in books.running:
        for key in sorted(set(RUNNING) & elsewhere):
            if getattr(entry, key):
                raise InputError(
                    f"running from {entry.from_month}: {key} comes from the factory or its ledger; leave it out"
                )
    if books.assets and "depreciation" in elsewhere:
        raise InputError(
            f"assets: {books.assets[0].name}: what is written off comes from the factory; leave assets out"
        )


def _assets(assets: Sequence[Asset], labels: Sequence[str]) -> tuple[dict[str, Decimal], dict[str, Decimal]]:
    """Depreciation and net investment by month; parts of a cent are divided so that they sum to what is written off."""
    written = {label: [Decimal(0)] for label in labels}
    invested = {label: [Decimal(0)] for label in labels}
    for asset in assets:
        residual = rounded(Fraction(asset.price) * Fraction(asset.residual), DOLLAR)
        price = rounded(Fraction(asset.price), DOLLAR)
        start = labels.index(month(asset.month).label)
        invested[labels[start]].append(price)
        parts = split(total([price, -residual], DOLLAR), [1] * asset.life_months, DOLLAR)
        for label, part in zip(labels[start:], parts, strict=False):
            written[label].append(part)
        if start + asset.life_months - 1 < len(labels):
            invested[labels[start + asset.life_months - 1]].append(-residual)
    return ({k: total(v, DOLLAR) for k, v in written.items()}, {k: total(v, DOLLAR) for k, v in invested.items()})


def _payback(found: Sequence[MonthBook]) -> str | None:
    since: str | None = None
    for book in found:
        if book.cumulative < 0:
            since = None
        elif since is None:
            since = book.month
    return since
