"""Settings tried around the best fleets in the twin."""

import pytest

from tokenworks import catalog
from tokenworks.plan.drafts import acceptance
from tokenworks.plan.make import make_plan
from tokenworks.plan.reading import loads
from tokenworks.plan.refine import trials
from tokenworks.rehearsal import rehearse
from tokenworks.report.plan_page import plan_page
from tokenworks.report.plan_text import explain_text, plan_text
from tokenworks.spec import load as load_factory

TEXT = """demand: small
site: {{region: us-texas}}
services:
  - {{name: chat, model: {model}, engines: [vllm], precisions: [fp8], kv_precisions: [fp8], slo: {{ttft_p95: 2 s, tpot_p95: {tpot}}}}}
workload:
  - {{service: chat, {load}}}
may_use: {{systems: [hgx-h100], serving: aggregated, clocks: [100%], max_degrees: {{tp: 4, pp: 1}}}}
run: {{requests: 500, seed: 3{more}}}
"""
PLAIN = "arrivals: {kind: poisson}, rate: 40/s, input: {kind: lognormal, mean: 600, sigma: 0.7}, output: {kind: fixed, mean: 150}"
SHARED = "trace: mooncake-conversation, scale: 4 req/s"


def planned(model="qwen3.6-27b", tpot="8.5 ms", load=PLAIN, more=""):
    return make_plan(loads(TEXT.format(model=model, tpot=tpot, load=load, more=more)))


@pytest.fixture(scope="module")
def drafted():
    """A model with a layer for multi-token prediction, at a pace that is hard to keep without it."""
    return planned(), planned(more=", refine: false")


def test_speculation_is_kept_where_it_makes_the_fleet_cheaper(drafted):
    plan, plain = drafted
    assert "speculation" in plan.best.setups[0].settings
    assert "speculation" not in plain.best.setups[0].settings
    assert plan.best.figures["usd_per_mtok"] < 0.95 * plain.best.figures["usd_per_mtok"]
    assert plain.refined == ()


def test_the_refined_factory_file_runs_as_it_is(drafted, tmp_path):
    best = drafted[0].best
    (tmp_path / "factory.yaml").write_text(best.yaml)
    factory = load_factory(tmp_path / "factory.yaml")
    assert factory.services[0].speculative.draft_tokens == 1
    service = rehearse(factory).result.services[0]
    assert not service.saturated
    assert service.tpot.p95_s <= 0.0085
    assert service.ttft.p95_s <= 2.0


def test_every_try_is_told_and_only_better_ones_are_kept(drafted):
    plan, _ = drafted
    said = [r.text for r in plan.refined]
    assert any(s.startswith("speculative decoding with 1 draft token (1.85") for s in said)
    assert any(s.startswith("token budget 8,192 → 4,096") for s in said)
    assert any(s == "routing least-loaded → round-robin" for s in said)
    for r in plan.refined:
        assert r.kept == (r.said == "")
        if r.kept:
            assert r.after < r.before
    kept = [r for r in plan.refined if r.kept]
    assert kept
    assert plan.best.confirmed
    assert plan.best.missed == ()
    assert all(text in plan_page(plan) for text in ("Refined in the twin", "speculative decoding with 1 draft token"))
    assert "Refined in the twin" in plan_text(plan)
    assert len(explain_text(plan)) > len(explain_text(drafted[1]))


def test_the_answer_is_the_best_of_what_was_refined(drafted):
    plan, plain = drafted
    last = [r for r in plan.refined if r.kept][-1]
    assert plan.best.figures["usd_per_mtok"] < plain.best.figures["usd_per_mtok"]
    assert plan.best.figures["usd_per_mtok"] == pytest.approx(last.after, rel=0.01)  # confirmed for longer


def test_the_number_of_tries_is_bounded(monkeypatch):
    monkeypatch.setattr(trials, "MOST", 2)
    assert len(planned().refined) == 2


def test_a_model_without_prediction_layers_does_not_speculate():
    assert int(catalog.load("models", "llama-3.1-8b")["mtp_layers"]) == 0
    plan = planned("llama-3.1-8b", "30 ms")
    assert plan.refined
    assert not any("speculative" in r.text for r in plan.refined)


def test_shared_prefixes_try_a_tier_and_the_routings_that_know_of_them():
    plan = planned("llama-3.1-8b", "50 ms", SHARED)
    said = [r.text for r in plan.refined]
    assert plan.best.figures["gpus"] == 8  # pairs of GPUs fill one server; nine alone would need a second one
    assert "KV tier of 256 GB in host memory a worker" in said  # half of 2,048 GB for two of eight GPUs
    assert {"routing kv-aware → least-loaded", "routing kv-aware → session"} <= set(said)


def test_what_is_accepted_was_measured_where_it_was():
    assert acceptance("deepseek-r1", 500.0) == [0.5, 0.78, 0.75]
    assert acceptance("deepseek-r1", 5000.0) == [0.62, 0.85]
    assert acceptance("qwen3.6-27b", 500.0) == [pytest.approx(0.85)]
