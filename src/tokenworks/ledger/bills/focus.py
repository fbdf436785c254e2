"""FOCUS cost and usage files (CSV, 1.0 to 1.3) of a cloud that serves models.

A row is of a model where its SKU details, resource or description name one of those asked for, and of a bucket where they
name one; all others keep the provider's words and are matched to nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from tokenworks.ledger.bills.rows import BillRow, Place, amount, one_day, table

NEEDED = ("BilledCost", "BillingCurrency", "ChargeCategory", "ChargePeriodStart", "ChargePeriodEnd")
WORDS = ("SkuMeter", "SkuPriceDetails", "ResourceId", "ResourceName", "ChargeDescription", "SkuId")
KINDS = (
    (re.compile(r"cache[\s_-]*(write|creation)", re.I), "cache_write"),
    (re.compile(r"\bcached|cache[\s_-]*(read|hit|input)", re.I), "cache_read"),
    (re.compile(r"\binput|prompt", re.I), "input_fresh"),
    (re.compile(r"\boutput|completion", re.I), "output"),
)
NAME = r"(?<![\w.-]){}(?![\w.-])"  # not the beginning of a longer name: a model's smaller sister is another model
UNIT = re.compile(r"^\s*(?:(?P<number>[\d,]+)\s*)?(?P<scale>[kKmM])?\s*tokens?\s*$", re.I)
SCALES = {"": 1, "k": 1000, "m": 1_000_000}


def from_text(text: str, file: str, models: Sequence[str]) -> Iterator[BillRow]:
    """Rows of a file. ``models``: names to look for, as the ledger has them. Raises TraceError."""
    longest = sorted(models, key=len, reverse=True)
    for record, at in table(text, file):
        for name in NEEDED:
            if name not in record:
                raise at.fault(f"the column {name} is missing: no FOCUS file")
        yield _row(record, longest, at)


def _row(record: Mapping[str, str], models: Sequence[str], at: Place) -> BillRow:
    words = " ".join(record.get(name, "") for name in WORDS)
    model = next((m for m in models if m and re.search(NAME.format(re.escape(m)), words, re.I)), "")
    bucket = next((b for pattern, b in KINDS if pattern.search(words.replace(model, " "))), "") if model else ""
    usage = record["ChargeCategory"] == "Usage"
    words = record.get("ChargeDescription") or record.get("SkuId") or record["ChargeCategory"]
    return BillRow(
        day=one_day(record["ChargePeriodStart"], record["ChargePeriodEnd"], at),
        model=model,
        bucket=bucket if bucket and usage else f"{record['ChargeCategory']}: {words}",
        quantity=_quantity(record, at) if bucket and usage else None,
        cost=amount(record["BilledCost"], "BilledCost", at),
        currency=record["BillingCurrency"],
        line=f"{at.file}: {at.spot}: {words}",
    )


def _quantity(record: Mapping[str, str], at: Place) -> int | None:
    """Tokens of a consumed quantity in tokens, thousands or millions of them; None for any other unit."""
    unit = UNIT.match(record.get("ConsumedUnit", ""))
    if unit is None or not record.get("ConsumedQuantity"):
        return None
    scale = int((unit["number"] or "1").replace(",", "")) * SCALES[(unit["scale"] or "").lower()]
    found = amount(record["ConsumedQuantity"], "ConsumedQuantity", at) * scale
    if found != found.to_integral_value():
        raise at.fault(
            f"ConsumedQuantity {record['ConsumedQuantity']} {record['ConsumedUnit']} is no whole number of tokens"
        )
    return int(found)
