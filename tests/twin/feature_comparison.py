"""Kernel against reference on the feature cases."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from feature_cases import feature_case

from tokenworks.events.requests import Requests
from tokenworks.twin.cell import Cell, TwinOptions
from tokenworks.twin.reference_features import FeatureReference, latencies_of
from tokenworks.twin.simulate import simulate

Case = Callable[[int], tuple[Cell, Requests, TwinOptions]]


def feature_differences(seed: int, case: Case = feature_case) -> list[str]:
    """Every figure in which kernel and reference disagree on a feature case."""
    cell, load, options = case(seed)
    slow, fast, found = FeatureReference(cell, load, options), simulate(cell, load, options), []

    def same(name: str, a: object, b: object) -> None:
        if not np.array_equal(np.asarray(a), np.asarray(b)):
            found.append(f"{name}: reference {np.asarray(a).tolist()}, kernel {np.asarray(b).tolist()}"[:600])

    same("end", slow.run(), fast.end_ticks)
    theirs, log = latencies_of(slow.requests), fast.log
    for k, name in enumerate(("first_token", "finish", "status", "produced", "cached", "preemptions", "worker")):
        same(name, theirs[:, k], getattr(log, name))
    names = ("steps", "decode_steps", "busy", "prefill_tokens", "decode_tokens", "batch_steps", "joules", "level_ticks")
    for name in names:
        ours = np.array([getattr(w, name) for w in slow.workers])
        mine = getattr(fast.workers, {"busy": "busy_ticks", "joules": "dynamic_uj"}.get(name, name))
        same(name, ours[:, : mine.shape[1]] if mine.ndim == 2 else ours, mine)
    for s, stats in enumerate(fast.services):
        counters = (stats.arrived, stats.rejected_queue_full, stats.rejected_too_long, stats.timed_out)
        same("counters", (slow.arrived[s], slow.rejected_full[s], slow.rejected_long[s], slow.timed_out[s]), counters)
    return found
