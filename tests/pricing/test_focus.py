"""FOCUS export against the column rules of the specification, restated here: 1.3, and 1.2 on request."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import date
from decimal import Decimal

import pytest
from made_plans import ACCOUNT, CLOSED_US, ISSUER, LEDGER, ledger, plan, terms

from tokenworks.pricing.account import Account, Rate
from tokenworks.pricing.adjust import Closed
from tokenworks.pricing.charges import Balances
from tokenworks.pricing.focus import rows, to_focus_csv
from tokenworks.pricing.focus_columns import columns
from tokenworks.pricing.invoice import credit, draft, issue
from tokenworks.pricing.periods import month
from tokenworks.pricing.rating import Terms, period_of
from tokenworks.pricing.reading import parsed

MANDATORY = {
    "BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart",
    "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargePeriodEnd", "ChargePeriodStart", "ContractedCost",
    "EffectiveCost", "InvoiceIssuerName", "ListCost", "PricingQuantity", "PricingUnit", "ServiceCategory", "ServiceName",
}  # fmt: skip
OLD_PROVIDERS = {"ProviderName", "PublisherName"}  # deprecated in 1.3, to be present all the same; gone in 1.4
PROVIDERS = {"1.3": OLD_PROVIDERS | {"ServiceProviderName", "HostProviderName"}, "1.2": OLD_PROVIDERS}
NOT_NULL = MANDATORY - {"BillingAccountName", "ChargeClass", "ChargeDescription", "PricingQuantity", "PricingUnit"}
DECIMALS = {
    "BilledCost",
    "ConsumedQuantity",
    "ContractedCost",
    "ContractedUnitPrice",
    "EffectiveCost",
    "ListCost",
    "ListUnitPrice",
    "PricingCurrencyContractedUnitPrice",
    "PricingCurrencyEffectiveCost",
    "PricingCurrencyListUnitPrice",
    "PricingQuantity",
}
OF_SKU_PRICE = (
    "PricingCurrencyContractedUnitPrice",
    "PricingCurrencyListUnitPrice",
    "SkuMeter",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ContractedUnitPrice",
    "ListUnitPrice",
    "PricingCategory",
    "PricingQuantity",
    "PricingUnit",
    "SkuPriceDetails",
)
NEEDED = (
    "PricingCurrencyContractedUnitPrice",
    "PricingCurrencyListUnitPrice",
    "SkuId",
    "SkuMeter",
    "SkuPriceId",
    "PricingQuantity",
    "PricingUnit",
    "ListUnitPrice",
    "ContractedUnitPrice",
    "PricingCategory",
)


def february():
    return issue(draft(terms(), ledger(), LEDGER, ISSUER), "2026-0001", date(2026, 3, 2), CLOSED_US)


def in_euro():
    account = parsed(ACCOUNT + "currency: EUR\n", Account, "account.yaml")
    rate = Rate.model_validate({"of": "USD", "to": "EUR", "day": "2026-02-27", "rate": "0.9217", "source": "bank"})
    made = Terms(plan(), account, period_of(account, "2026-02"), (rate,))
    return draft(made, ledger(), LEDGER, ISSUER)


def corrected():
    """March with usage of February that came after its invoice."""
    account = terms().account
    march = Terms(plan(), account, period_of(account, "2026-03"))
    opening = Balances({}, {"c-2026": Decimal("0.00")})
    return draft(march, ledger(), LEDGER, ISSUER, opening, [Closed(month("2026-02", account.zone), 2)])


MADE = {
    "february": february,
    "euro": in_euro,
    "corrected": corrected,
    "credit": lambda: credit(february(), "2026-C1", date(2026, 3, 5), "error"),
}


@pytest.fixture(params=[(name, version) for name in MADE for version in ("1.3", "1.2")], ids=lambda p: "-".join(p))
def export(request):
    name, version = request.param
    invoice = MADE[name]()
    return invoice, version, list(csv.DictReader(io.StringIO(to_focus_csv(invoice, version).decode())))


def test_columns(export):
    _, version, found = export
    names = set(found[0])
    assert names >= MANDATORY | PROVIDERS[version]
    assert not names & (PROVIDERS["1.3"] - PROVIDERS[version])
    assert all(re.fullmatch(r"(x_)?[A-Z][A-Za-z]*", n) for n in names)
    assert {n for n, c in columns(version).items() if c.level == "mandatory"} == MANDATORY | PROVIDERS[version]


def test_values(export):
    _, version, found = export
    for row in found:
        for name in NOT_NULL | PROVIDERS[version] | {n for n, c in columns(version).items() if not c.nulls}:
            assert row[name], name
        for name in DECIMALS:
            assert not row[name] or re.fullmatch(r"-?\d+(\.\d+)?", row[name]), (name, row[name])
        for name in ("BillingPeriodStart", "BillingPeriodEnd", "ChargePeriodStart", "ChargePeriodEnd"):
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", row[name])
        assert row["ChargePeriodStart"] < row["ChargePeriodEnd"]
        assert row["BillingPeriodStart"] < row["BillingPeriodEnd"]
        assert re.fullmatch("[A-Z]{3}", row["BillingCurrency"])
        assert row["ChargeCategory"] in {"Usage", "Purchase", "Tax", "Credit", "Adjustment"}
        assert row["ChargeClass"] in {"", "Correction"}
        assert row["ChargeFrequency"] in {"One-Time", "Recurring", "Usage-Based"}
        assert row["PricingCategory"] in {"", "Standard", "Dynamic", "Committed", "Other"}
        assert row["ServiceCategory"] == "AI and Machine Learning"
        assert row["ServiceSubcategory"] == "Generative AI"  # a child of that category
        assert row["BillingAccountType"]  # not null where BillingAccountId is not
        assert re.fullmatch("[A-Z]{3}", row["PricingCurrency"])
        assert not row["SkuPriceDetails"] or all(k.startswith("x_") for k in json.loads(row["SkuPriceDetails"]))


def test_conditions(export):
    _, _, found = export
    for row in found:
        category, correction = row["ChargeCategory"], row["ChargeClass"] == "Correction"
        if category == "Tax":
            assert not row["SkuId"]
            assert not row["SkuPriceId"]
        if category in ("Usage", "Purchase") and not correction:
            for name in NEEDED:
                assert row[name], name
        if category == "Usage" and not correction:
            assert row["ConsumedQuantity"]
            assert row["ConsumedUnit"]
        if category != "Usage":
            assert not row["ConsumedQuantity"]
        if not row["SkuPriceId"]:
            assert not any(row[name] for name in OF_SKU_PRICE)
        if category == "Credit":
            assert row["ContractedCost"] == row["BilledCost"]
        if row["SkuPriceDetails"]:
            assert all(isinstance(v, str) for v in json.loads(row["SkuPriceDetails"]).values())
        if category == "Purchase":
            assert row["ChargeFrequency"] != "Usage-Based"


def test_costs(export):
    """Unit price × quantity is the cost; billed rows sum to the lines of the invoice; prepaid money counts once."""
    invoice, _, found = export
    for row in found:
        for cost, price in (("ListCost", "ListUnitPrice"), ("ContractedCost", "ContractedUnitPrice")):
            if row[price]:
                assert Decimal(row[price]) >= 0
                assert abs(Decimal(row[cost]) - Decimal(row[price]) * Decimal(row["PricingQuantity"])) < Decimal(
                    "1e-20"
                )
        if row["SkuMeter"] == "prepaid":
            assert Decimal(row["EffectiveCost"]) == 0
    assert sum(Decimal(r["BilledCost"]) for r in found) == invoice.total
    for number, line in enumerate(invoice.lines, 1):
        assert sum(Decimal(r["BilledCost"]) for r in found if r["x_InvoiceLine"] == str(number)) == line.amount


def test_prices_in_the_currency_of_the_plan():
    """Billed in euros at 0.9217, priced in dollars: 15 a million is 13.8255; costs turn back into the dollars."""
    found = rows(in_euro())
    assert {r["PricingCurrency"] for r in found} == {"USD"}
    output = next(r for r in found if r["SkuPriceId"] == "pro/output/1" and r["x_PriceVersion"] == "pro-1")
    assert (str(output["PricingCurrencyListUnitPrice"]), str(output["ListUnitPrice"])) == ("15", "13.8255")
    for row in found:
        assert abs(row["PricingCurrencyEffectiveCost"] * Decimal("0.9217") - row["EffectiveCost"]) < Decimal("1e-20")
    assert {r["PricingCurrency"] for r in rows(february())} == {"USD"}
    assert all(r["PricingCurrencyEffectiveCost"] == r["EffectiveCost"] for r in rows(february()))


def test_tiers_are_rows_of_their_own():
    """Output: 1,000,000 at 15 and 200,000 at 12.50 a million; the included 100,000 input units are a row without price."""
    found = rows(february())
    output = [r for r in found if r["SkuId"] == "pro/output" and r["x_PriceVersion"] == "pro-1"]
    assert [(r["SkuPriceId"], str(r["PricingQuantity"]), str(r["ListUnitPrice"]), str(r["BilledCost"])) for r in output] == [
        ("pro/output/1", "1", "15", "15.00"), ("pro/output/2", "0.2", "12.5", "2.50"),
    ]  # fmt: skip
    free = [r for r in found if r["SkuPriceId"] == "pro/input/included"]
    assert [(str(r["x_IncludedQuantity"]), str(r["BilledCost"])) for r in free] == [("100000", "0.00")]


def test_corrections_and_credits_have_their_class():
    late = [r for r in rows(corrected()) if r["x_OfPeriod"]]
    assert late
    assert {(r["ChargeClass"], r["x_OfPeriod"]) for r in late} == {("Correction", "2026-02")}
    assert {r["ChargeClass"] for r in rows(MADE["credit"]())} == {"Correction"}


def test_effective_cost_spreads_what_was_paid_for_prepaid_money():
    """100 bought for 90, all of it drawn: usage at its price, −10.00 for the saving, the purchase 0."""
    found = rows(february())
    drawn = next(r for r in found if r["ChargeCategory"] == "Credit")
    assert (str(drawn["BilledCost"]), str(drawn["EffectiveCost"])) == ("-100.00", "-10.00")
    assert sum(r["EffectiveCost"] for r in found) == february().total


def test_same_invoice_same_bytes():
    assert to_focus_csv(february()) == to_focus_csv(february())
