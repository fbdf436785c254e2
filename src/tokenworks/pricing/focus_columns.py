"""Columns of FOCUS 1.3 and 1.2 that this export has: data type, and whether a value may be missing.

Checked in November 2026 column by column against the specification's sources (github.com/FinOps-Open-Cost-and-Usage-Spec/
FOCUS_Spec, specification/datasets/cost_and_usage/columns, versions of 2025 and 2026): presence, type, feature level, nulls,
allowed values. 1.3 adds ServiceProviderName and HostProviderName and keeps ProviderName and PublisherName, deprecated but
still to be present. The order is alphabetical, own columns last.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

FocusVersion: TypeAlias = Literal["1.3", "1.2"]
Type: TypeAlias = Literal["string", "decimal", "datetime", "json"]
Level: TypeAlias = Literal["mandatory", "conditional", "recommended", "own"]


class Column(NamedTuple):
    type: Type
    level: Level
    nulls: bool


BOTH: dict[str, Column] = {
    "BilledCost": Column("decimal", "mandatory", False),
    "BillingAccountId": Column("string", "mandatory", False),
    "BillingAccountName": Column("string", "mandatory", True),
    "BillingAccountType": Column("string", "conditional", False),
    "BillingCurrency": Column("string", "mandatory", False),
    "BillingPeriodEnd": Column("datetime", "mandatory", False),
    "BillingPeriodStart": Column("datetime", "mandatory", False),
    "ChargeCategory": Column("string", "mandatory", False),
    "ChargeClass": Column("string", "mandatory", True),
    "ChargeDescription": Column("string", "mandatory", True),
    "ChargeFrequency": Column("string", "recommended", False),
    "ChargePeriodEnd": Column("datetime", "mandatory", False),
    "ChargePeriodStart": Column("datetime", "mandatory", False),
    "ConsumedQuantity": Column("decimal", "conditional", True),
    "ConsumedUnit": Column("string", "conditional", True),
    "ContractedCost": Column("decimal", "mandatory", False),
    "ContractedUnitPrice": Column("decimal", "conditional", True),
    "EffectiveCost": Column("decimal", "mandatory", False),
    "InvoiceId": Column("string", "recommended", True),
    "InvoiceIssuerName": Column("string", "mandatory", False),
    "ListCost": Column("decimal", "mandatory", False),
    "ListUnitPrice": Column("decimal", "conditional", True),
    "PricingCategory": Column("string", "conditional", True),
    # of suppliers that price and bill in different currencies, as plans here may
    "PricingCurrency": Column("string", "conditional", False),
    "PricingCurrencyContractedUnitPrice": Column("decimal", "conditional", True),
    "PricingCurrencyEffectiveCost": Column("decimal", "conditional", False),
    "PricingCurrencyListUnitPrice": Column("decimal", "conditional", True),
    "PricingQuantity": Column("decimal", "mandatory", True),
    "PricingUnit": Column("string", "mandatory", True),
    "ServiceCategory": Column("string", "mandatory", False),
    "ServiceName": Column("string", "mandatory", False),
    "ServiceSubcategory": Column("string", "recommended", False),
    "SkuId": Column("string", "conditional", True),
    "SkuMeter": Column("string", "conditional", True),
    "SkuPriceDetails": Column("json", "conditional", True),
    "SkuPriceId": Column("string", "conditional", True),
}
PROVIDER = Column("string", "mandatory", False)
OF_VERSION: dict[FocusVersion, dict[str, Column]] = {
    "1.3": dict.fromkeys(("HostProviderName", "ProviderName", "PublisherName", "ServiceProviderName"), PROVIDER),
    "1.2": dict.fromkeys(("ProviderName", "PublisherName"), PROVIDER),
}
OWN: dict[str, Column] = {
    "x_IncludedQuantity": Column("decimal", "own", True),  # units of the plan's allowance
    "x_InvoiceLine": Column("string", "own", False),
    "x_OfPeriod": Column("string", "own", True),  # the closed period that a correction is about
    "x_PriceVersion": Column("string", "own", True),
}


def columns(version: FocusVersion) -> dict[str, Column]:
    """Name → rule, in the order of the file."""
    return {**dict(sorted({**BOTH, **OF_VERSION[version]}.items())), **OWN}
