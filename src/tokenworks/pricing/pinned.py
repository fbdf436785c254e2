"""What an invoice takes from a ledger: the range and hash of a closed period, and the rows of that range."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenworks.errors import InputError
from tokenworks.pricing.invoice import Invoice, LedgerRange, period_of_invoice
from tokenworks.pricing.measure import Tables
from tokenworks.pricing.periods import Period, iso, month

if TYPE_CHECKING:
    from tokenworks.ledger import Ledger
    from tokenworks.ledger.periods import Period as Closing


def pin(ledger: Ledger, period: Period, tenant: str) -> LedgerRange:
    """The range that the closings of a period fixed, from the first event on. Raises InputError while any of it is open,
    saying how to close it."""
    closings = _closings(ledger, period, tenant)
    gap = _first_gap(closings, period.start_us, period.end_us)
    if gap is not None:
        raise InputError(_open(ledger, period, tenant, gap))
    last = max(closings, key=lambda closing: (closing.last_seq, closing.batch))
    if last.last_seq < 1:
        raise InputError(f"{tenant}, {period.label}: the ledger {ledger.store.place} was empty when it was closed")
    return LedgerRange(1, last.last_seq, last.link)


def tables_of_range(ledger: Ledger, tenant: str | None = None, last_seq: int | None = None) -> Tables:
    """All rows of one tenant (or of all) up to a position: originals of reversals and claims lie before their period."""
    return Tables(
        ledger.usage_table(tenant=tenant, last_seq=last_seq),
        ledger.cost_table(tenant=tenant, last_seq=last_seq),
        ledger.outcome_table(tenant=tenant, last_seq=last_seq),
    )


def require_pinned(ledger: Ledger, invoice: Invoice) -> None:
    """Raises InputError where this ledger has not closed an invoice's period, or with another range or hash."""
    found, pinned = pin(ledger, period_of_invoice(invoice), invoice.tenant), invoice.ledger
    if found != pinned:
        raise InputError(
            f"{invoice.tenant}, {invoice.period}: it was rated from {_text(pinned)}, but the ledger {ledger.store.place} "
            f"closed that period with {_text(found)}; draft it from this ledger"
        )


def _text(pinned: LedgerRange) -> str:
    return f"{pinned.first_seq}:{pinned.last_seq}:{pinned.sha256}"


def _closings(ledger: Ledger, period: Period, tenant: str) -> list[Closing]:
    """Closed periods of the ledger that hold a part of this one."""
    return [
        closing
        for closing in ledger.periods()
        if closing.tenant in ("", tenant) and closing.from_us < period.end_us and period.start_us < closing.to_us
    ]


def _first_gap(closings: list[Closing], start_us: int, end_us: int) -> tuple[int, int] | None:
    """The first stretch that no closing covers, as [from, to) in µs."""
    for closing in sorted(closings, key=lambda closing: closing.from_us):
        if closing.from_us > start_us:
            return start_us, closing.from_us
        start_us = max(start_us, closing.to_us)
    return (start_us, end_us) if start_us < end_us else None


def _open(ledger: Ledger, period: Period, tenant: str, gap: tuple[int, int]) -> str:
    first, after = gap
    whole = month(period.label) if len(period.label) == 7 else None
    if whole and (whole.start_us, whole.end_us) == gap:
        what = period.label
    else:
        what = f"{iso(first)}/{iso(after)} --tenant {tenant}"
    place = ledger.store.place
    return (
        f"{tenant}, {period.label}: the ledger {place} is open from {iso(first)} to {iso(after)}; close it first: "
        f"tokenworks ledger close {what} --ledger {place}"
    )
