"""Replicas that start and stop: kernel and reference agree by ==, and the cases reach what they are for."""

from dataclasses import replace

import numpy as np
import pytest
from agreement import disagreements
from feature_comparison import feature_differences
from reference_books import BookedReference
from scaling_cases import scaling_case

from tokenworks.errors import InputError
from tokenworks.twin.cell import DRAINING, FINISHED, LOADING, OFF, READY
from tokenworks.twin.simulate import simulate


@pytest.mark.parametrize("block", range(2))
def test_kernel_equals_reference_with_scaling(block):
    """Every request, counter, bucket, off tick and change of every replica."""
    assert not {s: found for s in range(block * 40, block * 40 + 40) if (found := feature_differences(s, scaling_case))}


@pytest.mark.prove
def test_kernel_equals_reference_with_scaling_at_full_size(record_property):
    assert not [s for s in range(10_000, 13_000) if feature_differences(s, scaling_case)]
    record_property("figure", "3,000 random cells that scale, every figure by ==")


def test_leaps_equal_single_steps_while_replicas_come_and_go():
    for seed in range(30):
        case = scaling_case(seed)
        assert disagreements(simulate(*case), simulate(*case, max_leap=1)) == [], seed


class Watched(BookedReference):
    """Notes what scaling did."""

    def __init__(self, *case):
        self.seen = set()
        super().__init__(*case)

    def _set(self, w, state, now):
        change = (self.state[w], state) if now else None
        names = {(DRAINING, READY): "drain undone", (LOADING, OFF): "start undone", (OFF, LOADING): "cold start"}
        self.seen.add(names.get(change))
        busy = self.workers[w].outstanding
        if change == (READY, DRAINING) and busy:
            self.seen.add("drains with work")
        if state == OFF and any(rank.units for rank in self.workers[w].ranks):
            self.seen.add("cache lost")
        super()._set(w, state, now)

    def _send(self, request, now):
        super()._send(request, now)
        if request in self.held:
            self.seen.add("held")
        elif request.arrival < now:
            self.seen.add("routed late")

    def _idle_ticks(self, w, busy):
        ticks = super()._idle_ticks(w, busy)
        if ticks < self.options.control_ticks - busy:
            self.seen.add("off under a cap")
        return ticks

    def _retire(self, w, now):
        if (
            self.state[w] == DRAINING
            and not self.workers[w].outstanding
            and any(m[2].place[0] == w for m in self.moving)
        ):
            self.seen.add("waits for transfers")
        super()._retire(w, now)


def test_the_cases_reach_what_they_are_for():
    count = dict.fromkeys(
        ["drain undone", "start undone", "cold start", "drains with work", "cache lost", "held", "routed late",
         "off under a cap", "waits for transfers"], 0,
    )  # fmt: skip
    for seed in range(100):
        slow = Watched(*scaling_case(seed))
        slow.run()
        for name in slow.seen & set(count):
            count[name] += 1
    assert min(count.values()) >= 3, count


def test_a_pool_that_never_changes_is_a_fixed_one():
    """Scaling with least = most changes no figure."""
    seen = 0
    for seed in range(40):
        cell, load, options = scaling_case(seed)
        still = [
            replace(p, rules=p.rules._replace(least=n, most=n, start=n))
            for p, n in zip(cell.scaling, sizes(cell), strict=True)
        ]
        fixed = simulate(replace(cell, scaling=()), load, options)
        scaled = simulate(replace(cell, scaling=tuple(still)), load, options)
        assert disagreements(replace(scaled, replicas=None), fixed) == []
        seen += len(still)
    assert seen > 20


def sizes(cell):
    pools = [(cell.services[p.service], p.rules.role) for p in cell.scaling]
    return [len((s.workers, s.prefill, s.decode)[role]) for s, role in pools]


def test_a_replica_that_is_off_draws_nothing():
    """A cell without a request until long after its only replica stopped: idle draw up to then, and while it loads."""
    for seed in range(200):
        cell, load, options = scaling_case(seed)
        result = simulate(cell, load, options)
        off = result.workers.off_ticks
        idle = [round(cell.models[m].idle_w * 10**6) for m in cell.workers]
        quiet = np.flatnonzero((result.workers.steps == 0) & (off > 0))
        for w in quiet:
            assert result.workers.static_uj[w] == idle[w] * (result.end_ticks - int(off[w])) // 10**11
        if len(quiet) and (result.log.status == FINISHED).any():
            return
    raise AssertionError("no case has a replica that was off and never stepped")


def test_impossible_numbers_of_replicas_are_named():
    cell, load, options = scaling_case(0)
    plan = cell.scaling[0]
    with pytest.raises(InputError, match="do not fit a pool of"):
        simulate(replace(cell, scaling=(replace(plan, rules=plan.rules._replace(most=99)),)), load, options)


def test_shares_of_requests_still_add_up():
    """Per worker: ticks of requests, lost and idle are the run; joules of requests, lost and idle are what it drew, none while off."""
    for seed in range(25):
        cell, load, options = scaling_case(seed)
        result = simulate(cell, load, replace(options, allocate=True))
        shares, w = result.allocation, result.workers
        ticks = np.zeros(len(cell.workers), np.int64)
        for worker, own in (
            (shares.prefill_worker, shares.prefill_ticks),
            (shares.worker, shares.ticks - shares.prefill_ticks),
        ):
            np.add.at(ticks, worker[worker >= 0], own[worker >= 0])
        assert (ticks + shares.lost_ticks + shares.idle_ticks == result.end_ticks).all()
        total = int(shares.energy_uj.sum() + shares.lost_uj.sum() + shares.idle_uj.sum())
        assert total == int(w.dynamic_uj.sum() + w.static_uj.sum())
        assert (shares.idle_uj >= -1).all()
