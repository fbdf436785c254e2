"""How many cases have each feature at work: something was decided by it, not merely switched on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from reference_books import BookedReference, service_counts

from tokenworks.twin import cell as c

POLICIES = {
    c.ROUND_ROBIN: "round robin", c.RANDOM: "random", c.LEAST_LOADED: "least loaded", c.POWER_OF_TWO: "power of two",
    c.SESSION: "session affinity", c.KV_AWARE: "KV-aware",
}  # fmt: skip
FEATURES = (
    *POLICIES.values(), "preemption", "prefix hit", "tier demotion", "tier reload", "disaggregation", "recompute after transfer",
    "ranks in lock-step", "priorities", "timeout", "queue full", "too long", "speculation", "level down", "level up", "another limit", "closed loop",
    "think time", "unordered clients", "promise kept", "promise broken", "key limits", "reserved output", "prefill alone",
    "receive interval", "planned ahead", "horizon", "timeline", "warm-up",
)  # fmt: skip


class WatchedReference(BookedReference):
    """Notes every feature at the moment at which it decides something."""

    def __init__(self, *case: Any):
        super().__init__(*case)
        self.seen: set[str] = set()
        self.first_loads = [r.arrival for r in self.requests[: self.options.clients]]

    def note(self, feature: str, happens: object) -> None:
        if happens:
            self.seen.add(feature)

    def _pick(self, request: Any, pool: tuple[int, ...], matching: bool) -> int:
        plan, some = self.cell.services[request.service], self.options.clients
        session = plan.policy != c.SESSION or request.session >= 0
        loads = {self.workers[w].outstanding for w in pool}
        self.note(POLICIES[plan.policy], len(loads) > 1 and session)
        self.note("closed loop", 0 < some <= request.number)
        self.note("think time", 0 < some <= request.number and request.think)
        return super()._pick(request, pool, matching)

    def _enqueue(self, rank: Any, request: Any, front: bool) -> None:
        self.note("priorities", rank.queue and rank.queue[-1].priority > request.priority)
        self.note("recompute after transfer", front and self.cell.services[request.service].decode)
        super()._enqueue(rank, request, front)

    def _pin(self, worker: Any, rank: Any, request: Any, run: Any) -> None:
        self.note("tier reload", any(unit.tier for unit in run))
        super()._pin(worker, rank, request, run)

    def _demote(self, worker: Any, rank: Any, unit: Any) -> None:
        super()._demote(worker, rank, unit)
        self.note("tier demotion", unit.tier)

    def _begin(self, worker: Any, now: int) -> None:
        k = worker.model.receive_interval
        closed = k > 1 and worker.step % k and any(r.decoding for rank in worker.ranks for r in rank.running)
        self.note("receive interval", closed and any(rank.queue for rank in worker.ranks))
        late = [r for rank in worker.ranks for r in rank.queue if r.arrival > worker.start]
        self.note("planned ahead", worker.model.plans_ahead and late and any(rank.running for rank in worker.ranks))
        super()._begin(worker, now)

    def _end_step(self, worker: Any, now: int) -> None:
        model, running = worker.model, [r for rank in worker.ranks for r in rank.running]
        self.note("ranks in lock-step", sum(bool(rank.running) for rank in worker.ranks) > 1)
        self.note("speculation", any(r.decoding and self._growth(r) > 1 for r in running if r.steps))
        self.note("key limits", any(0 < limit < max(r.stored for r in running) for limit in model.limits))
        self.note("reserved output", model.reserve_output)
        self.note("prefill alone", model.prefill_alone and worker.mixed and any(r.decoding for r in running if r.steps))
        super()._end_step(worker, now)

    def _control(self, now: int) -> None:
        before = [worker.wanted for worker in self.workers]
        super()._control(now)
        for worker, old in zip(self.workers, before, strict=True):
            self.note("level down", worker.wanted > old)
            self.note("level up", worker.wanted < old)

    def _side(self, x: int, cap: c.PowerCap, joules: float, now: int) -> int:
        owed = list(self.owed)
        other = super()._side(x, replace(cap, steps=()), joules, now)
        self.owed = [0.0] * len(owed)
        free = super()._side(x, cap, joules, now)
        self.owed = owed
        side = super()._side(x, cap, joules, now)
        self.note("another limit", side != other)
        self.note("power owed", side != free)
        return side

    def _end_transfer(self, request: Any, now: int) -> None:
        self.note("disaggregation", True)
        super()._end_transfer(request, now)

    def run(self) -> int:
        end = super().run()
        for s, plan in enumerate(self.cell.services):
            finished, inside, kept, _, cached, _, preempted = service_counts(self, s)
            promise = plan.slo_ttft_ticks or plan.slo_tpot_ticks or plan.slo_e2e_ticks
            self.note("preemption", preempted)
            self.note("prefix hit", cached)
            self.note("timeout", self.timed_out[s])
            self.note("queue full", self.rejected_full[s])
            self.note("too long", self.rejected_long[s])
            self.note("promise kept", promise and kept)
            self.note("promise broken", promise and kept < finished)
            self.note("horizon", self.options.horizon_ticks and inside)
        self.note("unordered clients", self.first_loads != sorted(self.first_loads))
        self.note("timeline", self.options.buckets and self.spans)
        early = [r.arrival < self.options.warmup_ticks for r in self.requests if r.status == c.FINISHED]
        self.note("warm-up", any(early) and not all(early))
        return end


def coverage(case: Any, seeds: Iterable[int]) -> Counter[str]:
    """Cases by feature."""
    found = Counter(dict.fromkeys(FEATURES, 0))
    for seed in seeds:
        slow = WatchedReference(*case(seed))
        slow.run()
        found.update(slow.seen)
    return found
