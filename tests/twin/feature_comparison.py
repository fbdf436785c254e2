"""Kernel against reference on the feature cases: every request, counter, histogram bin and bucket."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from feature_cases import feature_case
from reference_books import (
    COUNTS,
    SAMPLED,
    BookedReference,
    busy_buckets,
    event_buckets,
    joule_buckets,
    latency_books,
    service_counts,
    static_of,
)

from tokenworks.events.requests import Requests
from tokenworks.twin.cell import WAITING, Cell, TwinOptions, TwinResult
from tokenworks.twin.columns import T_BUSY, T_JOULES
from tokenworks.twin.reference_features import latencies_of
from tokenworks.twin.simulate import UNLIMITED_LEAP, Run

Case = Callable[[int], tuple[Cell, Requests, TwinOptions]]
Same = Callable[[str, object, object], None]
WORKER_COUNTS = (
    "steps", "decode_steps", "busy", "prefill_tokens", "decode_tokens", "batch_steps", "reloaded", "joules", "level_ticks",
)  # fmt: skip
KERNEL_NAMES = {"busy": "busy_ticks", "joules": "dynamic_uj", "reloaded": "reload_ticks"}


def feature_differences(seed: int, case: Case = feature_case) -> list[str]:
    """Every figure in which kernel and reference disagree on a feature case."""
    cell, load, options = case(seed)
    slow, run, found = BookedReference(cell, load, options), Run(cell, load, options, UNLIMITED_LEAP), []
    run.play(lambda: False)
    fast = run.result()

    def same(name: str, a: object, b: object) -> None:
        if not np.array_equal(np.asarray(a), np.asarray(b)):
            found.append(f"{name}: reference {np.asarray(a).tolist()}, kernel {np.asarray(b).tolist()}"[:600])

    end = slow.run()
    same("end", end, fast.end_ticks)
    compare_requests(slow, fast, same)
    compare_workers(slow, fast, end, same)
    compare_services(slow, fast, same)
    if options.buckets:
        compare_timeline(slow, run, fast, end, same)
    return found


def compare_requests(slow: BookedReference, fast: TwinResult, same: Same) -> None:
    theirs, log = latencies_of(slow.requests), fast.log
    for k, name in enumerate(("first_token", "finish", "status", "produced", "cached", "preemptions", "worker")):
        same(name, theirs[:, k], getattr(log, name))
    came = [r.number for r in slow.requests if r.status != WAITING]
    same("arrival", [slow.requests[i].arrival for i in came], log.arrival[came])


def compare_workers(slow: BookedReference, fast: TwinResult, end: int, same: Same) -> None:
    for name in WORKER_COUNTS:
        ours = np.array([getattr(w, name) for w in slow.workers])
        mine = getattr(fast.workers, KERNEL_NAMES.get(name, name))
        same(name, ours[:, : mine.shape[1]] if mine.ndim == 2 else ours, mine)
    same("static", static_of(slow, end), fast.workers.static_uj)
    same("off", [slow.off_until(w, end) for w in range(len(slow.workers))], fast.workers.off_ticks)
    life = fast.replicas and list(
        zip(*(getattr(fast.replicas, n).tolist() for n in ("tick", "worker", "state")), strict=True)
    )
    same("replicas", sorted(slow.life, key=lambda row: row[:2]), life or [])


def compare_services(slow: BookedReference, fast: TwinResult, same: Same) -> None:
    for s, stats in enumerate(fast.services):
        counters = (stats.arrived, stats.rejected_queue_full, stats.rejected_too_long, stats.timed_out)
        same("arrivals", (slow.arrived[s], slow.rejected_full[s], slow.rejected_long[s], slow.timed_out[s]), counters)
        for name, ours, mine in zip(COUNTS, service_counts(slow, s), (getattr(stats, n) for n in COUNTS), strict=True):
            same(name, ours, mine)
        for name, (counts, total, most) in latency_books(slow, s).items():
            same(f"{name} histogram", counts, getattr(stats, f"{name}_counts"))
            same(f"{name} sum", (total, most), (getattr(stats, f"{name}_sum"), getattr(stats, f"{name}_max")))


def compare_timeline(slow: BookedReference, run: Run, fast: TwinResult, end: int, same: Same) -> None:
    line, raw, events = fast.timeline, run.books.line, event_buckets(slow)
    for name in ("arrived", "finished", "output_tokens"):
        same(f"{name} by bucket", events[name], getattr(line, name))
    for name in SAMPLED:
        same(f"{name} by bucket", np.array([x[name] for x in slow.samples]).T, getattr(line, name))
    same("microjoules by bucket", events["microjoules"], raw[T_JOULES])
    same("busy ticks by bucket", busy_by_variant(slow, run), raw[T_BUSY:])
    same("joules by bucket", joule_buckets(slow, end), line.joules)


def busy_by_variant(slow: BookedReference, run: Run) -> np.ndarray:
    """Busy ticks by (clock level of a model, service, bucket), as the kernel keeps them."""
    found = np.zeros_like(run.books.line[T_BUSY:])
    for w, levels in enumerate(busy_buckets(slow)):
        first = run.tables.first[slow.cell.workers[w]]
        for level, buckets in enumerate(levels):
            found[first + level, slow.workers[w].service] += buckets
    return found
