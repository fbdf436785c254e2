"""A tournament tree over integer keys: the smallest key and its lowest index in O(1), an update in O(log n).

Shared by routers (loads) and by the twin's event loop (times). ``tree`` holds indices: leaf i stands at size + i,
the winner at position 1. Ties go to the lower index.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tokenworks.control.compiled import njit

Ints = NDArray[np.int64]


def tree_for(count: int) -> Ints:
    """A tree for ``count`` keys, all of which must then be set once by `rebuild`."""
    size = 1
    while size < count:
        size *= 2
    return np.zeros(2 * size, np.int64)


@njit(cache=True, inline="always")
def _better(keys, a, b):  # type: ignore[no-untyped-def]
    n = len(keys)
    if b >= n:
        return a
    if a >= n:
        return b
    if keys[b] < keys[a] or (keys[b] == keys[a] and b < a):
        return b
    return a


@njit(cache=True)
def rebuild(tree, keys):  # type: ignore[no-untyped-def]
    """Make the tree agree with all keys."""
    size = len(tree) // 2
    for i in range(size):
        tree[size + i] = i
    for node in range(size - 1, 0, -1):
        tree[node] = _better(keys, tree[2 * node], tree[2 * node + 1])


@njit(cache=True)
def update(tree, keys, i):  # type: ignore[no-untyped-def]
    """Make the tree agree with a changed key."""
    node = (len(tree) // 2 + i) // 2
    while node >= 1:
        tree[node] = _better(keys, tree[2 * node], tree[2 * node + 1])
        node //= 2


@njit(cache=True, inline="always")
def winner(tree):  # type: ignore[no-untyped-def]
    """Index of the smallest key."""
    return tree[1] if len(tree) > 2 else tree[len(tree) - 1]
