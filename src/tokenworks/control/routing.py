"""Routing policies as pure functions over arrays: which worker of a pool takes a request.

Codes as in the semantics page: 0 round robin, 1 random, 2 least loaded, 3 power of two choices, 4 session affinity,
5 KV-aware. Each returns a position in the pool. Callable from Python and from compiled code.
"""

from __future__ import annotations

import numpy as np

from tokenworks.control.compiled import njit
from tokenworks.control.tournament import winner

ROUND_ROBIN, RANDOM, LEAST_LOADED, POWER_OF_TWO, SESSION, KV_AWARE = range(6)
KV_SCALE = 256  # costs of KV-aware routing are in 1/256 blocks


@njit(cache=True)
def splitmix64(value):  # type: ignore[no-untyped-def]
    """Steele, Lea and Flood's 64-bit mixer (OOPSLA 2014): a good hash of a counter."""
    z = np.uint64(value) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@njit(cache=True)
def choose(policy, loads, tree, turn, seed, request, session):  # type: ignore[no-untyped-def]
    """Position in the pool. ``loads``: outstanding requests by worker, ``tree``: their tournament, ``turn``:
    requests that this pool has routed so far."""
    n = len(loads)
    if n == 1:
        return 0
    if policy == ROUND_ROBIN:
        return turn % n
    if policy == RANDOM:
        return np.int64(splitmix64(seed * 0x100000001 + request) % np.uint64(n))
    if policy == POWER_OF_TWO:
        a = np.int64(splitmix64(seed * 0x100000001 + 2 * request) % np.uint64(n))
        b = np.int64(splitmix64(seed * 0x100000001 + 2 * request + 1) % np.uint64(n))
        return b if loads[b] < loads[a] else a
    if policy == SESSION and session >= 0:
        return np.int64(splitmix64(session) % np.uint64(n))
    return winner(tree)


@njit(cache=True)
def kv_load(tokens, block_tokens):  # type: ignore[no-untyped-def]
    """The load that KV-aware routing compares: outstanding tokens of prompts and answers, in 1/256 blocks."""
    return KV_SCALE * (tokens // block_tokens)


@njit(cache=True)
def choose_kv_aware(loads, runs, gain):  # type: ignore[no-untyped-def]
    """Position of the lowest cost, the first on ties. ``loads``: `kv_load` by worker, ``runs``: units at the front of the
    prompt that each has cached, ``gain``: what one unit counts, in 1/256 blocks. The twin finds the same worker without a
    look into every cache (`twin/matching.py`)."""
    best = 0
    for i in range(1, len(loads)):
        if loads[i] - gain * runs[i] < loads[best] - gain * runs[best]:
            best = i
    return best
