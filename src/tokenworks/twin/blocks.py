"""KV blocks of a rank: how many decode sequences need in the next steps, and who gives way where none is left."""

from __future__ import annotations

from tokenworks.twin.columns import (
    AHEAD,
    BLOCK,
    DECODING,
    EXTRA,
    FREE,
    GOAL,
    LRU_N,
    OFF,
    PHASE,
    PINNED,
    RESERVE,
    RESERVED,
    RUN_HEAD,
    SPECULATES,
    UNIT,
    YOUNGER,
    D,
    N,
)
from tokenworks.twin.compiled import compiled, hot, inlined
from tokenworks.twin.prefix import evict
from tokenworks.twin.step_cost import grown


@inlined
def blocks_for(tokens, block):  # type: ignore[no-untyped-def]
    return (tokens + block - 1) // block


@inlined
def available(rank, number, v, g):  # type: ignore[no-untyped-def]
    """Blocks that can be taken: wholly free ones and prefix blocks that nobody uses."""
    return rank[g, FREE] + number[v, UNIT] * rank[g, LRU_N]


@inlined
def take(rank, number, v, g, count, cache, scalars):  # type: ignore[no-untyped-def]
    """Take blocks that are known to be available."""
    rank[g, FREE] -= count
    if rank[g, FREE] < 0:
        evict(rank, number, v, g, cache, scalars)


@hot
def held(slots, s, rank, number, v, g):  # type: ignore[no-untyped-def]
    """Private blocks of a running sequence, pinned prefix units left out."""
    block, shared = number[v, BLOCK], slots[s, PINNED] * number[v, UNIT]
    if number[v, RESERVE] == 1:
        return blocks_for(slots[s, RESERVED], block) - shared
    if slots[s, PHASE] != DECODING:
        return blocks_for(slots[s, GOAL], block) - shared
    blocks = blocks_for(slots[s, GOAL] + grown(slots, s, rank[g, D]), block) - shared
    return blocks + growth(slots, s, rank[g, D], block) if slots[s, EXTRA] == rank[g, D] else blocks


@hot
def growth(slots, s, d, block):  # type: ignore[no-untyped-def]
    """Blocks that the step after step ``d`` adds to a decode sequence."""
    goal = slots[s, GOAL]
    return blocks_for(goal + grown(slots, s, d + 1), block) - blocks_for(goal + grown(slots, s, d), block)


@hot
def needed(phase, rank, number, v, g, start, steps):  # type: ignore[no-untyped-def]
    """Blocks that the decode sequences need for ``steps`` steps, the first at D + ``start`` (no speculation)."""
    block = number[v, BLOCK]
    if number[v, RESERVE] == 1 or steps <= 0 or rank[g, N] == 0:
        return 0
    whole = steps // block
    total = whole * rank[g, N]
    rest = steps - whole * block
    if rest > 0:
        p = (-(rank[g, D] + start)) % block
        for _ in range(rest):
            total += phase[g, p]
            p = p - 1 if p > 0 else block - 1
    return total


@hot
def needed_now(phase, rank, slots, number, v, g):  # type: ignore[no-untyped-def]
    """Blocks that the decode sequences need for the next step."""
    if number[v, RESERVE] == 1 or rank[g, N] == 0:
        return 0
    if number[v, SPECULATES] == 0:
        return needed(phase, rank, number, v, g, 0, 1) - rank[g, AHEAD]
    total, s = 0, rank[g, RUN_HEAD]
    while s >= 0:
        total += needs(slots, s, rank, number, v, g)
        s = slots[s, YOUNGER]
    return total


@compiled
def needs(slots, s, rank, number, v, g):  # type: ignore[no-untyped-def]
    """Blocks that one running sequence needs for the next step."""
    if slots[s, PHASE] != DECODING or slots[s, EXTRA] == rank[g, D]:
        return 0
    return growth(slots, s, rank[g, D], number[v, BLOCK])


@hot
def steps_within(phase, rank, number, v, g, most):  # type: ignore[no-untyped-def]
    """How many of ``most`` steps have their blocks; those of the first are taken already."""
    n, block = rank[g, N], number[v, BLOCK]
    if number[v, RESERVE] == 1 or n == 0 or most <= 1:
        return most
    left = available(rank, number, v, g)
    whole = left // n  # rounds of ``block`` steps, in which every sequence needs one
    if whole * block >= most - 1:
        return most
    steps = 1 + whole * block
    left -= whole * n
    p = (-(rank[g, D] + 1)) % block  # the residue after whole rounds is the same
    while steps < most and phase[g, p] <= left:
        left -= phase[g, p]
        steps += 1
        p = p - 1 if p > 0 else block - 1
    return steps


@inlined
def phase_of(slots, s, number, v):  # type: ignore[no-untyped-def]
    return slots[s, OFF] % number[v, BLOCK]
