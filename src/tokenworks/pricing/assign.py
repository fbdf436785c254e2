"""Which price each bit of usage belongs to; what no price covers is named."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from fractions import Fraction

from tokenworks.errors import InputError
from tokenworks.events.ledger_events import BUCKETS, MICRO
from tokenworks.pricing.measure import Counted, Measured, Tokens
from tokenworks.pricing.plan import Price, Version, claims_of
from tokenworks.pricing.segments import Segment


@dataclass
class Amounts:
    """Of one price in one stretch: units and money."""

    units: Fraction = Fraction(0)
    money: Fraction = Fraction(0)


@dataclass
class Assigned:
    """(price id, index of segment) → amounts; and what is left, by reason: (segment, meter, name) → units."""

    of: dict[tuple[str, int], Amounts] = field(default_factory=lambda: defaultdict(Amounts))
    free: dict[tuple[int, str, str], Fraction] = field(default_factory=lambda: defaultdict(Fraction))
    waived: dict[tuple[int, str, str], Fraction] = field(default_factory=lambda: defaultdict(Fraction))
    unpriced: dict[tuple[int, str, str], Fraction] = field(default_factory=lambda: defaultdict(Fraction))


def assign(parts: tuple[Segment, ...], measured: Measured, currency: str, bill_failed: bool) -> Assigned:
    """All usage of a period. Segment indices of what is outside of the contract are clipped to the nearest segment."""
    found = Assigned()
    claims = [_claims(part.version) for part in parts]
    for row in measured.tokens:
        index = row.stretch - 1
        if not 0 <= index < len(parts):
            found.unpriced[_near(index, parts), "tokens", "outside of the contract"] += sum(row.counts)
        elif row.failed and not bill_failed:
            found.waived[index, "tokens", row.model] += sum(row.counts)
        else:
            _token_row(found, index, parts[index].version, claims[index], row)
    for counted in measured.counted:
        _counted_row(found, parts, claims, counted, currency)
    return found


def _claims(version: Version) -> dict[tuple[str, ...], Price]:
    simple: dict[tuple[str, ...], Price]
    simple = {(p.meter,): p for p in version.prices if p.meter in ("runs", "conversations")}
    return {**simple, **{claim: price for price in version.prices for claim in claims_of(price)}}


def _token_row(
    found: Assigned, index: int, version: Version, claims: dict[tuple[str, ...], Price], row: Tokens
) -> None:
    for bucket, count, unknown in zip(BUCKETS, row.counts, row.unknown, strict=True):
        price = claims.get(("tokens", bucket, row.model)) or claims.get(("tokens", bucket, ""))
        if unknown and "tokens" not in version.free:
            found.unpriced[index, "tokens", f"{bucket} of {row.model}: not known of this many attempts"] += unknown
        if price is not None:
            found.of[price.id, index].units += count * Fraction(price.token_weights[bucket])
        elif count:
            side = found.free if "tokens" in version.free else found.unpriced
            side[index, "tokens", f"{bucket} of {row.model}"] += count
    for meter, units in (("requests", Fraction(row.requests)), ("seconds", Fraction(row.duration_us, MICRO))):
        price = claims.get((meter, row.model)) or claims.get((meter, ""))
        if price is not None:
            found.of[price.id, index].units += units
            if meter == "seconds" and row.unknown_duration:
                found.unpriced[index, meter, f"{row.model}: duration not known"] += row.unknown_duration


def _counted_row(
    found: Assigned, parts: tuple[Segment, ...], claims: list[dict[tuple[str, ...], Price]], row: Counted, currency: str
) -> None:
    index = row.stretch - 1
    if not 0 <= index < len(parts):
        found.unpriced[_near(index, parts), row.meter, f"{row.name or row.meter} outside of the contract"] += (
            row.quantity
        )
        return
    table = claims[index]
    price = table.get((row.meter, row.name)) or table.get((row.meter, "")) or table.get((row.meter,))
    if price is None:
        if row.meter in ("cost", "outcomes"):
            side = found.free if row.meter in parts[index].version.free else found.unpriced
            side[index, row.meter, row.name] += row.quantity
        return
    amounts = found.of[price.id, index]
    amounts.units += row.quantity
    if price.model == "percentage":
        _same_currency(price, row, currency)
        amounts.money += row.money
        if row.unknown_money:
            found.unpriced[index, row.meter, f"{row.name}: amount not known"] += row.unknown_money


def _same_currency(price: Price, row: Counted, currency: str) -> None:
    if row.currency != currency:
        raise InputError(
            f"price {price.id!r} is a percentage in {currency}, but {row.meter} {row.name!r} is in {row.currency or 'no currency'}"
        )


def _near(index: int, parts: tuple[Segment, ...]) -> int:
    return min(max(index, 0), len(parts) - 1)
