"""An invoice as CSV: one line of the invoice in each row; money and quantities as exact decimals."""

from __future__ import annotations

import csv
import io
from decimal import Decimal

from tokenworks.pricing.invoice import Invoice
from tokenworks.pricing.periods import iso

COLUMNS = (
    "invoice", "line", "kind", "sku", "price_version", "meter", "description", "start_utc", "end_utc", "quantity",
    "unit", "included", "list_amount", "amount", "currency", "of_period",
)  # fmt: skip


def to_csv(invoice: Invoice) -> bytes:
    """UTF-8 with a header; lines end with CR LF as RFC 4180 has it."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for number, line in enumerate(invoice.lines, 1):
        writer.writerow(
            [
                invoice.number, number, line.kind, line.sku, line.version, line.meter, line.text, iso(line.start_us),
                iso(line.end_us), _plain(line.quantity), line.unit, _plain(line.included), _plain(line.list_amount),
                _plain(line.amount), line.currency, line.of_period,
            ]
        )  # fmt: skip
    return out.getvalue().encode()


def _plain(value: Decimal | None) -> str:
    return "" if value is None else f"{value:f}"
