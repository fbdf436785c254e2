"""Who pays for what: the cost of a run, by GPU time, to services, to prompts, cached input, answers, and to idleness.

Basis: every GPU of a system costs the same per second. A service pays for its GPUs; their busy time is divided by
what it was spent on, their idle time is a row of its own, and so are GPUs that no service uses. Rows sum to the total.
A token held in KV memory is read by every step that attends to it: that time is the price of holding it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tokenworks.events.results import Share

PURPOSES = ("prefill", "prompt in memory", "cached input", "decode", "idle")
UNUSED = "unused GPUs"


@dataclass(frozen=True)
class GpuTime:
    """How a service spent the time of its GPUs."""

    name: str
    system: str
    gpus: int
    busy_share: float  # of its GPU time
    prefill_share: float  # of its busy time
    cached_share: float  # of its busy time: cached prompts brought back from a slower tier, and read
    prompt_share: float = 0.0  # of its busy time: computed prompts read while their answers are made


def split_time(use: GpuTime) -> tuple[float, ...]:
    """Shares of a service's GPU time by `PURPOSES`; they sum to 1.

    >>> [round(s, 3) for s in split_time(GpuTime("a", "rack", 8, 0.5, 0.4, 0.1, 0.2))]
    [0.2, 0.1, 0.05, 0.15, 0.5]
    """
    busy = min(1.0, use.busy_share)
    fill, prompt, cached = (busy * share for share in (use.prefill_share, use.prompt_share, use.cached_share))
    return fill, prompt, cached, max(0.0, busy - fill - prompt - cached), 1.0 - busy


def allocate(system_usd: dict[str, float], gpus: dict[str, int], uses: Sequence[GpuTime]) -> tuple[Share, ...]:
    """Rows (label: purpose, parent: service). The largest row takes the rounding, so that they sum to the total."""
    rows = []
    for use in uses:
        usd = system_usd[use.system] * use.gpus / gpus[use.system]
        rows += [Share(p, usd * s, use.name) for p, s in zip(PURPOSES, split_time(use), strict=True)]
    taken = {name: sum(u.gpus for u in uses if u.system == name) for name in gpus}
    spare = math.fsum(usd * (1 - taken[name] / gpus[name]) for name, usd in system_usd.items())
    return _closed((*rows, Share(UNUSED, spare)), math.fsum(system_usd.values()))


def _closed(rows: tuple[Share, ...], total: float) -> tuple[Share, ...]:
    largest = max(range(len(rows)), key=lambda i: rows[i].value)
    rest = math.fsum(row.value for i, row in enumerate(rows) if i != largest)
    kept = rows[largest]
    return (*rows[:largest], Share(kept.label, total - rest, kept.parent), *rows[largest + 1 :])


def in_parts(values: Sequence[float], per_usd: int = 100) -> tuple[int, ...]:
    """Dollars as whole cents (or finer) whose sum is the rounded total: largest remainders are rounded up.

    >>> in_parts([0.333, 0.333, 0.334])
    (33, 33, 34)
    """
    parts = [math.floor(v * per_usd) for v in values]
    missing = round(math.fsum(values) * per_usd) - sum(parts)
    by_remainder = sorted(range(len(values)), key=lambda i: (parts[i] - values[i] * per_usd, i))
    for i in by_remainder[:missing]:
        parts[i] += 1
    return tuple(parts)
