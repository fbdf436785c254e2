"""Late usage, reversals and clawbacks of closed periods: the difference of two ratings, booked in the open period."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

from tokenworks.pricing.charges import Balances, Charge
from tokenworks.pricing.measure import Measured, Tables, measure
from tokenworks.pricing.money import as_decimal, rounded
from tokenworks.pricing.periods import Period
from tokenworks.pricing.rating import NOTHING, Terms, edges, metered, meters_of
from tokenworks.pricing.segments import segments

METERED = ("usage", "fee", "minimum", "cap")


@dataclass(frozen=True)
class Closed:
    """A period that was invoiced up to a position in the ledger, with the balances it began with."""

    period: Period
    last_seq: int
    opening: Balances = NOTHING


def adjustments(terms: Terms, closed: Sequence[Closed], tables: Tables, last_seq: int) -> tuple[Charge, ...]:
    """Lines for what the ledger got about closed periods after they were invoiced; none where nothing changed.

    ``terms`` are of the open period; prices, tiers and exchange rates are those of each closed one.
    """
    return tuple(line for one in closed for line in _of_period(terms, one, tables, last_seq))


def _of_period(terms: Terms, closed: Closed, tables: Tables, last_seq: int) -> list[Charge]:
    then = replace(terms, period=closed.period)
    before = _by_line(_rated(then, closed, tables, closed.last_seq))
    after = _by_line(_rated(then, closed, tables, last_seq))
    lines = []
    for key in dict.fromkeys([*before, *after]):
        line = _difference(before.get(key), after.get(key), closed.period)
        if line is not None:
            lines.append(line)
    return lines


def _rated(terms: Terms, closed: Closed, tables: Tables, last_seq: int) -> list[Charge]:
    parts = segments(terms.plan, terms.account, terms.period)
    found = measure(tables, terms.period, edges(parts), meters_of(parts), [terms.account.tenant], last_seq)
    charges, _ = metered(terms, found.get(terms.account.tenant, Measured()), closed.opening)
    return charges


def _by_line(charges: Sequence[Charge]) -> dict[tuple[str, str, str], Charge]:
    return {(c.kind, c.sku, c.version): c for c in charges if c.kind in METERED}


def _difference(before: Charge | None, after: Charge | None, period: Period) -> Charge | None:
    one = after or before
    assert one is not None
    amount, listed = (_money(before, after, key) for key in ("amount", "list_amount"))
    units = Fraction((after and after.quantity) or 0) - Fraction((before and before.quantity) or 0)
    if not amount and not units:
        return None
    return replace(
        one,
        kind="adjustment",
        text=f"correction of {period.label}: {one.text}",
        amount=amount,
        list_amount=listed,
        of_period=period.label,
        quantity=as_decimal(units) if one.quantity is not None else None,
        included=None,
        steps=(),
    )


def _money(before: Charge | None, after: Charge | None, key: str) -> Decimal:
    currency = next(c.currency for c in (after, before) if c is not None)
    plus, minus = (Fraction(getattr(c, key)) if c is not None else Fraction(0) for c in (after, before))
    return rounded(plus - minus, currency)
