"""Rating of many tenants: one pass over the table for all contracts with the same edges."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from tokenworks.pricing.account import Account, Rate
from tokenworks.pricing.charges import Balances, Rated
from tokenworks.pricing.measure import Measured, Tables, measure
from tokenworks.pricing.plan import Plan
from tokenworks.pricing.rating import NOTHING, Terms, Unpriced, edges, meters_of, period_of, rate_measured
from tokenworks.pricing.segments import segments


def rate_many(
    plan: Plan,
    accounts: Sequence[Account],
    tables: Tables,
    label: str,
    opening: Mapping[str, Balances] | None = None,
    last_seq: int | None = None,
    rates: tuple[Rate, ...] = (),
    unpriced: Unpriced = "error",
) -> dict[str, Rated]:
    """Tenant → rated month ``label``, of each in its own time zone. Raises InputError as `rate` does."""
    terms = [Terms(plan, account, period_of(account, label), rates, unpriced) for account in accounts]
    found: dict[str, Rated] = {}
    for group in _alike(terms):
        parts = segments(plan, group[0].account, group[0].period)
        tenants = [t.account.tenant for t in group]
        sums = measure(tables, group[0].period, edges(parts), meters_of(parts), tenants, last_seq)
        for one in group:
            tenant = one.account.tenant
            balances = (opening or {}).get(tenant, NOTHING)
            found[tenant] = rate_measured(one, sums.get(tenant, Measured()), balances)
    return found


def _alike(terms: Sequence[Terms]) -> list[list[Terms]]:
    """Groups with the same period and the same edges."""
    groups: dict[tuple[int, ...], list[Terms]] = defaultdict(list)
    for one in terms:
        parts = segments(one.plan, one.account, one.period)
        groups[one.period.start_us, one.period.end_us, *edges(parts)].append(one)
    return list(groups.values())
