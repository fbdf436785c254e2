"""An invoice as rows of FOCUS: one row for each step of a line, so that quantity × unit price is the cost.

Unit prices and list cost are exact and in the billing currency; billed cost is the invoice's rounded amount, divided over the
rows of a line by largest remainder: rows sum to the invoice.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import TypeAlias

from tokenworks.pricing.charges import Charge
from tokenworks.pricing.focus_columns import OF_VERSION, FocusVersion, columns
from tokenworks.pricing.invoice import Invoice
from tokenworks.pricing.money import as_decimal, digits, in_minor
from tokenworks.pricing.periods import iso

Value: TypeAlias = str | Decimal | None
CATEGORIES = {
    "usage": "Usage",
    "fee": "Purchase",
    "commit": "Purchase",
    "drawdown": "Credit",
    "minimum": "Adjustment",
    "cap": "Adjustment",
    "expired": "Adjustment",
    "adjustment": "Adjustment",
    "tax": "Tax",
    "free": "Usage",
    "waived": "Usage",
    "unpriced": "Usage",
}
FREQUENCIES = dict.fromkeys(("usage", "free", "waived", "unpriced"), "Usage-Based") | {"fee": "Recurring"}
SERVICE: dict[str, Value] = {
    "ServiceName": "AI factory",
    "ServiceCategory": "AI and Machine Learning",
    "ServiceSubcategory": "Generative AI",
}
PLACES = 30  # decimals of a unit price in another currency, where it has no end


@dataclass(frozen=True)
class Part:
    """A step of a line: pricing units, price of one before and after discount, in the billing currency; tier 0: included."""

    units: Fraction
    list_price: Fraction
    price: Fraction
    tier: int


def rows(invoice: Invoice, version: FocusVersion = "1.3") -> list[dict[str, Value]]:
    """One mapping of all columns per row; missing values are None."""
    names = columns(version)
    return [
        {name: found.get(name) for name in names}
        for number, line in enumerate(invoice.lines, 1)
        for found in _rows_of(invoice, number, line, version)
    ]


def to_focus_csv(invoice: Invoice, version: FocusVersion = "1.3") -> bytes:
    """UTF-8 CSV; missing values are empty."""
    out = io.StringIO()
    writer = csv.writer(out)
    names = list(columns(version))
    writer.writerow(names)
    for row in rows(invoice, version):
        writer.writerow([_text(row[name]) for name in names])
    return out.getvalue().encode()


def _text(value: Value) -> str:
    return "" if value is None else f"{value:f}" if isinstance(value, Decimal) else value


def _rows_of(invoice: Invoice, number: int, line: Charge, version: FocusVersion) -> Iterator[dict[str, Value]]:
    common = {**_common(invoice, line, version), "x_InvoiceLine": str(number)}
    effective = line.amount if line.effective is None else line.effective
    if invoice.state == "credit_note" or CATEGORIES[line.kind] not in ("Usage", "Purchase"):
        same: dict[str, Value] = dict.fromkeys(("BilledCost", "ListCost", "ContractedCost"), line.amount)
        yield {**common, **same, **_effective(invoice, effective)}
        return
    parts = _parts(invoice, line)
    billed = _divided(line, [p.units * p.price for p in parts], invoice.currency)
    for part, amount in zip(parts, billed, strict=True):
        of_row = amount if line.effective is None else effective
        yield {**common, **_priced(invoice, line, part), "BilledCost": amount, **_effective(invoice, of_row)}


def _effective(invoice: Invoice, cost: Decimal) -> dict[str, Value]:
    """In the currency of the invoice, and in that of its plan."""
    return {
        "EffectiveCost": cost,
        "PricingCurrency": _plan_currency(invoice),
        "PricingCurrencyEffectiveCost": _long(Fraction(cost) / _factor(invoice)),
    }


def _common(invoice: Invoice, line: Charge, version: FocusVersion) -> dict[str, Value]:
    correction = line.kind == "adjustment" or invoice.state == "credit_note"
    return {
        "BillingAccountId": invoice.tenant,
        "BillingAccountName": invoice.customer,
        "BillingAccountType": "Tenant",
        "BillingCurrency": invoice.currency,
        "BillingPeriodStart": iso(invoice.start_us),
        "BillingPeriodEnd": iso(invoice.end_us),
        "ChargeCategory": CATEGORIES[line.kind],
        "ChargeClass": "Correction" if correction else None,
        "ChargeDescription": line.text,
        "ChargeFrequency": FREQUENCIES.get(line.kind, "One-Time"),
        "ChargePeriodStart": iso(line.start_us),
        "ChargePeriodEnd": iso(line.end_us),
        "InvoiceId": invoice.number or None,
        "InvoiceIssuerName": invoice.issuer.name,
        "x_OfPeriod": line.of_period or None,
        "x_PriceVersion": line.version or None,
        **dict.fromkeys(OF_VERSION[version], invoice.issuer.name),
        **SERVICE,
    }


def _parts(invoice: Invoice, line: Charge) -> list[Part]:
    """Steps and included units, or what is used without a price."""
    if line.kind == "commit":
        return [Part(Fraction(1), Fraction(line.amount), Fraction(line.amount), 1)]
    factor, found = _factor(invoice), []
    for tier, step in enumerate(line.steps, 1):
        price = Fraction(step.price) * factor
        found.append(Part(Fraction(step.quantity) / step.per, price, price * (1 - Fraction(line.discount)), tier))
    if line.included:
        found.append(Part(Fraction(line.included) / _per(line), Fraction(0), Fraction(0), 0))
    return found or [Part(Fraction(line.quantity or 0), Fraction(0), Fraction(0), 1)]


def _per(line: Charge) -> int:
    return line.steps[0].per if line.steps else 1


def _factor(invoice: Invoice) -> Fraction:
    """From the plan's currency to the invoice's, as it was when the invoice was made."""
    rate = invoice.pinned.rate
    if rate is None:
        return Fraction(1)
    return Fraction(rate[3]) if rate[1] == invoice.currency else 1 / Fraction(rate[3])


def _plan_currency(invoice: Invoice) -> str:
    rate = invoice.pinned.rate
    return invoice.currency if rate is None else rate[0] if rate[1] == invoice.currency else rate[1]


def _priced(invoice: Invoice, line: Charge, part: Part) -> dict[str, Value]:
    plain = line.kind in ("usage", "fee", "commit")
    sku = f"{invoice.plan}/{line.sku}" if plain else f"{invoice.plan}/{line.kind}/{line.meter}"
    per, unit = _per(line), line.unit or "units"
    units, listed, price = (_long(v) for v in (part.units, part.list_price, part.price))
    factor = _factor(invoice)
    consumed = as_decimal(part.units * per) if CATEGORIES[line.kind] == "Usage" else None
    return {
        "SkuId": sku,
        "SkuPriceId": f"{sku}/{part.tier}" if part.tier else f"{sku}/included",
        "SkuMeter": line.meter or "prepaid",
        "SkuPriceDetails": json.dumps({"x_Tier": str(part.tier)}) if part.tier else None,  # a number would be a measure
        "PricingCategory": "Standard",
        "PricingQuantity": units,
        "PricingUnit": unit if per == 1 else f"{per} {unit}",
        "PricingCurrencyContractedUnitPrice": _long(part.price / factor),
        "PricingCurrencyListUnitPrice": _long(part.list_price / factor),
        "ListUnitPrice": listed,
        "ContractedUnitPrice": price,
        "ListCost": _long(Fraction(listed) * Fraction(units)),
        "ContractedCost": _long(Fraction(price) * Fraction(units)),
        "ConsumedQuantity": consumed,
        "ConsumedUnit": unit if consumed is not None else None,
        "x_IncludedQuantity": as_decimal(part.units * per) if not part.tier else None,
    }


def _long(value: Fraction) -> Decimal:
    """All decimals of a fraction, or as many as this file shows where it has no end."""
    return as_decimal(value, PLACES)


def _divided(line: Charge, amounts: list[Fraction], currency: str) -> list[Decimal]:
    """The line's amount over its rows: floors, then a minor unit each to the largest remainders."""
    places = digits(currency)
    minor = [a * 10**places for a in amounts]
    parts = [m.numerator // m.denominator for m in minor]
    missing = int(Fraction(line.amount) * 10**places) - sum(parts)
    order = sorted(range(len(parts)), key=lambda i: (parts[i] - minor[i], i))
    for n in range(abs(missing)):
        parts[order[n % len(order)]] += 1 if missing > 0 else -1
    return [in_minor(p, places) for p in parts]
