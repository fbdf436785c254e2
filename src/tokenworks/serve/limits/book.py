"""The book of one gateway: what it has leased of each budget, what is spent of it, what is reserved.

Amounts are whole: tokens, or 10⁻¹² dollars. Nothing is reserved beyond what was leased, and the shared store never leases
more than the limit: so spent and open together stay within it, whatever gateways do or die of.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias


class Account:
    """One budget of one tenant, key or run in one window. ``held``: leased and not given back, spent or not.
    ``left``: what the store had left when it was last asked."""

    __slots__ = ("dry_until_s", "held", "left", "limit", "name", "open", "spent", "used_s")

    def __init__(self, name: str, limit: int):
        self.name, self.limit = name, limit
        self.held = self.spent = self.open = 0
        self.left = limit
        self.dry_until_s = self.used_s = 0.0

    @property
    def free(self) -> int:
        return self.held - self.spent - self.open

    @property
    def idle(self) -> bool:
        return not self.open


Amounts: TypeAlias = list[tuple[Account, int]]


def short(amounts: Amounts) -> Amounts:
    """Accounts whose lease does not hold their amount."""
    return [(account, amount) for account, amount in amounts if account.free < amount]


def reserve(amounts: Amounts) -> bool:
    """All or nothing."""
    for account, amount in amounts:
        if account.held - account.spent - account.open < amount:
            return False
    for account, amount in amounts:
        account.open += amount
    return True


def settle(amounts: Amounts, spent: Sequence[int]) -> bool:
    """The truth in place of what was reserved. False where it is more, which only a wrong bound can bring about."""
    within = True
    for (account, amount), truth in zip(amounts, spent, strict=True):
        account.open -= amount
        account.spent += truth
        if truth > amount:
            within = False
    return within


def release(amounts: Amounts) -> None:
    """Nothing was used."""
    for account, amount in amounts:
        account.open -= amount
