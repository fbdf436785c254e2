"""A demand that only speculation, another token budget, routing or a KV tier makes feasible is not called infeasible."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from tokenworks.plan import make, rounds, survey
from tokenworks.plan.build import layout
from tokenworks.plan.choose import search
from tokenworks.plan.drafts import drafts_of
from tokenworks.plan.make import make_plan
from tokenworks.plan.notes import noted
from tokenworks.plan.reading import loads
from tokenworks.plan.result import Setup
from tokenworks.plan.survey import market_of
from tokenworks.plan.widen import widened
from tokenworks.rehearsal import rehearse
from tokenworks.spec import load as load_factory

TEXT = """demand: small
site: {{region: us-texas}}
services:
  - {{name: chat, model: {model}, engines: [vllm], precisions: [fp8], kv_precisions: [fp8], slo: {{ttft_p95: {ttft}, tpot_p95: {tpot}}}}}
workload:
  - {{service: chat, {load}}}
may_use: {{systems: [hgx-h100], serving: {serving}, max_degrees: {{tp: 4, pp: 1}}}}
limits: {{{limits}}}
run: {{requests: 500, seed: 3}}
"""
POISSON = "arrivals: {{kind: poisson}}, rate: {}/s, input: {{kind: lognormal, mean: {}, sigma: 0.7}}, output: {{kind: fixed, mean: {}}}"
SPEAKS = {"model": "qwen3.6-27b", "load": POISSON.format(40, 600, 150), "ttft": "2 s"}
READS = {
    "model": "llama-3.1-8b",
    "load": POISSON.format(25, 8000, 20),
    "ttft": "2 s",
    "tpot": "15 ms",
    "limits": "gpus: 8",
}
SHARES = {
    "model": "llama-3.3-70b",
    "load": "trace: mooncake-conversation, scale: 1 req/s",
    "ttft": "20 s",
    "tpot": "60 ms",
    "limits": "gpus: 8",
}


def demand(serving="aggregated", limits="gpus: 800", **changes):
    return loads(TEXT.format(serving=serving, limits=limits, **changes))


def plain(market, _):
    return market, search(market)


@pytest.mark.parametrize("serving", ["aggregated", "disaggregated"])
def test_a_pace_that_only_speculation_reaches_is_planned(serving, monkeypatch, tmp_path):
    asked = demand(serving, **SPEAKS, tpot="6 ms")
    plan = make_plan(asked)
    assert "speculation 1 drafted" in plan.best.setups[0].settings
    assert plan.best.confirmed
    assert not plan.conflict
    assert any("speculation" in note for note in plan.notes)
    (tmp_path / "factory.yaml").write_text(plan.best.yaml)
    assert rehearse(load_factory(tmp_path / "factory.yaml")).result.services[0].tpot.p95_s <= 0.006
    monkeypatch.setattr(make, "widened", plain)
    assert make_plan(asked).best is None


def test_robust_plans_speculate_too_where_nothing_else_holds(monkeypatch):
    asked = demand(**SPEAKS, tpot="7 ms")
    assert "speculation" in make_plan(asked, robust=True).best.setups[0].settings
    monkeypatch.setattr(make, "widened", plain)
    assert make_plan(asked, robust=True).best is None


def test_a_load_that_only_another_token_budget_carries_has_fleets():
    market, _ = market_of(demand(**READS), False)
    assert not search(market).feasible
    wider, found = widened(market, lambda _: None)
    used = [layout(wider, 0, int(row)).main.token_budget for row in found.picks.rows[:, 0]]
    assert used
    assert 8192 not in used


def test_ways_out_of_what_stays_infeasible_know_of_speculation():
    plan = make_plan(demand(**SPEAKS, tpot="3 ms"))
    assert plan.best is None
    ((_, _, limit, value),) = plan.relaxations[0].limits
    assert limit == 0.003
    say = lambda _: None  # noqa: E731
    for tpot_s, able in ((value * 1.001, True), (value * 0.999, False)):
        market, _ = market_of(demand(**SPEAKS, tpot=f"{tpot_s * 1e3} ms"), False)
        assert not search(market).feasible
        assert widened(market, say)[1].feasible == able


@pytest.mark.parametrize("asked", [{**SPEAKS, "tpot": "6 ms"}, {**SPEAKS, "tpot": "5 ms", "serving": "both"}, READS])
def test_all_settings_of_a_small_space_are_covered(asked, monkeypatch):
    """The wider market has what a search over all drafts and budgets at once finds."""
    market, _ = market_of(demand(**asked), False)
    found = widened(market, lambda _: None)[1]
    service, wide = market.spaces[0].asked, survey.allowed
    drafts = drafts_of(service.service.model, service.output_tokens)
    every = lambda *args: replace(wide(*args), drafts=(None, *drafts), budget_times=(1.0, 0.5, 2.0))  # noqa: E731
    monkeypatch.setattr(survey, "allowed", every)
    whole = search(market_of(demand(**asked), False)[0])
    assert found.feasible
    assert whole.feasible
    mine, best = (of.picks.columns["usd_per_mtok"][0] for of in (found, whole))
    assert best <= mine <= 1.01 * best  # of speculation and budgets the first that suffices is taken


def test_routing_is_tried_before_a_demand_counts_as_infeasible(monkeypatch):
    plan = make_plan(demand(**SHARES))
    assert plan.best.confirmed
    assert "routing kv-aware" not in plan.best.setups[0].settings
    monkeypatch.setattr(rounds, "rescued", lambda *_: None)
    assert make_plan(demand(**SHARES)).best is None


def test_a_plan_says_what_it_assumes_of_attention_ranks():
    setup = Setup(
        "a", "deepseek-r1", "aggregated", "tensorrt-llm", "nvfp4", "fp8", "hgx-b200", "own", "dp 4, ep 4", "", 1, 0, 8, 4, 1.0, 1.0, 4, 0
    )  # fmt: skip
    market, _ = market_of(demand(**SPEAKS, tpot="9 ms"), False)
    of = lambda s: noted(market, (), SimpleNamespace(setups=(s,), systems=()))  # noqa: E731
    says = lambda s: any("attention_dp_config" in said for said in of(s))  # noqa: E731
    assert says(setup)
    assert not says(replace(setup, degrees="tp 4"))
    assert not says(replace(setup, engine="vllm"))
