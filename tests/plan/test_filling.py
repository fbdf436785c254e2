"""Goodput: each pair of pools at the highest rate that the limits allow, compared with all numbers of workers of both."""

from dataclasses import replace

import numpy as np
import pytest
from test_pairing import market as pools

from tokenworks.plan.candidates import NONE, aggregated
from tokenworks.plan.choose import search
from tokenworks.plan.filling import at_rates
from tokenworks.plan.limits import all_kept, shared_needs
from tokenworks.plan.market import columns
from tokenworks.plan.pairing import joined_pools
from tokenworks.plan.reading import loads
from tokenworks.plan.table import table

TEXT = """demand: most
site: {{cooling: liquid}}
services: [{{name: a, model: llama-3.1-8b}}]
workload: [{{service: a, arrivals: {{kind: poisson}}, rate: 1/s}}]
may_use: {{systems: [{systems}]}}
limits: {{{limits}}}
objective: goodput
"""
LIMITS = (
    "gpus: 72",
    "systems: 3",
    "power: {budget: 150 kW, scope: facility}",
    "power: {budget: 30 kW, scope: board}, gpus: 144",
    "capex: 8 M",
    "gpus: 144, availability: {share: 99%}",
)
MOST = 300  # workers of a pool that are looked at


def market(seed, limits):
    """Pools with made-up figures, as for pairs at a rate; no objective of latency."""
    given = pools(seed)
    systems = ", ".join(k.system for k in given.spaces[0].kinds)
    return replace(given, demand=loads(TEXT.format(systems=systems, limits=limits)))


def kept(m, t):
    return all_kept(shared_needs(m.demand, columns(m, (t,), np.arange(len(t))[:, None])), len(t))


def highest(m, row, unit):
    """By looking at all numbers of workers: the highest rate that keeps the limits, 0 where none does."""
    space, able = m.spaces[0], m.spaces[0].wide.requests_s * (1 - m.demand.headroom)
    p, d = (n.ravel().astype(float) for n in np.meshgrid(np.arange(1, MOST + 1), np.arange(1, MOST + 1)))
    i, j = int(unit.prefill[row]), int(unit.main[row])
    if i == NONE:
        rate, same = np.arange(1.0, MOST + 1) * able[j], np.full(MOST, j)
        t = aggregated(space, int(unit.kind[row]), same, rate, m.demand.headroom, 1.0)
    else:
        rate = np.minimum(p * able[i], d * able[j])
        t = joined_pools(space, int(unit.kind[row]), np.full(len(p), i), np.full(len(p), j), rate, m.demand.headroom, 1.0)  # fmt: skip
    return float(np.max(np.where(kept(m, t), rate, 0.0)))


@pytest.mark.parametrize("limits", LIMITS)
@pytest.mark.parametrize("seed", range(3))
def test_every_pair_is_filled_as_far_as_any_numbers_of_workers_go(seed, limits):
    m = market(seed, limits)
    unit, full = table(m.spaces[0], None, m.demand.headroom), m.laid().tables[0]
    assert (full.prefill == unit.prefill).all()
    fits = kept(m, full)
    assert fits.any()
    looked_at = range(0, len(unit), max(1, len(unit) // 12))
    for row in looked_at:
        best = highest(m, row, unit)
        assert fits[row] == (best > 0)
        if best:
            assert full.rate_s[row] == pytest.approx(best, rel=1e-9)
            assert max(full.workers[row], full.prefill_workers[row]) < MOST  # else more would have to be looked at


def test_pools_of_unequal_workers_keep_pace_with_each_other():
    """Neither pool has a worker more than the rate needs, and in many pairs it is no repetition of one to few."""
    m = market(0, "gpus: 64")
    t = m.laid().tables[0]
    able = m.spaces[0].wide.requests_s * (1 - m.demand.headroom)
    assert (t.workers == np.ceil(t.rate_s / able[t.main] - 1e-9)).all()
    assert (t.prefill_workers == np.ceil(t.rate_s / able[t.prefill] - 1e-9)).all()
    few, many = np.minimum(t.workers, t.prefill_workers), np.maximum(t.workers, t.prefill_workers)
    assert (many % few > 0).mean() > 0.2


def test_what_no_limit_allows_is_one_worker_of_the_slower_pool():
    m = market(1, "power: {budget: 100 W, scope: facility}")
    t = m.laid().tables[0]
    assert not kept(m, t).any()
    assert not search(m.laid()).feasible
    assert (np.minimum(t.workers, t.prefill_workers) == 1).all()


def test_a_table_at_its_own_rates_is_itself():
    m = pools(2)
    space, rate_s = m.spaces[0], m.spaces[0].asked.rate_s
    t = table(space, rate_s, 0.15)
    again = at_rates(space, t, np.full(len(t), rate_s), 0.15, 1.0)
    for name in vars(t):
        assert (getattr(t, name) == getattr(again, name)).all(), name
