"""Prices of one version over many draws at once. Floats, nothing is rounded: for risk; bills are made by `rating`."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tokenworks.errors import UnsupportedError
from tokenworks.pricing.draws import Floats, Key, Month
from tokenworks.pricing.plan import Price, Version, claims_of

SIMPLE = ("runs",)
NOT_DRAWN = ("conversations", "workflows", "outcomes")


def revenue(version: Version, month: Month, fee: float) -> Floats:
    """Revenue of each draw in the plan's currency; ``fee``: subscription and seats. Raises UnsupportedError, also for
    usage that no price covers."""
    draws = len(month.cost_usd)
    units, money = _by_price(version, month)
    total = np.full(draws, fee)
    for price in version.prices:
        if price.meter in NOT_DRAWN:
            raise UnsupportedError(f"risk does not draw {price.meter}: price {price.id!r}")
        if price.family not in ("seats", "subscription"):
            total += _amount(price, units.get(price.id, np.zeros(draws)), money.get(price.id, np.zeros(draws)))
    return np.asarray(np.maximum(total, float(version.minimum))) if version.minimum is not None else total


def _by_price(version: Version, month: Month) -> tuple[dict[str, Floats], dict[str, Floats]]:
    claims = {claim: p for p in version.prices for claim in claims_of(p)} | {
        (p.meter,): p for p in version.prices if p.meter in SIMPLE
    }
    units: dict[str, Floats] = {}
    money: dict[str, Floats] = {}
    for key, values in month.units.items():
        side, lookup = (money, key[1:]) if key[0] == "money" else (units, key)
        price = next((claims[c] for c in _candidates(lookup) if c in claims), None)
        if price is None:
            _refuse(version, key, values)
            continue
        weight = float(price.token_weights[key[1]]) if key[0] == "tokens" else 1.0
        side[price.id] = side.get(price.id, np.zeros_like(values)) + weight * values
    return units, money


def _candidates(key: Key) -> Iterator[Key]:
    yield key
    yield (*key[:-1], "")


def _refuse(version: Version, key: Key, values: Floats) -> None:
    if key[0] in ("tokens", "cost") and key[0] not in version.free and values.any():
        raise UnsupportedError(f"version {version.id} has no price for {' '.join(key)}")


def _amount(price: Price, units: Floats, money: Floats) -> Floats:
    left = np.maximum(0.0, units - price.included)
    listed = _MODELS[price.model](price, left, money)
    net = listed * (1.0 - float(price.discount))
    if price.minimum is not None:
        net = np.maximum(net, float(price.minimum))
    return np.asarray(np.minimum(net, float(price.cap)), np.float64) if price.cap is not None else net


def _unit(price: Price, left: Floats, money: Floats) -> Floats:
    return left * (float(price.price or 0) / price.per)


def _flat(price: Price, left: Floats, money: Floats) -> Floats:
    return np.asarray((left > 0) * float(price.price or 0), np.float64)


def _package(price: Price, left: Floats, money: Floats) -> Floats:
    return np.asarray(np.ceil(left / (price.package or 1)) * float(price.price or 0))


def _percentage(price: Price, left: Floats, money: Floats) -> Floats:
    return money * float(price.percent or 0)


def _graduated(price: Price, left: Floats, money: Floats) -> Floats:
    total, floor = np.zeros_like(left), 0.0
    for tier in price.tiers:
        top = np.inf if tier.up_to is None else float(tier.up_to)
        total += np.clip(left - floor, 0.0, top - floor) * (float(tier.price) / price.per)
        floor = top
    return total


def _volume(price: Price, left: Floats, money: Floats) -> Floats:
    bounds = [float(t.up_to) for t in price.tiers if t.up_to is not None]
    prices = np.array([float(t.price) for t in price.tiers])
    return np.asarray(left * prices[np.searchsorted(bounds, left, side="left")] / price.per)


_MODELS = {
    "unit": _unit,
    "flat": _flat,
    "package": _package,
    "percentage": _percentage,
    "graduated": _graduated,
    "volume": _volume,
}
