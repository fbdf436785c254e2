"""Fine cost of one step, as `physics.worker_model` defines it, in exact integers."""

from __future__ import annotations

from numba import njit

from tokenworks.twin.first.packing import (
    DECODE,
    J_DECODE,
    J_MIXED,
    J_SEQS,
    J_SHARED_D,
    J_SHARED_M,
    MIXED,
    SEQS,
    SHARED_D,
    SHARED_M,
)


@njit(cache=True, inline="always")
def at(tables, m, table, columns, line, index):  # type: ignore[no-untyped-def]
    """One entry; beyond the last column the table goes on with its last difference."""
    start = tables.at[m, table] + line * columns
    if index < columns:
        return tables.flat[start + index]
    last = tables.flat[start + columns - 1]
    return last + (index - columns + 1) * (last - tables.flat[start + columns - 2])


@njit(cache=True)
def decode_line(tables, m, line, n, s0, s1, s2):  # type: ignore[no-untyped-def]
    """A rank's part of a line in a pure decode step."""
    if n == 0:
        return 0
    c = tables.context
    base = tables.flat[tables.at[m, DECODE] + line * tables.size[m, 0] + n]
    return base + c[m, line, 0] * s0 + c[m, line, 1] * s1 + c[m, line, 2] * s2


@njit(cache=True)
def shared_decode(tables, m, line, total):  # type: ignore[no-untyped-def]
    return tables.flat[tables.at[m, SHARED_D] + line * tables.size[m, 2] + total]


@njit(cache=True)
def decode_joules(tables, m, n, s0, s1, s2):  # type: ignore[no-untyped-def]
    c = tables.joule_context
    return tables.flat[tables.at[m, J_DECODE] + n] + c[m, 0] * s0 + c[m, 1] * s1 + c[m, 2] * s2


@njit(cache=True)
def shared_decode_joules(tables, m, total):  # type: ignore[no-untyped-def]
    return tables.flat[tables.at[m, J_SHARED_D] + total]


@njit(cache=True)
def mixed_line(tables, m, line, tokens, samples, q, s):  # type: ignore[no-untyped-def]
    """A rank's part of a line in a step with prefill tokens; ``q`` pairs and ``s`` keys by class."""
    if tokens == 0:
        return 0
    cost = at(tables, m, MIXED, tables.size[m, 1], line, tokens)
    cost += at(tables, m, SEQS, tables.size[m, 0], line, samples)
    for k in range(3):
        cost += tables.pair[m, line, k] * q[k] + tables.context[m, line, k] * s[k]
    return cost


@njit(cache=True)
def shared_mixed(tables, m, line, total):  # type: ignore[no-untyped-def]
    return at(tables, m, SHARED_M, tables.size[m, 3], line, total)


@njit(cache=True)
def mixed_joules(tables, m, tokens, samples, q, s):  # type: ignore[no-untyped-def]
    if tokens == 0:
        return 0
    cost = at(tables, m, J_MIXED, tables.size[m, 1], 0, tokens)
    cost += at(tables, m, J_SEQS, tables.size[m, 0], 0, samples)
    for k in range(3):
        cost += tables.joule_pair[m, k] * q[k] + tables.joule_context[m, k] * s[k]
    return cost


@njit(cache=True)
def shared_mixed_joules(tables, m, total):  # type: ignore[no-untyped-def]
    return at(tables, m, J_SHARED_M, tables.size[m, 3], 0, total)


@njit(cache=True)
def pairs(start, count, limit):  # type: ignore[no-untyped-def]
    """Keys that ``count`` prefill tokens from position ``start`` attend to; limit 0 = no limit."""
    if limit == 0 or start + count <= limit:
        return count * start + count * (count + 1) // 2
    below = max(0, limit - start)
    return below * start + below * (below + 1) // 2 + (count - below) * limit
