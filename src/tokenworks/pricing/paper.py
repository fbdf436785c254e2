"""What an invoice says to people: the same words for HTML and PDF."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from tokenworks.pricing.charges import Charge
from tokenworks.pricing.invoice import Invoice
from tokenworks.pricing.periods import local_day, moment

TITLES = {"draft": "Draft of an invoice", "issued": "Invoice", "credit_note": "Credit note"}


@dataclass(frozen=True)
class PrintedLine:
    number: str
    text: str
    detail: str
    quantity: str
    amount: str


@dataclass(frozen=True)
class Printed:
    """All texts of an invoice, in the order of the page."""

    title: str
    facts: tuple[tuple[str, str], ...]
    issuer: tuple[str, ...]
    customer: tuple[str, ...]
    lines: tuple[PrintedLine, ...]
    sums: tuple[tuple[str, str], ...]
    small: tuple[str, ...]


def printed(invoice: Invoice) -> Printed:
    title = f"{TITLES[invoice.state]} {invoice.number}".strip()
    lines = tuple(_line(n, c, invoice.zone) for n, c in enumerate(invoice.lines, 1) if c.kind != "tax")
    return Printed(
        title,
        _facts(invoice),
        tuple(t for t in (invoice.issuer.name, *invoice.issuer.address.splitlines(), invoice.issuer.tax_id) if t),
        (invoice.customer, *invoice.address.splitlines()),
        lines,
        _sums(invoice),
        _small(invoice),
    )


def _facts(invoice: Invoice) -> tuple[tuple[str, str], ...]:
    last = local_day(invoice.end_us - 1, invoice.zone)
    rows = [
        ("Date", invoice.issued_on.isoformat() if invoice.issued_on else "not issued"),
        ("Period", f"{local_day(invoice.start_us, invoice.zone)} to {last} ({invoice.zone})"),
        ("Customer", invoice.tenant),
        ("Plan", invoice.plan),
    ]
    if invoice.refers_to:
        rows += [("Credits", f"invoice {invoice.refers_to}"), ("Reason", invoice.reason)]
    return tuple(rows)


def _line(number: int, line: Charge, zone: str) -> PrintedLine:
    quantity = f"{grouped(line.quantity)} {line.unit}".strip() if line.quantity is not None else ""
    return PrintedLine(str(number), line.text, _detail(line, zone), quantity, money(line.amount))


def _detail(line: Charge, zone: str) -> str:
    said = [f"{local_day(line.start_us, zone)} to {local_day(line.end_us - 1, zone)}"]
    if line.included:
        said.append(f"{grouped(line.included)} included")
    for step in line.steps:
        per = f" per {grouped(Decimal(step.per))}" if step.per != 1 else ""
        said.append(f"{grouped(step.quantity)} at {step.price:f}{per}")
    if line.list_amount != line.amount:
        said.append(f"list {money(line.list_amount)}")
    return " · ".join(said)


def _sums(invoice: Invoice) -> tuple[tuple[str, str], ...]:
    rows = [("Net", f"{money(invoice.net)} {invoice.currency}")]
    rows += [(line.text, f"{money(line.amount)} {invoice.currency}") for line in invoice.lines if line.kind == "tax"]
    return (*rows, ("Total", f"{money(invoice.total)} {invoice.currency}"))


def _small(invoice: Invoice) -> tuple[str, ...]:
    pinned, ledger = invoice.pinned, invoice.ledger
    said = [
        f"Rated from ledger positions {ledger.first_seq} to {ledger.last_seq}, hash {ledger.sha256}.",
        "Price versions: "
        + ", ".join(f"{key} ({digest[:12]})" for key, digest in sorted(pinned.versions.items()))
        + ".",
    ]
    if pinned.rate:
        of, to, day, rate, source = pinned.rate
        said.append(f"Converted at {rate} {to} for one {of} of {day} ({source}).")
    for key, value in sorted(invoice.closing.commits.items()):
        said.append(f"Prepaid {key}: {money(value)} {invoice.currency} left.")
    for key, value in sorted(invoice.closing.units.items()):
        said.append(f"Carried over of {key}: {grouped(value)}.")
    return tuple(said)


def money(value: Decimal) -> str:
    """
    >>> money(Decimal("-1234567.50"))
    '−1,234,567.50'
    """
    return f"{value:,f}".replace("-", "−")


def grouped(value: Decimal) -> str:
    return f"{value:,f}".replace("-", "−")


def issued_moment(invoice: Invoice) -> tuple[int, int, int]:
    """The date that goes into files: of issue, else the end of the period; never the clock's."""
    day = invoice.issued_on or moment(invoice.end_us).date()
    return day.year, day.month, day.day
