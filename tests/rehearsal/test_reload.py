"""Prefix blocks reloaded from slower tiers: their time is in the books, and cached input pays it."""

import pytest

from tokenworks import spec
from tokenworks.economics.allocation import UNUSED
from tokenworks.rehearsal.demand import as_one, demands
from tokenworks.rehearsal.plant import plant
from tokenworks.rehearsal.play import outcome, play
from tokenworks.rehearsal.use import physical_run

FACTORY = """
factory: tight
site: {region: us-central}
systems: [{id: box, system: hgx-h100, count: 1}]
services:
  - {name: chat, model: llama-3.3-70b, precision: fp8, kv_precision: fp8, engine: vllm, tp: 1, prefix_cache: true, routing: session,
     kv_tiers: [{name: host, capacity: 100 GB, bandwidth: BANDWIDTH}]}
workload:
  - {service: chat, arrivals: {kind: poisson}, sessions: {turns: 4, gap: 20 s}, input: {kind: fixed, mean: 600}, output: {kind: fixed, mean: 60}, scale: 2 req/s}
run: {horizon: 3 min, warmup: 0 s, seed: 4}
"""


def books_at(bandwidth):
    """The result of the factory, what its service used, and the twin's own figures."""
    made = plant(spec.loads(FACTORY.replace("BANDWIDTH", bandwidth)))
    sustainable, streams, notes = demands(made)
    offered = as_one(streams)
    twin = play(made, offered.for_run(made.factory.run))
    use = physical_run(made, twin, offered.head, made.factory.run.horizon_s).services[0]
    return outcome(made, twin, offered.head, sustainable, notes), use, twin.workers


@pytest.fixture(scope="module")
def slow():
    return books_at("1 GB/s")


def test_reload_is_the_share_of_busy_time_that_the_twin_counted(slow):
    _, use, workers = slow
    assert use.reload_share == pytest.approx(workers.reload_ticks.sum() / workers.busy_ticks.sum())
    assert 0.02 < use.reload_share < 1 - use.prefill_share - use.prompt_share - use.cached_share


def test_a_slower_tier_makes_cached_input_dearer(slow):
    """Same requests, same prefixes: the price of a cached token rises by what its reload takes."""
    quick, use, _ = books_at("1000 GB/s")
    assert use.reload_share < 0.001
    result, slow_use, _ = slow
    cached = next(r.value for r in result.money.allocation if r.label == "cached input")
    busy_usd = sum(r.value for r in result.money.allocation if r.label not in ("idle", UNUSED))
    assert cached / busy_usd == pytest.approx(slow_use.reload_share + slow_use.cached_share)
    assert result.money.usd_per_mtok_cached > 1.5 * quick.money.usd_per_mtok_cached
