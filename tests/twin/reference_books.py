"""The books of the reference simulator: statistics of services and the timeline, from the words of the page alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from tokenworks.twin import cell as c
from tokenworks.twin.reference_scaling import ScalingReference
from tokenworks.twin.statistics import BINS, EDGES

COUNTS = ("finished", "in_system", "within_slo", "input_tokens", "cached_tokens", "output_tokens", "preemptions")
SAMPLED = ("waiting", "running", "blocks")


class BookedReference(ScalingReference):
    """Keeps what each step was and the state at the ends of buckets."""

    def __init__(self, *case: Any):
        super().__init__(*case)
        self.spans: list[tuple[Any, int, int, int, int, int]] = []  # worker, level, start, end, tokens, microjoules
        self.samples: list[dict[str, list[int]]] = []

    def run(self) -> int:
        end = super().run()
        while len(self.samples) < self.options.buckets:
            self.samples.append(self._state())
        return end

    def _handle(self, now: int) -> None:
        self._sample(now)
        super()._handle(now)

    def _scale(self, now: int) -> None:
        self._sample(now)
        super()._scale(now)

    def _sample(self, now: int) -> None:
        while len(self.samples) < self.options.buckets and (len(self.samples) + 1) * self.options.bucket_ticks <= now:
            self.samples.append(self._state())

    def _state(self) -> dict[str, list[int]]:
        found = {name: [0] * len(self.cell.services) for name in SAMPLED}
        for worker in self.workers:
            for rank in worker.ranks:
                unused = rank.free + self._unit(worker) * len(rank.lru[0])
                found["waiting"][worker.service] += len(rank.queue)
                found["running"][worker.service] += len(rank.running)
                found["blocks"][worker.service] += worker.model.kv_blocks - unused
        for request in self.held:
            found["waiting"][request.service] += 1
        return found

    def _end_step(self, worker: Any, now: int) -> None:
        level, start, before = worker.level, worker.start, worker.joules
        produced = sum(r.produced for r in self.requests)
        super()._end_step(worker, now)
        tokens = sum(r.produced for r in self.requests) - produced
        self.spans.append((worker, level, start, now, tokens, worker.joules - before))


def service_counts(slow: BookedReference, s: int) -> tuple[int, ...]:
    """COUNTS of a service."""
    plan, mine = slow.cell.services[s], [r for r in slow.requests if r.service == s]
    done = [r for r in mine if r.status == c.FINISHED]
    return (
        len(done),
        sum(r.status == c.IN_SYSTEM for r in mine),
        sum(_met(r, plan) for r in done),
        sum(r.prompt for r in done),
        sum(max(0, r.cached) for r in done),
        sum(r.produced for r in mine),
        sum(r.preemptions for r in mine),
    )


def _tpot(r: Any) -> int:
    return int((r.finish - r.first) // (r.output - 1))


def _met(r: Any, plan: c.ServicePlan) -> bool:
    """Every objective that is set and that the request has."""
    kept = [r.first - r.arrival <= plan.slo_ttft_ticks or not plan.slo_ttft_ticks]
    kept.append(r.finish - r.arrival <= plan.slo_e2e_ticks or not plan.slo_e2e_ticks)
    if r.output > 1 and plan.slo_tpot_ticks:
        kept.append(_tpot(r) <= plan.slo_tpot_ticks)
    return all(kept)


def latency_books(slow: BookedReference, s: int) -> dict[str, tuple[np.ndarray, int, int]]:
    """(counts over the bins, sum, maximum) of TTFT, TPOT and E2E of the requests that arrived after the warm-up."""
    mine = [r for r in slow.requests if r.service == s and r.arrival >= slow.options.warmup_ticks]
    done = [r for r in mine if r.status == c.FINISHED]
    return {
        "ttft": _book([r.first - r.arrival for r in mine if r.first >= 0]),
        "tpot": _book([_tpot(r) for r in done if r.output > 1]),
        "e2e": _book([r.finish - r.arrival for r in done]),
    }


def _book(ticks: list[int]) -> tuple[np.ndarray, int, int]:
    bins = np.searchsorted(EDGES, ticks, side="right")
    return np.bincount(bins, minlength=BINS), sum(ticks), max(ticks, default=0)


def event_buckets(slow: BookedReference) -> dict[str, np.ndarray]:
    """Events by service and bucket; those after the last bucket are in none."""
    size, shape = slow.options.bucket_ticks, (len(slow.cell.services), slow.options.buckets)
    found = {name: np.zeros(shape, np.int64) for name in ("arrived", "finished", "output_tokens", "microjoules")}

    def book(name: str, s: int, tick: int, count: int) -> None:
        if tick // size < slow.options.buckets:
            found[name][s, tick // size] += count

    for r in slow.requests:
        if r.status != c.WAITING:
            book("arrived", r.service, r.arrival, 1)
        if r.status == c.FINISHED:
            book("finished", r.service, r.finish, 1)
    for worker, _, _, end, tokens, microjoules in slow.spans:
        book("output_tokens", worker.service, end, tokens)
        book("microjoules", worker.service, end, microjoules)
    return found


def busy_buckets(slow: BookedReference) -> list[list[list[list[int]]]]:
    """Busy ticks by (worker, level, bucket), spread exactly over what a step covers."""
    size, buckets = slow.options.bucket_ticks, slow.options.buckets
    busy = [[[0] * buckets for _ in worker.model.levels] for worker in slow.workers]
    place = {id(worker): w for w, worker in enumerate(slow.workers)}
    for worker, level, start, end, _, _ in slow.spans:
        for b in range(start // size, min(buckets, end // size + 1)):
            busy[place[id(worker)]][level][b] += max(0, min(end, (b + 1) * size) - max(start, b * size))
    return busy


def microwatts(watts: float) -> int:
    return round(watts * 10**6)


def joule_buckets(slow: BookedReference, end: int) -> np.ndarray:
    """Dynamic and static joules by service and bucket; static draw ends with the run."""
    size, buckets, busy = slow.options.bucket_ticks, slow.options.buckets, busy_buckets(slow)
    dynamic = event_buckets(slow)["microjoules"]
    total = [[10**11 * int(dynamic[s, b]) for b in range(buckets)] for s in range(len(slow.cell.services))]
    for w, worker in enumerate(slow.workers):
        model = worker.model
        for b in range(buckets):
            ticks = [level[b] for level in busy[w]]
            idle = min(max(end - b * size, 0), size) - sum(ticks) - off_in(slow, w, b * size, (b + 1) * size, end)
            drawn = zip(model.levels, ticks, strict=True)
            total[worker.service][b] += microwatts(model.idle_w) * idle + sum(
                microwatts(level.active_w) * x for level, x in drawn
            )
    return np.array([[x / 10**17 for x in row] for row in total])


def off_in(slow: BookedReference, w: int, start: int, stop: int, end: int) -> int:
    """Ticks between ``start`` and ``stop`` that a worker was off, by its life."""
    states = [(tick, state) for tick, who, state in slow.life if who == w]
    spans = zip(states, [*(tick for tick, _ in states[1:]), end], strict=False)
    return sum(max(0, min(until, stop) - max(tick, start)) for (tick, state), until in spans if state == c.OFF)


def static_of(slow: BookedReference, end: int) -> list[int]:
    """Static microjoules of every worker over the run."""
    found = []
    for w, worker in enumerate(slow.workers):
        model = worker.model
        ticks = worker.level_ticks[: len(model.levels)]
        drawn = sum(microwatts(level.active_w) * x for level, x in zip(model.levels, ticks, strict=True))
        found.append((drawn + microwatts(model.idle_w) * (end - worker.busy - slow.off_until(w, end))) // 10**11)
    return found
