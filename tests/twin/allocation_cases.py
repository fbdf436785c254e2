"""Kernel against the slow simulator: whose seconds and joules each step was."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
from feature_cases import feature_case

from tokenworks.twin.cell import Allocation, TwinResult
from tokenworks.twin.reference_shares import SharingReference
from tokenworks.twin.simulate import UNLIMITED_LEAP, simulate


def share_differences(seed: int, case=feature_case, max_leap: int = UNLIMITED_LEAP) -> list[str]:
    """Every array in which the allocations of kernel and slow simulator differ."""
    cell, load, options = case(seed)
    slow = SharingReference(cell, load, replace(options, allocate=True))
    ours = slow.allocation(slow.run())
    fast = simulate(cell, load, replace(options, allocate=True), max_leap).allocation
    assert fast is not None
    return unequal(ours, fast)


def unequal(a: Allocation, b: Allocation) -> list[str]:
    names = [f.name for f in fields(Allocation)]
    return [
        f"{n}: {getattr(a, n).tolist()} ≠ {getattr(b, n).tolist()}"[:500]
        for n in names
        if not np.array_equal(getattr(a, n), getattr(b, n))
    ]


def imbalances(result: TwinResult) -> list[str]:
    """Rows that do not add up: by worker in seconds and joules, in all in whole microjoules. Plain integers."""
    shares, workers, found = result.allocation, result.workers, []
    assert shares is not None
    for w in range(len(workers.steps)):
        early, late = shares.prefill_worker == w, shares.worker == w
        ticks = int(shares.prefill_ticks[early].sum()) + int((shares.ticks - shares.prefill_ticks)[late].sum())
        if ticks + int(shares.lost_ticks[w]) + int(shares.idle_ticks[w]) != result.end_ticks:
            found.append(f"ticks of worker {w}")
        idle = result.end_ticks - int(workers.busy_ticks[w])
        if not 0 <= int(shares.idle_ticks[w]) - idle <= 3:
            found.append(f"idle ticks of worker {w}: {int(shares.idle_ticks[w]) - idle} more than it idled")
    metered = sum(int(x) for x in workers.dynamic_uj) + sum(int(x) for x in workers.static_uj)
    if sum(int(x.sum()) for x in (shares.energy_uj, shares.lost_uj, shares.idle_uj)) != metered:
        found.append("microjoules")
    for name in ("ticks", "dynamic_uj", "energy_uj", "idle_ticks", "lost_ticks", "idle_uj", "lost_uj"):
        if (getattr(shares, name) < 0).any():
            found.append(f"{name} below 0")
    return found
