"""Watts of replicas by their worker models against the twin's, and a factory's pools under its site's budget."""

import math
from dataclasses import replace

import numpy as np
import pytest

from tokenworks import spec
from tokenworks.control.scaling.capacity import DECODE, PREFILL, SERVE, load_of
from tokenworks.economics.power import rolling_means
from tokenworks.errors import InputError
from tokenworks.rehearsal.demand import as_one, demands
from tokenworks.rehearsal.plant import day_budgets, plant
from tokenworks.rehearsal.play import play
from tokenworks.rehearsal.scaling import capacity_of, expected_lengths
from tokenworks.rehearsal.supply import draw_of, ranks_of
from tokenworks.twin.cell import READY

ONE = """
factory: one
systems: [{id: box, system: hgx-h100}]
services: [{name: chat, model: llama-3.1-8b, precision: fp8, workers: 1, slo: {tpot_p95: 30 ms}}]
workload:
  - {service: chat, arrivals: {kind: poisson}, input: {kind: fixed, mean: 600}, output: {kind: fixed, mean: 150}, scale: SCALE req/s}
run: {horizon: 4 min, seed: 1}
"""
TWO = """
factory: evening
site:
  power: {scope: board}
  curtailment: [{from: "17:00", to: "17:04", budget: 1500 W}]
systems: [{id: box, system: hgx-h100}]
services:
  - {name: batch, model: llama-3.1-8b, precision: fp8, workers: 4, timeout: 5 s, scaling: {min: 0, every: 5 s, calm: 20 s, start_up: 5 s}}
  - {name: chat, model: llama-3.1-8b, precision: fp8, workers: 4, timeout: 5 s, scaling: {min: 1, every: 5 s, calm: 20 s, start_up: 5 s}}
workload:
  - {service: batch, priority: 3, arrivals: {kind: poisson}, input: {kind: fixed, mean: 600}, output: {kind: fixed, mean: 150}, scale: 60% of sustainable}
  - {service: chat, arrivals: {kind: poisson}, input: {kind: fixed, mean: 600}, output: {kind: fixed, mean: 150}, scale: 60% of sustainable}
run: {horizon: 8 min, start: "16:58", seed: 1}
"""


@pytest.mark.parametrize(("share", "more"), [(0.3, ""), (0.6, ""), (0.9, ""), (0.8, "tp: 2,")])
def test_watts_of_a_replica_are_the_twins(share, more):
    """At a part of what it carries within its objective: the curve at the mean number of requests in progress, idle time
    as the model has it."""
    file = ONE.replace("workers: 1,", f"workers: 1, {more}")
    first = plant(spec.loads(file.replace("SCALE", "1")))
    lengths = expected_lengths(first.factory, "chat")
    load = load_of(capacity_of(first.models[0]), SERVE, *lengths, 0.030)
    draw = draw_of(first.models[0], SERVE, lengths, 0.030, 1)
    made = plant(spec.loads(file.replace("SCALE", f"{share * load.requests_s:.3f}")))
    twin = play(made, as_one(demands(made)[1]).for_run(made.factory.run))
    drawn_w = float((twin.workers.dynamic_uj + twin.workers.static_uj).sum()) / 1e6 / 240.0
    requests = twin.timeline.running.mean()
    modelled_w = float(np.interp(requests, np.arange(len(draw.by_requests_w)), draw.by_requests_w))
    assert drawn_w == pytest.approx(modelled_w, rel=0.05)
    assert drawn_w < 1.02 * draw.replica_w


DISAGGREGATED = """
factory: split
systems: [{id: box, system: hgx-h100}]
services: [{name: chat, model: llama-3.1-8b, precision: fp8, prefill: {workers: 2}, decode: {workers: 2}, slo: {tpot_p95: 30 ms}}]
workload:
  - {service: chat, arrivals: {kind: poisson}, input: {kind: fixed, mean: 600}, output: {kind: fixed, mean: OUTPUT}, scale: 20 req/s}
run: {horizon: 2 min, seed: 1}
"""


@pytest.mark.parametrize("output", [1, 150])
def test_pools_of_prefill_and_decode_draw_what_boards_can(output):
    """Between idle and the board's limit, but for the rounding of tables; idle without requests."""
    made = plant(spec.loads(DISAGGREGATED.replace("OUTPUT", str(output))))
    lengths = expected_lengths(made.factory, "chat")
    draw = [draw_of(m, role, lengths, 0.030, 1) for m, role in zip(made.models, (PREFILL, DECODE), strict=True)]
    for one in draw:
        assert 70.0 < one.replica_w <= 700.0 * (1 + 1e-6)
        assert one.by_requests_w[0] == 70.0
        assert (one.by_requests_w[1:] > 70.0).all()
        assert one.by_requests_w.max() <= 700.0 * (1 + 1e-6)


def test_a_replica_draws_less_where_clocks_may_fall():
    made = plant(spec.loads(TWO))
    full = plant(spec.loads(TWO), clocks=False)
    assert full.cell.caps == ()
    assert len(full.models[0].levels) == 1
    assert made.draws[0].replica_w < 0.8 * full.draws[0].replica_w


def test_the_day_and_the_order_of_a_factory():
    made = plant(spec.loads(TWO))
    lower = 1500.0
    day = day_budgets(made.factory, made.replicas)
    assert [(at, math.isinf(w)) for at, w in day] == [(0.0, True), (17 * 3600.0, False), (17 * 3600 + 240.0, True)]
    assert day[1][1] == pytest.approx(lower, rel=0.01)
    assert made.cell.budget.begins_s == 16 * 3600 + 58 * 60
    assert [pool.rank for pool in made.cell.budget.pools] == [1, 0]
    assert ranks_of(spec.loads(TWO.replace("priority: 3, ", ""))) == [0, 1]
    assert plant(spec.loads(TWO).replace("site.curtailment", ())).cell.budget is None


def test_a_run_begins_with_what_the_budget_feeds():
    made = plant(spec.loads(TWO.replace('"16:58"', '"17:01"')))
    start = {p.service: p.rules.start for p in made.cell.scaling}
    assert start[1] == 4
    assert start[0] == 0


def test_a_run_through_a_curtailment():
    """The least urgent service gives its replicas up in it and gets them back; what all draw stays below the budget, which
    the lowest clocks of all would break. A peak is a mean over ten seconds, as in test_curtailment.py."""
    made = plant(spec.loads(TWO))
    _, sources, _ = demands(made)
    twin, free = (play(m, as_one(sources).for_run(made.factory.run)) for m in (made, made_without(made)))
    during = slice(135 // 2, 355 // 2)  # buckets of two seconds; from 17:00:15, for clocks and replicas to follow
    watts, all_up = (rolling_means(t.timeline.joules.sum(axis=0)[during] / 2.0, 2.0, 10.0) for t in (twin, free))
    assert watts.max() < 1500.0 < all_up.min()
    log = twin.replicas
    at_s = log.tick / 1e11
    batch = np.isin(log.worker, made.cell.services[0].workers)
    assert (batch & (log.state == READY) & (at_s > 360)).any()
    during_s = (at_s > 120) & (at_s < 360)
    assert not (batch & (log.state == READY) & during_s).any()
    assert twin.services[1].within_slo > 2 * twin.services[0].within_slo


def made_without(made):
    return replace(made, cell=replace(made.cell, budget=None))


def test_a_budget_for_no_replica_is_named():
    small = TWO.replace("{scope: board}", "{scope: board, budget: 700 W}").replace("1500 W", "600 W")
    with pytest.raises(InputError, match=r"service batch: a replica draws 0\.3\d* kW .* it could never start"):
        plant(spec.loads(small))
