"""A plan, an account and a ledger that use most of what pricing has."""

from __future__ import annotations

from datetime import date

from made_usage import tables

from tokenworks.pricing.account import Account
from tokenworks.pricing.invoice import Issuer, LedgerRange
from tokenworks.pricing.periods import midnight_us
from tokenworks.pricing.plan import Plan
from tokenworks.pricing.rating import Terms, period_of
from tokenworks.pricing.reading import parsed

PLAN = """
plan: pro
name: Professional
currency: USD
versions:
- id: pro-1
  from: 2025-01-01
  until: 2026-02-15
  prices:
  - {id: base, meter: subscription, model: flat, price: 99, name: Base fee}
  - {id: seat, meter: seats, price: 31, name: Agent seat}
  - {id: input, meter: tokens, buckets: [input_fresh, cache_write], price: 3, per: 1_000_000, included: 100_000, name: Input}
  - {id: read, meter: tokens, buckets: [cache_read], price: 0.30, per: 1_000_000, discount: 50%, name: Cached input}
  - id: output
    name: Output
    meter: tokens
    buckets: [output_visible, output_reasoning, output_tool]
    model: graduated
    per: 1_000_000
    tiers: [{up_to: 1_000_000, price: 15}, {price: 12.5}]
  - {id: search, meter: cost, of: [search], price: 0.015, cap: 5, name: Web search}
  - {id: ticket, meter: outcomes, price: 0.99, name: Resolved ticket}
- id: pro-2
  from: 2026-02-15
  prices:
  - {id: base, meter: subscription, model: flat, price: 120, name: Base fee}
  - {id: seat, meter: seats, price: 31, name: Agent seat}
  - {id: input, meter: tokens, buckets: [input_fresh, cache_write], price: 2.5, per: 1_000_000, included: 100_000, name: Input}
  - {id: read, meter: tokens, buckets: [cache_read], price: 0.30, per: 1_000_000, discount: 50%, name: Cached input}
  - {id: output, meter: tokens, buckets: [output_visible, output_reasoning, output_tool], price: 14, per: 1_000_000, name: Output}
  - {id: search, meter: cost, of: [search], price: 0.015, cap: 5, name: Web search}
  - {id: ticket, meter: outcomes, price: 0.99, name: Resolved ticket}
"""
ACCOUNT = """
tenant: acme
plan: pro
name: Acme & Söhne GmbH
address: |-
  Straße 1
  10115 Berlin
from: 2025-01-01
zone: Europe/Berlin
tax: {name: VAT, rate: 19%}
seats: [{id: a, from: 2025-01-01}, {id: b, from: 2026-02-19}]
commits: [{id: c-2026, amount: 100, price: 90, from: 2026-02-01, until: 2027-02-01}]
"""
ROWS = {
    "usage": [
        {"at": "2026-02-01T10:00:00Z", "input_fresh": 1_000_000, "cache_read": 7_654_321, "output_visible": 900_000},
        {"at": "2026-02-03T10:00:00Z", "input_fresh": 50_000, "output_reasoning": 300_000},
        {"at": "2026-02-20T10:00:00Z", "input_fresh": 2_000_000, "cache_write": 11, "output_visible": 100_000},
        {"at": "2026-02-21T10:00:00Z", "input_fresh": 77, "failed": True},
    ],
    "cost": [{"at": "2026-02-04T10:00:00Z", "meter": "search", "quantity_micro": 400_000_000}],
    "outcomes": [{"at": "2026-02-04T10:00:00Z", "outcome": "ticket", "status": "verified", "claim": "x"}],
}
ISSUER = Issuer("Tokenworks Example Factory", "Hall 1\nSomewhere", "XX 123")
LEDGER = LedgerRange(1, 4, "ab" * 32)
CLOSED_US = midnight_us(date(2026, 3, 2), "UTC")


def plan() -> Plan:
    return parsed(PLAN, Plan)


def account() -> Account:
    return parsed(ACCOUNT, Account, "account.yaml")


def terms(label: str = "2026-02") -> Terms:
    return Terms(plan(), account(), period_of(account(), label))


def ledger():
    return tables(ROWS)
