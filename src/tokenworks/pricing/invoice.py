"""Invoices: draft → issued → credit note. What is issued never changes; its canonical JSON is the original."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Literal, TypeAlias

import msgspec

from tokenworks.errors import InputError
from tokenworks.pricing.account import Account, conversion
from tokenworks.pricing.adjust import Closed, adjustments
from tokenworks.pricing.charges import Balances, Charge
from tokenworks.pricing.measure import Tables
from tokenworks.pricing.money import Rounding, rounded, total
from tokenworks.pricing.periods import Period, between, local_day
from tokenworks.pricing.plan import Plan
from tokenworks.pricing.rating import NOTHING, Terms, rate
from tokenworks.pricing.segments import segments

FORMAT = "tokenworks-invoice-1"
State: TypeAlias = Literal["draft", "issued", "credit_note"]


@dataclass(frozen=True)
class Issuer:
    name: str
    address: str = ""
    tax_id: str = ""


@dataclass(frozen=True)
class LedgerRange:
    """What was rated: positions in the ledger, and the hash of the last one (from the ledger's chain)."""

    first_seq: int
    last_seq: int
    sha256: str


@dataclass(frozen=True)
class Pinned:
    """Hashes of everything else that the lines follow from."""

    versions: Mapping[str, str]  # price version → sha256 of its content
    account: str
    closed: tuple[Closed, ...]
    rate: tuple[str, str, str, str, str] | None  # of, to, day, rate, source
    unpriced: str


@dataclass(frozen=True)
class Invoice:
    format: str
    state: State
    number: str  # "" of a draft
    issued_on: date | None
    refers_to: str  # of a credit note: the number of its invoice
    refers_lines: tuple[int, ...]  # … and which of its lines, from 1
    reason: str
    issuer: Issuer
    tenant: str
    customer: str
    address: str
    plan: str
    period: str
    zone: str
    start_us: int
    end_us: int
    ledger: LedgerRange
    pinned: Pinned
    opening: Balances
    closing: Balances
    tax_name: str
    tax_rate: Decimal | None
    rounding: Rounding
    currency: str
    lines: tuple[Charge, ...]
    net: Decimal
    tax: Decimal
    total: Decimal


def draft(
    terms: Terms,
    tables: Tables,
    ledger: LedgerRange,
    issuer: Issuer,
    opening: Balances = NOTHING,
    closed: Sequence[Closed] = (),
) -> Invoice:
    """What the invoice of a period would be: its charges, and corrections of the closed periods. Raises InputError."""
    account, period = terms.account, terms.period
    late = adjustments(terms, closed, tables, ledger.last_seq)
    rated = rate(terms, tables, opening, ledger.last_seq, late)
    tax = account.tax
    return Invoice(
        FORMAT, "draft", "", None, "", (), "", issuer, account.tenant, account.name or account.tenant, account.address,
        terms.plan.plan, period.label, period.zone, period.start_us, period.end_us, ledger, _pinned(terms, closed),
        opening, rated.closing, tax.name if tax else "", tax.rate if tax else None, terms.plan.rounding, rated.currency,
        rated.charges, rated.net, rated.tax, rated.total,
    )  # fmt: skip


def issue(invoice: Invoice, number: str, issued_on: date, closed_until_us: int) -> Invoice:
    """A draft with a number. ``closed_until_us``: up to when the ledger is closed. Raises InputError for an open period."""
    if invoice.state != "draft":
        raise InputError(f"{invoice.number} is {invoice.state.replace('_', ' ')}: only a draft is issued")
    if closed_until_us < invoice.end_us:
        raise InputError(
            f"{invoice.tenant}, {invoice.period}: the period is open; close the ledger up to its end first"
        )
    return replace(invoice, state="issued", number=_number(number), issued_on=issued_on)


def credit(
    invoice: Invoice,
    number: str,
    issued_on: date,
    reason: str,
    lines: Sequence[int] | None = None,
    before: Sequence[Invoice] = (),
) -> Invoice:
    """A credit note of an issued invoice: the whole, or lines by number (from 1) with their share of the tax.

    ``before``: its credit notes so far. Raises InputError where a line would be credited twice.
    """
    if invoice.state != "issued":
        raise InputError(f"only an issued invoice is credited, not a {invoice.state.replace('_', ' ')}")
    chosen = _chosen(invoice, lines, before)
    negated = [_negated(invoice.lines[n - 1]) for n in chosen]
    net = total([c.amount for c in negated if c.kind != "tax"], invoice.currency)
    if lines is not None and invoice.tax_rate is not None:
        negated.append(_tax_line(invoice, net))
    tax = total([c.amount for c in negated if c.kind == "tax"], invoice.currency)
    return replace(
        invoice, state="credit_note", number=_number(number), issued_on=issued_on, refers_to=invoice.number,
        refers_lines=tuple(chosen), reason=reason, lines=tuple(negated), net=net, tax=tax,
        total=total([net, tax], invoice.currency),
    )  # fmt: skip


def _chosen(invoice: Invoice, lines: Sequence[int] | None, before: Sequence[Invoice]) -> list[int]:
    taken = {n for note in before if note.refers_to == invoice.number for n in note.refers_lines}
    chosen = sorted(set(range(1, len(invoice.lines) + 1) if lines is None else lines))
    for n in chosen:
        if not 1 <= n <= len(invoice.lines):
            raise InputError(f"{invoice.number} has no line {n}; it has {len(invoice.lines)}")
        if n in taken:
            raise InputError(f"line {n} of {invoice.number} was credited before")
        if lines is not None and invoice.lines[n - 1].kind == "tax":
            raise InputError(f"line {n} of {invoice.number} is tax: it follows the lines that are credited")
    return chosen


def _negated(line: Charge) -> Charge:
    zero = Decimal(0)
    return replace(
        line,
        amount=zero - line.amount,
        list_amount=zero - line.list_amount,
        effective=None if line.effective is None else zero - line.effective,
        quantity=None if line.quantity is None else zero - line.quantity,
        included=None,
        steps=(),
    )


def _tax_line(invoice: Invoice, net: Decimal) -> Charge:
    assert invoice.tax_rate is not None
    tax = next(c for c in invoice.lines if c.kind == "tax")
    amount = rounded(Fraction(net) * Fraction(invoice.tax_rate), invoice.currency, invoice.rounding)
    return replace(tax, amount=amount, list_amount=amount)


def _number(number: str) -> str:
    if not number or not number.isprintable() or any(c in number for c in '/\\:*?"<>| ') or number.startswith("."):
        raise InputError(f"{number!r} is no invoice number: write letters, digits, - and . without spaces")
    return number


def _pinned(terms: Terms, closed: Sequence[Closed]) -> Pinned:
    to = terms.account.currency or terms.plan.currency
    found = conversion(terms.rates, terms.plan.currency, to, terms.last_day)[1]
    return Pinned(
        _version_hashes(terms.plan, terms.account, terms.period),
        _hash(terms.account.model_dump(mode="json", by_alias=True)),
        tuple(closed),
        None if found is None else (found.of, found.to, found.day.isoformat(), str(found.rate), found.source),
        terms.unpriced,
    )


def _version_hashes(plan: Plan, account: Account, period: Period) -> dict[str, str]:
    """By version: its content, and where in the period it holds. An open version may be ended after the period."""
    return {
        part.version.id: _hash(
            [part.first, part.after, part.version.model_dump(mode="json", by_alias=True, exclude={"until"})]
        )
        for part in segments(plan, account, period)
    }


def refuse_other_terms(invoice: Invoice, terms: Terms) -> None:
    """Raises InputError where a price version or the account is not what the invoice was made with."""
    plan, account = terms.plan, terms.account
    known = _version_hashes(plan, account, terms.period)
    for key in {**invoice.pinned.versions, **known}:
        if known.get(key) != invoice.pinned.versions.get(key):
            said = f"{invoice.number}: price version {key!r} of plan {plan.plan} was changed"
            raise InputError(f"{said}; versions never change: end it and add one")
    if _hash(account.model_dump(mode="json", by_alias=True)) != invoice.pinned.account:
        raise InputError(f"{invoice.number}: the account of {account.tenant} is not that of the invoice")


def again(invoice: Invoice, terms: Terms, tables: Tables) -> Invoice:
    """The issued invoice rated once more from the same ledger range, versions and balances. Raises InputError."""
    refuse_other_terms(invoice, terms)
    made = draft(terms, tables, invoice.ledger, invoice.issuer, invoice.opening, invoice.pinned.closed)
    return replace(made, state="issued", number=invoice.number, issued_on=invoice.issued_on)


def after(previous: Invoice) -> tuple[Balances, tuple[Closed, ...]]:
    """What the next period begins with: balances, and closed periods with the position up to which they were billed."""
    if previous.state != "issued":
        raise InputError("the next period follows an issued invoice")
    last = previous.ledger.last_seq
    period = period_of_invoice(previous)
    older = tuple(replace(one, last_seq=last) for one in previous.pinned.closed)
    return previous.closing, (*older, Closed(period, last, previous.opening))


def period_of_invoice(invoice: Invoice) -> Period:
    first, after = (local_day(us, invoice.zone) for us in (invoice.start_us, invoice.end_us))
    return between(first, after, invoice.zone, invoice.period)


def canonical(invoice: Invoice) -> bytes:
    """The original: JSON with sorted keys, decimals as text; equal invoices are equal bytes."""
    return msgspec.json.encode(invoice, order="sorted") + b"\n"


def read_invoice(data: bytes) -> Invoice:
    """From canonical JSON. Raises InputError."""
    try:
        found = msgspec.json.decode(data, type=Invoice)
    except msgspec.DecodeError as error:
        raise InputError(f"not an invoice: {error}") from None
    if found.format != FORMAT:
        raise InputError(f"not an invoice of this version: format {found.format!r}, expected {FORMAT!r}")
    return found


def _hash(value: object) -> str:
    return hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()
