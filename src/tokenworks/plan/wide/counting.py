"""Steady state of a replica in counts of steps: how often prompts are computed, how many tokens such a step holds.

Nothing here is a time. Sequences advance by steps, whatever those last, so that a batch, the lengths of requests and the
engine's rules say how many decode sequences and prompt tokens each kind of step has; what such steps last comes after.

*Prompts beside decode* (vLLM, TensorRT-LLM). A sequence is in one of K steps with its prompt or M steps of decode: in
the share q = K / (M + K) of its steps it is prefilled. Of b independent sequences none is with probability (1 − q)^b:
these steps are pure decode of b; the others hold the rest of the decode sequences and prompt tokens. Per step b / (M + K)
requests come and go. K is the mean of ⌈prompt / room⌉. No more prompt tokens come than the budget leaves room for:
p · prompt ≤ budget − p · M.

*Prompts alone* (SGLang). Between decode steps of b come prefill steps, for as many requests as ended: Poisson with mean
b / M a rank. They take as many steps as the fullest rank needs.

*Ranks in lock-step.* A step with a prompt on any rank is one on all; it waits for the fullest rank of D Poisson draws: by
their numbers Σ_j 1 − F(j)^D, by the length of prompts that are alone on their ranks ∫ 1 − exp(−D p P(prompt > x)) dx.

*Prefill only.* ``batch`` requests are in the system of a rank, waiting or computed. Of those in the bulk queue (a step
takes all that wait, up to the budget) two thirds are computed and one third came since; the busy share is that of M/G/1
with batches for customers (Pollaczek and Khinchine), or, where all find room, 1 / (1 + e^−s / s) for s prompts a step.
"""

from __future__ import annotations

import numpy as np

from tokenworks.control.compiled import njit

SERVE, PREFILL, DECODE = range(3)

# columns of a row's settings
BATCH, RANKS, BUDGET, INTERVAL, ALONE, CHUNKED, ROLE, STEPS, PLANS, SETTINGS = range(10)
# columns of a row's counts
PURE, MIXED_N, CHUNK, CHUNK_MEAN, MIXED, SEEN, RATE, OWN, AHEAD, BUSY, COUNTS = range(11)

_compiled = njit(cache=True, error_model="numpy")


@_compiled
def mean_chunks(prompts, room):  # type: ignore[no-untyped-def]
    """Mean of ⌈prompt / room⌉ over sorted prompts: Σ_j P(prompt > j · room)."""
    total, count, edge = 1.0, len(prompts), room
    while edge < prompts[-1]:
        total += (count - np.searchsorted(prompts, edge, side="right")) / count
        edge += room
    return total


@_compiled
def most_of(mean, ranks):  # type: ignore[no-untyped-def]
    """Expected largest of ``ranks`` Poisson draws: Σ_j 1 − F(j)^ranks."""
    if ranks <= 1.0 or mean <= 0.0:
        return mean
    if mean > 200.0:
        return mean + np.sqrt(2.0 * mean * np.log(ranks))
    chance = np.exp(-mean)
    below, total, j = chance, 0.0, 0
    while True:
        more = 1.0 - below**ranks
        total += more
        if j > mean and more < 1e-9:
            return total
        j += 1
        chance *= mean / j
        below = min(1.0, below + chance)


@_compiled
def prefill_steps(mean, ranks, share, own):  # type: ignore[no-untyped-def]
    """Expected steps that the fullest of ``ranks`` ranks takes for its Poisson draw of prompts. share: mean prompt over
    the budget; own: steps of one prompt alone."""
    if mean > 200.0:
        return max(1.0, most_of(mean, ranks) * share + own - max(share, min(1.0, own)))
    chance = np.exp(-mean)
    below, total, j = chance, 0.0, 0
    before = below**ranks
    while j <= mean or before < 1.0 - 1e-9:
        j += 1
        chance *= mean / j
        below = min(1.0, below + chance)
        now = below**ranks
        steps = np.ceil(j * share - 1e-9) if share < 1.0 else j * share + own - share
        total += (now - before) * max(steps, own if j == 1 else 1.0)
        before = now
    return total


@_compiled
def longest_of(mean, levels):  # type: ignore[no-untyped-def]
    """Expected longest prompt of a Poisson number of them, 0 where there is none: ∫ 1 − exp(−mean · P(prompt > x)) dx."""
    total, before, count = 0.0, 0.0, len(levels)
    for k in range(count):
        total += (levels[k] - before) * -np.expm1(-mean * (count - k) / count)
        before = levels[k]
    return total


@_compiled
def fullest(mean, ranks, prompt, levels):  # type: ignore[no-untyped-def]
    """Expected prompt tokens of the fullest of ``ranks`` ranks with Poisson numbers of prompts: by their number, and as
    far as few share a rank by their lengths too."""
    by_number = prompt * most_of(mean, ranks)
    drawn = mean * ranks
    return by_number + max(0.0, longest_of(drawn, levels) + prompt * np.expm1(-drawn)) / (1.0 + mean)


@_compiled
def queue_steps(used, places, variation):  # type: ignore[no-untyped-def]
    """Mean wait in service times of an M/G/c queue (Sakasegawa 1977): (1 + cv²) / 2 · ρ^(√(2(c+1)) − 1) / (c (1 − ρ))."""
    used = min(used, 0.98)
    return (1.0 + variation) / 2.0 * used ** (np.sqrt(2.0 * (places + 1.0)) - 1.0) / (places * (1.0 - used))


@_compiled
def beside(row, prompts, levels, prompt, variation, out):  # type: ignore[no-untyped-def]
    batch, ranks, budget, steps = row[BATCH], row[RANKS], row[BUDGET], row[STEPS]
    late = (row[INTERVAL] - 1.0) / 2.0  # steps until a free place is seen
    others = (batch - 1.0) / batch  # of a rank's sequences, besides the one in its prompt
    decoding, room, own, rate = batch, 1.0, 1.0, 0.0
    for _ in range(4):
        room = max(1.0, budget - decoding * others)
        own = mean_chunks(prompts, room) if row[CHUNKED] == 1.0 else 1.0
        rate = batch / (steps + own + late)
        decoding = rate * steps
    if row[CHUNKED] == 1.0 and rate * prompt > budget - decoding:
        rate = budget / (steps + prompt)
        decoding = rate * steps
        room = max(1.0, budget - decoding)
    full = min(1.0, rate * prompt / room) if row[CHUNKED] == 1.0 else 0.0
    share = min(1.0, rate * own / batch)  # of its steps that a sequence is in its prompt
    here = max(1.0 - (1.0 - share) ** batch, full)
    if row[INTERVAL] > 1.0:
        here = max((1.0 - (1.0 - min(1.0, share * row[INTERVAL])) ** batch) / row[INTERVAL], full)
    anywhere = 1.0 - (1.0 - here) ** ranks
    most = rate * prompt / anywhere
    if ranks > 1.0:
        most = max(most, min(room, max(prompt, fullest(rate * own, ranks, prompt, levels) / anywhere) / own))
    out[PURE] = batch
    out[MIXED_N] = min(batch, max(0.0, (decoding - (1.0 - anywhere) * batch) / anywhere))
    out[CHUNK], out[CHUNK_MEAN] = most, rate * prompt / anywhere
    out[MIXED] = anywhere
    beside_me = 1.0 - (1.0 - share) ** (batch * ranks - 1.0)
    out[SEEN] = min(anywhere, max(beside_me, full * others)) if row[INTERVAL] <= 1.0 else anywhere
    out[RATE], out[OWN] = rate, own
    out[AHEAD] = own * queue_steps(full, max(1.0, room / prompt), variation)


@_compiled
def alone(row, prompts, levels, prompt, out):  # type: ignore[no-untyped-def]
    batch, ranks, budget, every = row[BATCH], row[RANKS], row[BUDGET], row[INTERVAL]
    rate = batch / (row[STEPS] + (every - 1.0) / 2.0)
    own = mean_chunks(prompts, budget) if row[CHUNKED] == 1.0 else 1.0
    drawn = rate * every
    steps = prefill_steps(drawn, ranks, prompt / budget if row[CHUNKED] == 1.0 else min(1.0, prompt / budget), own)
    most = (fullest(drawn, ranks, prompt, levels) if ranks > 1.0 else prompt * drawn) / steps
    most = min(most, budget) if row[CHUNKED] == 1.0 else most
    out[PURE], out[MIXED_N] = min(batch, rate * row[STEPS]), 0.0
    out[CHUNK], out[CHUNK_MEAN] = most, prompt * drawn / steps
    out[MIXED] = steps / every
    out[SEEN] = out[MIXED] * (batch * ranks - 1.0) / (batch * ranks)
    out[RATE], out[OWN], out[AHEAD] = rate, own, 0.0


@_compiled
def busy_share(inside, variation):  # type: ignore[no-untyped-def]
    """ρ of an M/G/1 queue with so many customers inside in the mean: L = ρ + ρ² (1 + cv²) / (2 (1 − ρ))."""
    spare = 1.0 - (1.0 + variation) / 2.0
    if abs(spare) < 1e-9:
        return inside / (1.0 + inside)
    return (1.0 + inside - np.sqrt((1.0 + inside) ** 2 - 4.0 * spare * inside)) / (2.0 * spare)


@_compiled
def prefill_only(row, prompts, prompt, variation, out):  # type: ignore[no-untyped-def]
    batch, budget = row[BATCH], row[BUDGET]
    own = mean_chunks(prompts, budget) if row[CHUNKED] == 1.0 else 1.0
    room = budget / prompt
    together = min(max(2.0 * batch / 3.0, 1.0), max(1.0, room))
    busy = busy_share(batch / together, variation)
    if room > together:
        busy = max(busy, 1.0 / (1.0 + np.exp(-together) / together))
    packed = min(together * prompt, budget) if row[CHUNKED] == 1.0 else together * prompt
    tokens = together * prompt / own
    tokens += busy * (packed - tokens)  # chunks of a prompt fill up with those behind it, where there are any
    out[PURE], out[MIXED_N], out[CHUNK], out[CHUNK_MEAN] = 0.0, 0.0, tokens, tokens
    out[MIXED], out[SEEN], out[RATE], out[OWN], out[AHEAD] = 1.0, 0.0, busy * tokens / prompt, own, 0.0
    out[BUSY] = busy


@_compiled
def count(rows, prompts, levels, counts):  # type: ignore[no-untyped-def]
    """Counts (n, COUNTS) of rows of settings (n, SETTINGS). prompts: sorted tokens; levels: some quantiles of them."""
    prompt = prompts.mean()
    variation = prompts.var() / prompt**2
    for i in range(len(rows)):
        row, out = rows[i], counts[i]
        out[BUSY] = 1.0
        if row[ROLE] == PREFILL or row[STEPS] <= 0.0:
            prefill_only(row, prompts, prompt, variation, out)
        elif row[ROLE] == DECODE:
            out[:BUSY] = 0.0
            out[PURE], out[RATE], out[OWN] = row[BATCH], row[BATCH] / row[STEPS], 1.0
        elif row[ALONE] == 1.0:
            alone(row, prompts, levels, prompt, out)
        else:
            beside(row, prompts, levels, prompt, variation, out)
