"""What does not go together in a price: (field, message)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

from tokenworks.events.ledger_events import BUCKETS
from tokenworks.spec.messages import near

if TYPE_CHECKING:
    from tokenworks.pricing.plan import Price

NEEDS = {
    "flat": "price",
    "unit": "price",
    "graduated": "tiers",
    "volume": "tiers",
    "package": "package",
    "percentage": "percent",
}


def model_misfits(price: Price) -> Iterator[tuple[str, str]]:
    need = NEEDS[price.model]
    if not getattr(price, need) and getattr(price, need) != 0:
        yield "model", f"a {price.model} price needs {need!r}"
    if price.model == "package" and price.price is None:
        yield "model", "a package price needs 'price'"
    allowed = {need, "price"} if price.model == "package" else {need}
    for key in ("price", "tiers", "package", "percent"):
        if key not in allowed and getattr(price, key) not in (None, ()):
            yield key, f"a {price.model} price has no {key!r}; it has {need!r}"
    bounds = [t.up_to for t in price.tiers]
    if bounds and (bounds[-1] is not None or None in bounds[:-1]):
        yield "tiers", "the last tier, and only the last, has no up_to: usage above it would have no price"
    elif any(a >= b for a, b in pairwise(bounds) if a and b):
        yield "tiers", "each up_to must be above the one before"


def meter_misfits(price: Price) -> Iterator[tuple[str, str]]:
    for key in ("buckets", "weights", "models"):
        if getattr(price, key) and price.meter != "tokens" and not (key == "models" and price.meter in BY_MODEL):
            yield key, f"{key} belong to tokens, not to {price.meter}"
    if price.of and price.meter not in ("cost", "outcomes", "workflows", "seats"):
        yield "of", f"{price.meter} are not told apart by name; cost, outcomes, workflows and seats are"
    if price.buckets and price.weights:
        yield "weights", "give buckets or weights: weights name their buckets"
    for bucket in price.weights:
        if bucket not in BUCKETS:
            yield "weights", f"no bucket {bucket!r}{near(bucket, list(BUCKETS))}"
    if price.model == "percentage" and price.meter not in ("cost", "outcomes"):
        yield "model", f"a percentage is of money: {price.meter} carry none; cost and outcomes do"
    if price.meter == "subscription" and price.model != "flat":
        yield "model", "a subscription is flat"


BY_MODEL = ("requests", "seconds")


def limit_misfits(price: Price) -> Iterator[tuple[str, str]]:
    if price.minimum is not None and price.cap is not None and price.minimum > price.cap:
        yield "cap", f"the cap {price.cap} is below the minimum {price.minimum}"
    if price.rollover and not price.included:
        yield "rollover", "nothing is included that could be carried over"
    if price.included and (price.model in ("percentage", "flat") or price.meter == "subscription"):
        yield "included", f"a {price.model} price has no included units"
    if price.discount > 1:
        yield "discount", "a discount is at most 100%"
