"""Shares of a change that do not depend on the order in which its causes are switched on (Shapley 1953)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import combinations

Worth = Callable[[frozenset[str]], float]


def subsets(players: Sequence[str]) -> list[frozenset[str]]:
    """All of them, the empty one first and the whole last."""
    return [frozenset(chosen) for size in range(len(players) + 1) for chosen in combinations(players, size)]


def shapley(players: Sequence[str], worth: Worth) -> dict[str, float]:
    """What each player adds, averaged over all orders of joining: φ_i = Σ_S |S|!(n−|S|−1)!/n! · (v(S ∪ i) − v(S)).
    They sum to ``worth`` of all less ``worth`` of none.

    >>> shapley(("a", "b"), lambda s: float(len(s) == 2))
    {'a': 0.5, 'b': 0.5}
    """
    count = len(players)
    value = {s: worth(s) for s in subsets(players)}
    found = {}
    for player in players:
        others = [p for p in players if p != player]
        added = (
            math.factorial(len(s)) * math.factorial(count - len(s) - 1) * (value[s | {player}] - value[s])
            for s in subsets(others)
        )
        found[player] = math.fsum(added) / math.factorial(count)
    return found
