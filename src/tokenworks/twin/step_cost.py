"""Fine cost of one step, as `physics.worker_model` defines it, in exact integers. Joules are one more line."""

from __future__ import annotations

from tokenworks.twin.columns import (
    BEFORE,
    BELOW1,
    BELOW2,
    BELOW_SUM1,
    BELOW_SUM2,
    CHUNK_TOKENS,
    CONTEXT,
    DECODE,
    DECODING,
    DUE,
    FINE_BITS,
    GOAL,
    LIMIT1,
    LIMIT2,
    MIXED,
    MIXED_WIDE,
    OFF_SUM,
    OUTPUT,
    PAIR,
    PAIR0,
    PHASE,
    RELOAD,
    RUN_HEAD,
    SAMPLES,
    SEQS,
    SHARED_D,
    SHARED_M,
    SHARED_WIDE,
    SPECULATES,
    STEPS,
    YOUNGER,
    D,
    N,
)
from tokenworks.twin.compiled import compiled, hot, inlined


@inlined
def entry(flat, start, wide, index):  # type: ignore[no-untyped-def]
    """One entry of a table; beyond its last column it goes on with its last difference."""
    if index < wide:
        return flat[start + index]
    last = flat[start + wide - 1]
    return last + (index - wide + 1) * (last - flat[start + wide - 2])


@inlined
def keys_of(stored, limit):  # type: ignore[no-untyped-def]
    """Keys that the token at position ``stored`` attends to."""
    return stored + 1 if limit == 0 or stored + 1 < limit else limit


@hot
def pairs(start, count, limit):  # type: ignore[no-untyped-def]
    """Keys that ``count`` prefill tokens from position ``start`` attend to; limit 0 = no limit."""
    if limit == 0 or start + count <= limit:
        return count * start + count * (count + 1) // 2
    below = max(0, limit - start)
    return below * start + below * (below + 1) // 2 + (count - below) * limit


@inlined
def grown(slots, s, d):  # type: ignore[no-untyped-def]
    """Tokens that decode sequence ``s`` has produced in its present stretch when its rank has made ``d`` steps."""
    done = slots[s, STEPS] - (slots[s, DUE] - d)
    rest = slots[s, OUTPUT] - slots[s, BEFORE]
    if rest == slots[s, STEPS]:
        return done
    return done * rest // slots[s, STEPS]


@compiled
def speculating_keys(rank, slots, g, limit):  # type: ignore[no-untyped-def]
    """Σ keys of the decode sequences of a rank that speculates, one by one; limit 0 = none."""
    total, s = 0, rank[g, RUN_HEAD]
    while s >= 0:
        if slots[s, PHASE] == DECODING:
            total += keys_of(slots[s, GOAL] + grown(slots, s, rank[g, D]), limit)
        s = slots[s, YOUNGER]
    return total


@inlined
def decode_keys(number, v, rank, slots, g):  # type: ignore[no-untyped-def]
    """Σ keys of a rank's decode sequences by context class."""
    n, d = rank[g, N], rank[g, D]
    if number[v, SPECULATES] == 1:
        s0 = speculating_keys(rank, slots, g, 0)
        s1 = speculating_keys(rank, slots, g, number[v, LIMIT1]) if number[v, LIMIT1] > 0 else 0
        s2 = speculating_keys(rank, slots, g, number[v, LIMIT2]) if number[v, LIMIT2] > 0 else 0
        return s0, s1, s2
    s0 = n * (d + 1) + rank[g, OFF_SUM]
    s1, s2 = 0, 0
    if number[v, LIMIT1] > 0:
        s1 = rank[g, BELOW1] * (d + 1) + rank[g, BELOW_SUM1] + number[v, LIMIT1] * (n - rank[g, BELOW1])
    if number[v, LIMIT2] > 0:
        s2 = rank[g, BELOW2] * (d + 1) + rank[g, BELOW_SUM2] + number[v, LIMIT2] * (n - rank[g, BELOW2])
    return s0, s1, s2


@hot
def decode_line(flat, line, v, x, n, s0, s1, s2):  # type: ignore[no-untyped-def]
    """A rank's part of line ``x`` in a pure decode step."""
    if n == 0:
        return 0
    base = flat[line[v, x, DECODE] + n]
    return base + line[v, x, CONTEXT] * s0 + line[v, x, CONTEXT + 1] * s1 + line[v, x, CONTEXT + 2] * s2


@inlined
def decode_slope(number, line, v, x, rank, g):  # type: ignore[no-untyped-def]
    """Growth of `decode_line` per step, up to the next crossing of a limit."""
    slope = line[v, x, CONTEXT] * rank[g, N]
    if number[v, LIMIT1] > 0:
        slope += line[v, x, CONTEXT + 1] * rank[g, BELOW1]
    if number[v, LIMIT2] > 0:
        slope += line[v, x, CONTEXT + 2] * rank[g, BELOW2]
    return slope


@inlined
def shared_decode(flat, line, v, x, total):  # type: ignore[no-untyped-def]
    return flat[line[v, x, SHARED_D] + total]


@hot
def mixed_line(flat, line, number, v, x, rank, slots, g, alone):  # type: ignore[no-untyped-def]
    """A rank's part of line ``x`` in a step with prefill tokens, reloads from KV tiers left out."""
    tokens, samples = rank[g, CHUNK_TOKENS], rank[g, SAMPLES]
    s0, s1, s2 = 0, 0, 0
    if not alone and rank[g, N] > 0:
        tokens += rank[g, N]
        samples += rank[g, N]
        s0, s1, s2 = decode_keys(number, v, rank, slots, g)
    if tokens == 0:
        return 0
    cost = entry(flat, line[v, x, MIXED], number[v, MIXED_WIDE], tokens) + flat[line[v, x, SEQS] + samples]
    cost += line[v, x, CONTEXT] * s0 + line[v, x, CONTEXT + 1] * s1 + line[v, x, CONTEXT + 2] * s2
    for k in range(3):
        cost += line[v, x, PAIR + k] * rank[g, PAIR0 + k]
    return cost


@hot
def mixed_cost(flat, line, number, v, rank, slots, first, last, alone):  # type: ignore[no-untyped-def]
    """(fine ticks, fine microjoules, longest line) of a step with prefill tokens."""
    lines, total = line.shape[1] - 1, 0
    for g in range(first, last):
        total += rank[g, CHUNK_TOKENS] + (0 if alone else rank[g, N])
    cost, longest, joules = 0, 0, entry(flat, line[v, lines, SHARED_M], number[v, SHARED_WIDE], total)
    for x in range(lines):
        worst = 0
        for g in range(first, last):
            own = mixed_line(flat, line, number, v, x, rank, slots, g, alone)
            worst = max(worst, own + (rank[g, RELOAD] << FINE_BITS))
        worst += entry(flat, line[v, x, SHARED_M], number[v, SHARED_WIDE], total)
        if worst > cost:
            cost, longest = worst, x
    for g in range(first, last):
        joules += mixed_line(flat, line, number, v, lines, rank, slots, g, alone)
    return cost, joules, longest
