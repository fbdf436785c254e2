"""The capacity of an answer in the twin: headroom that is missing is filled up, or said to be missed."""

from dataclasses import replace

import pytest

from tokenworks.plan import confirm
from tokenworks.plan.adjust import adjusted
from tokenworks.plan.build import layout
from tokenworks.plan.choose import search
from tokenworks.plan.confirm import confirmed
from tokenworks.plan.describe import option
from tokenworks.plan.make import make_plan
from tokenworks.plan.reading import loads
from tokenworks.plan.refine import trials
from tokenworks.plan.rounds import OVERTAKERS, overtaking
from tokenworks.plan.survey import market_of
from tokenworks.plan.trial import rehearsed

TEXT = """demand: small
services: [{name: chat, model: llama-3.1-8b, engines: [vllm], precisions: [fp8], kv_precisions: [fp8], slo: {ttft_p95: 2 s, tpot_p95: 30 ms}}]
workload: [{service: chat, arrivals: {kind: poisson}, rate: 40/s, input: {kind: lognormal, mean: 600, sigma: 0.7}, output: {kind: fixed, mean: 150}}]
may_use: {systems: [hgx-h100], serving: aggregated, clocks: [100%], max_degrees: {gpus: 2}}
run: {requests: 200, seed: 3}
"""


@pytest.fixture(scope="module")
def fleet():
    market, _ = market_of(loads(TEXT), False)
    return market, adjusted(market, [layout(market, 0, int(search(market).picks.rows[0, 0]))], "small")


def sustains(monkeypatch, *rates):
    """The twin's sustainable rates, one flood after the other; the last stays."""
    left = list(rates)
    monkeypatch.setattr(confirm, "sustainable_rate_s", lambda *_: left.pop(0) if len(left) > 1 else left[0])


def test_headroom_that_more_workers_do_not_bring_is_missed(fleet, monkeypatch):
    market, trial = fleet
    sustains(monkeypatch, 42.0)
    found = confirmed(market, trial, "small")
    assert not found.holds
    assert found.missed == (("chat: load of capacity", pytest.approx(40 / 42), 0.85),)
    assert found.confirmed
    said = {m.name: m for m in option(market, found, {}).limits}
    assert not said["chat: load of capacity"].held


def test_headroom_that_more_workers_bring_holds(fleet, monkeypatch):
    market, trial = fleet
    sustains(monkeypatch, 42.0, 50.0)
    found = confirmed(market, trial, "small")
    assert found.holds
    assert found.layouts[0].workers > trial.layouts[0].workers


def test_the_last_workers_that_were_added_are_flooded_too(fleet, monkeypatch):
    market, trial = fleet
    sustains(monkeypatch, 42.0, 42.0, 42.0, 50.0)
    found = confirmed(market, trial, "small")
    assert found.holds
    assert found.layouts[0].capacity_s == 50.0


def test_a_fleet_that_cannot_grow_misses_the_headroom(fleet, monkeypatch):
    market, trial = fleet
    sustains(monkeypatch, 42.0)
    monkeypatch.setattr(confirm, "adjusted", lambda *_: None)
    assert [what for what, _, _ in confirmed(market, trial, "small").missed] == ["chat: load of capacity"]


def test_goodput_is_promised_less_where_the_twin_finds_less(monkeypatch):
    """Its fleet fills the limit of 8 GPUs: nothing can be added."""
    text = TEXT.replace("run:", "objective: goodput\nlimits: {gpus: 8}\nrun:")
    market, _ = market_of(loads(text), False)
    trial = adjusted(market, [layout(market, 0, int(search(market).picks.rows[0, 0]))], "small")
    rate_s = trial.layouts[0].rate_s
    sustains(monkeypatch, rate_s)  # no headroom is left
    found = confirmed(market, trial, "small")
    assert found.holds
    assert found.layouts[0].workers == trial.layouts[0].workers
    assert found.layouts[0].rate_s == pytest.approx(0.85 * rate_s)
    assert found.figures["goodput"] == pytest.approx(0.85 * trial.figures["goodput"])


def test_goodput_whose_latency_misses_is_tried_at_lower_rates(monkeypatch):
    text = TEXT.replace("run:", "objective: goodput\nlimits: {gpus: 8}\nrun:").replace(
        "ttft_p95: 2 s", "ttft_p95: 60 ms"
    )
    market, _ = market_of(loads(text), False)
    one = layout(market, 0, int(search(market).picks.rows[0, 0]))
    over = replace(one, rate_s=one.capacity_s * 1.05)  # its queue grows
    assert not rehearsed(market, [over], "small").holds
    found = adjusted(market, [over], "small")
    assert found.holds
    assert found.layouts[0].rate_s < one.capacity_s
    assert found.layouts[0].workers == one.workers


def test_a_refinement_that_eats_the_headroom_is_not_kept(monkeypatch):
    """Under round-robin the twin sustains less here, whatever is added."""

    def rate(made, *_):
        return 41.0 if made.factory.services[0].routing == "round-robin" else 60.0

    monkeypatch.setattr(confirm, "sustainable_rate_s", rate)
    monkeypatch.setattr(trials, "_better", lambda *_: True)
    tried = {r.text: r for r in make_plan(loads(TEXT)).refined}
    turned = tried["routing least-loaded → round-robin"]
    assert (turned.kept, turned.said) == (False, "misses chat: load of capacity")


def test_what_is_planned_better_than_the_best_came_out_is_rehearsed_too():
    demand = loads(
        TEXT.replace("rate: 40/s", "rate: 4000/s").replace("max_degrees: {gpus: 2}", "max_degrees: {gpus: 4}")
    )
    market, _ = market_of(demand, False)
    found = search(market)
    quiet = lambda _: None  # noqa: E731
    trial = adjusted(market, [layout(market, 0, int(found.picks.rows[0, 0]))], "small")
    planned = {"usd_per_mtok": float(found.picks.columns["usd_per_mtok"][0])}
    dear = replace(trial, figures={**trial.figures, "usd_per_mtok": 10 * planned["usd_per_mtok"]})
    more = overtaking(market, found, [(dear, planned)], quiet, lambda: False)
    own = trial.layouts[0].main
    others = [other.layouts[0].main for other, _ in more]
    assert others
    assert all((d.tp, d.pp) != (own.tp, own.pp) for d in others)
    assert len({(d.tp, d.pp) for d in others}) == len(others) <= OVERTAKERS
    as_planned = replace(trial, figures={**trial.figures, **planned})
    assert overtaking(market, found, [(as_planned, planned)], quiet, lambda: False) == []
    missed = replace(dear, missed=(("chat: TPOT p95", 1.0, 0.5),))
    assert overtaking(market, found, [(missed, planned)], quiet, lambda: False) == []
