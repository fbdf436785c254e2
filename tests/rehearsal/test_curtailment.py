"""A power budget that changes within the run: clocks follow it, tokens follow the clocks."""

import math

import pytest

from tokenworks import spec
from tokenworks.economics.power import rolling_means
from tokenworks.rehearsal.demand import as_one, demands
from tokenworks.rehearsal.plant import board_budget_w, plant
from tokenworks.rehearsal.play import play
from tokenworks.rehearsal.run import rehearse

# A peak is a mean over ten seconds: an interval that draws little lets the clocks rise for the next one.

FACTORY = """
factory: evening
site:
  power: {POWER}
  curtailment: [{from: "17:00", to: "17:02", budget: 3100 W}]
  region: us-central
systems: [{id: box, system: hgx-h100, count: 1}]
services: [{name: chat, model: llama-3.1-8b, precision: bf16, engine: vllm, tp: 1, max_waiting: 400}]
workload:
  - {service: chat, arrivals: {kind: poisson}, input: {kind: fixed, mean: 200}, output: {kind: fixed, mean: 150}, scale: 120% of sustainable}
run: {horizon: 6 min, warmup: 0 s, start: "16:58", seed: 3}
"""


def factory(power, curtailed="3100 W", **changes):
    made = spec.loads(FACTORY.replace("POWER", power).replace("3100 W", curtailed))
    return made.replace_all(changes) if changes else made


def within(line, values, begin_s, end_s):
    return values[(line.time_s >= begin_s) & (line.time_s + line.bucket_s <= end_s)]


@pytest.mark.parametrize("power", ["budget: 4500 W, scope: board", "budget: 0 W, scope: board"])
def test_a_run_across_a_curtailment(power):
    """Below the lower budget once the clocks are down, fewer tokens then, all of them again afterwards."""
    result = rehearse(factory(power)).result
    line, watts = result.timeline, result.timeline.board_parts_w.sum(axis=0)
    before, during, after = (within(line, watts, *w) for w in ((30, 120), (130, 240), (260, 360)))
    assert rolling_means(during, line.bucket_s, 10.0).max() < 3100.0 < before.mean()
    assert after.mean() == pytest.approx(before.mean(), rel=0.03)
    tokens = line.output_tokens_s[0]
    before, during, after = (within(line, tokens, *w).mean() for w in ((30, 120), (140, 240), (260, 360)))
    assert during < 0.95 * before
    assert after == pytest.approx(before, rel=0.03)
    assert result.power_budget_w == 3100.0


def test_the_cap_follows_the_budgets():
    made = plant(factory("budget: 0 W, scope: board"))
    (cap,) = made.cell.caps
    lower = board_budget_w(made.factory, made.replicas, 3100.0)
    assert (cap.watts, cap.steps) == (math.inf, ((120 * 10**11, lower), (240 * 10**11, math.inf)))
    assert plant(factory("budget: 0 W", **{"run.start": "12:00"})).cell.caps == ()


def test_cells_share_a_changing_budget():
    made = plant(factory("budget: 4500 W, scope: board", "3300 W", **{"run.cells": 2, "run.horizon": "4 min"}))
    _, streams, _ = demands(made)
    twin = play(made, as_one(streams).for_run(made.factory.run))
    slow = twin.workers.level_ticks[:, 1:].sum(axis=1)
    assert (slow > 0).all()
    watts = twin.timeline.joules.sum(axis=0)  # buckets of a second
    assert rolling_means(watts[130:], 1.0, 10.0).max() < 3300.0
