"""Replicas under a power budget in the twin: kernel and reference agree by ==, and starts are held back and undone."""

from dataclasses import replace

import numpy as np
import pytest
from feature_comparison import feature_differences
from power_cases import power_case

from tokenworks.twin.cell import LOADING, READY
from tokenworks.twin.simulate import simulate


@pytest.mark.parametrize("block", range(2))
def test_kernel_equals_reference_under_a_budget(block):
    """Every request, counter, bucket, off tick and change of every replica."""
    assert not {s: found for s in range(block * 20, block * 20 + 20) if (found := feature_differences(s, power_case))}


@pytest.mark.prove
def test_kernel_equals_reference_under_a_budget_at_full_size(record_property):
    assert not [s for s in range(20_000, 21_000) if feature_differences(s, power_case)]
    record_property("figure", "1,000 random cells under a power budget, every figure by ==")


def up_at_most(cell, result):
    """Watts of replicas that take requests or load, by the models, after every tick of the log."""
    state, most = {}, []
    watts = {}
    for plan, pool in zip(cell.scaling, cell.budget.pools, strict=True):
        service = cell.services[plan.service]
        for w in (service.workers, service.prefill, service.decode)[plan.rules.role]:
            watts[w] = pool.replica_w
    log = result.replicas
    for tick in np.unique(log.tick):
        for row in np.flatnonzero(log.tick == tick):
            state[int(log.worker[row])] = int(log.state[row])
        most.append((int(tick), sum(watts[w] for w, s in state.items() if s in (READY, LOADING))))
    return most


def test_no_replica_starts_beyond_the_budget():
    """One pool with a low constant budget: what is up never draws more than it, fewest replicas apart."""
    held = 0
    for seed in range(60):
        cell, load, options = power_case(seed)
        if not cell.scaling:
            continue
        least_w = sum(p.least * p.replica_w for p in cell.budget.pools)
        most_w = sum(r.rules.most * p.replica_w for r, p in zip(cell.scaling, cell.budget.pools, strict=True))
        limit_w = (least_w + most_w) / 2
        plans = tuple(replace(p, rules=p.rules._replace(start=p.rules.least)) for p in cell.scaling)
        tight = replace(cell, scaling=plans, budget=cell.budget._replace(day=((0.0, limit_w),), fixed_w=0.0))
        free = replace(tight, budget=None)
        up = up_at_most(tight, simulate(tight, load, options))
        assert max(watts for _, watts in up) <= limit_w * (1 + 1e-9)
        held += max(w for _, w in up_at_most(tight, simulate(free, load, options))) > limit_w
    assert held > 10


def test_a_budget_that_feeds_all_changes_nothing():
    for seed in range(20):
        cell, load, options = power_case(seed)
        plenty = replace(cell, budget=cell.budget._replace(day=((0.0, 1e12),)))
        with_it, without = (simulate(c, load, options) for c in (plenty, replace(cell, budget=None)))
        assert with_it.end_ticks == without.end_ticks
        assert (with_it.log.finish == without.log.finish).all()
        assert (with_it.workers.off_ticks == without.workers.off_ticks).all()


def test_replicas_stop_for_a_curtailment_and_come_back():
    """In the second third of the arrivals there is power for the fewest alone."""
    found = 0
    for seed in range(100):
        cell, load, options = power_case(seed)
        if not cell.scaling:
            continue
        third = int(load.arrival.max()) // 3
        day = ((0.0, 1e12), (third / 10**11, 1.0), (2 * third / 10**11, 1e12))
        curtailed = replace(cell, budget=cell.budget._replace(day=day))
        result = simulate(curtailed, load, options)
        least_w = sum(p.least * p.replica_w for p in cell.budget.pools)
        every = max(round(p.rules.every_s * 10**11) for p in cell.scaling)
        up = up_at_most(curtailed, result)
        assert all(watts <= least_w * (1 + 1e-9) for at, watts in up if third + every < at < 2 * third - every)
        before = [watts for at, watts in up if at <= third]
        after = [watts for at, watts in up if at >= 2 * third]
        found += max(before) > least_w and max(after, default=0.0) > least_w
    assert found > 20
