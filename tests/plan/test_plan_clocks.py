"""Clock levels in plans: what the search finds by laying out a few kinds at lower clocks is what laying out all of them finds."""

from dataclasses import replace

import numpy as np
import pytest
from random_replicas import lengths

from tokenworks.errors import SpecError
from tokenworks.plan.allowed import Allowed
from tokenworks.plan.choose import search
from tokenworks.plan.cost import prices
from tokenworks.plan.make import make_plan
from tokenworks.plan.market import MAXIMISED
from tokenworks.plan.reading import loads
from tokenworks.plan.shapes import survey
from tokenworks.plan.slower import MOST, kinds_for, least_joules, with_lower_clocks
from tokenworks.plan.survey import market_of
from tokenworks.plan.wide import wide
from tokenworks.rehearsal import rehearse
from tokenworks.report.plan_page import plan_page
from tokenworks.report.plan_text import plan_text
from tokenworks.spec.loading import loads as factory_of

ALL = "[100%, 88%, 76%, 64%, 52%]"
TEXT = """demand: clocked
site: {{region: us-texas, cooling: {cooling}, power: {{budget: {budget:.0f} W, scope: facility}}}}
services:
  - {{name: chat, model: {model}, engines: [{engine}], precisions: [{weights}], kv_precisions: [fp8], slo: {{ttft_p95: 2 s, tpot_p95: {tpot}}}}}
{second}
workload:
  - {{service: chat, {load}}}
{second_load}
may_use: {{systems: [{systems}], serving: {serving}, clocks: {clocks}}}
objective: {objective}
run: {{requests: 400, seed: 3, refine: false}}
"""
LOAD = "arrivals: {{kind: poisson}}, rate: {rate}/s, input: {{kind: lognormal, mean: 1500, sigma: 0.7}}, output: {{kind: lognormal, mean: 400, sigma: 0.6}}"
DENSE = {"model": "llama-3.1-8b", "systems": "hgx-h100", "serving": "aggregated"}
SPACES = {
    "dense, aggregated": DENSE,
    "dense, both": {"model": "llama-3.3-70b", "systems": "hgx-h100, hgx-b200", "serving": "both"},
    "experts, both": {"model": "qwen3-30b-a3b", "systems": "hgx-h200", "serving": "both", "engine": "sglang"},
}
OBJECTIVES = ("usd_per_mtok", "tokens_per_joule", "carbon", "goodput")


def demand(clocks="[]", objective="usd_per_mtok", budget=0.0, tpot="50 ms", rate=100, services=1, **space):
    second = "  - {name: other, model: qwen3-30b-a3b, engines: [vllm], precisions: [fp8], slo: {tpot_p95: 30 ms}}"
    fields = {
        "engine": "vllm", "weights": "fp8", "cooling": "liquid", "clocks": clocks, "objective": objective, "budget": budget, "tpot": tpot,
        "load": LOAD.format(rate=rate), "second": second if services > 1 else "",
        "second_load": f"  - {{service: other, {LOAD.format(rate=rate)}}}" if services > 1 else "",
    }  # fmt: skip
    return loads(TEXT.format(**fields | space))


def searched(**asked):
    market, _ = market_of(demand(**asked), False)
    return with_lower_clocks(market, search(market))


def best(**asked):
    """The best value of the first objective; None where nothing keeps the limits."""
    market, found = searched(**asked)
    return float(found.picks.columns[market.demand.objectives[0]][0]) if found.feasible else None


def clocks_of(market, found):
    """Of the pools of the best fleet's first service."""
    t, space, row = market.tables[0], market.spaces[0], found.picks.rows[0, 0]
    return [space.shapes[space.wide.shape[r]].deployment.clock for r in (t.main[row], t.prefill[row]) if r >= 0]


LONG = {("dense, both", "goodput", "50 ms"), ("dense, both", "goodput", "20 ms"), ("experts, both", "goodput", "50 ms")}
CASES = [(s, o, t) for s in SPACES for o in OBJECTIVES for t in ("50 ms", "20 ms") if (s, o, t) not in LONG]


@pytest.mark.parametrize(("space", "objective", "tpot"), CASES)
def test_the_choice_is_that_of_an_exhaustive_search(space, objective, tpot):
    """Of all kinds at all clocks, and better than that of the full clock alone."""
    asked = {**SPACES[space], "objective": objective, "tpot": tpot, "budget": 40_000 if objective == "goodput" else 0}
    default, every, full = (best(clocks=clocks, **asked) for clocks in ("[]", ALL, "[100%]"))
    assert default == pytest.approx(every, rel=1e-12)
    assert default > full if objective in MAXIMISED else default < full


@pytest.mark.parametrize("objective", OBJECTIVES[:3])
def test_it_is_the_best_of_the_levels_searched_one_by_one(objective):
    """Aggregated replicas have one clock: the best of all is the best of five plans, each at one level."""
    alone = [best(clocks=f"[{share}]", objective=objective, **DENSE) for share in ALL.strip("[]").split(", ")]
    value = max(alone) if objective in MAXIMISED else min(alone)
    assert best(objective=objective, **DENSE) == pytest.approx(value, rel=1e-12)
    assert len({round(v, 9) for v in alone}) == 5


def test_fewer_watts_make_a_demand_possible_under_a_power_limit():
    asked = {"model": "gpt-oss-120b", "weights": "mxfp4", "systems": "hgx-b200", "serving": "both", "tpot": "20 ms"}
    market, found = searched(clocks="[100%]", **asked)
    asked["budget"] = 0.93 * float(found.picks.columns["facility_w"].min())
    assert best(clocks="[100%]", **asked) is None
    market, found = searched(**asked)
    assert found.feasible
    assert min(clocks_of(market, found)) < 1
    assert best(**asked) == pytest.approx(best(clocks=ALL, **asked), rel=1e-12)


def test_two_services_under_one_power_limit():
    asked = {**DENSE, "services": 2, "serving": "aggregated", "rate": 40, "objective": "tokens_per_joule"}
    default, every, full = (best(clocks=clocks, **asked) for clocks in ("[]", ALL, "[100%]"))
    assert full < default <= every * (1 + 1e-12)
    assert default >= 0.999 * every


@pytest.mark.parametrize("space", SPACES)
def test_few_kinds_are_laid_out_and_only_they(space):
    market, _ = market_of(demand(objective="tokens_per_joule", **SPACES[space]), False)
    found = search(market)
    kinds = kinds_for(market, 0, found)
    more, _ = with_lower_clocks(market, found)
    assert 0 < len(kinds) <= MOST
    slow = [s for s in more.spaces[0].shapes if s.deployment.clock < 1]
    assert len(slow) == 4 * len(kinds)
    assert {replace(s, deployment=replace(s.deployment, clock=1.0)) for s in slow} == {
        market.spaces[0].shapes[k] for k in kinds
    }
    new = more.tables[0].take(np.arange(len(market.tables[0]), len(more.tables[0])))
    clock = np.array([s.deployment.clock for s in more.spaces[0].shapes])[more.spaces[0].wide.shape]
    apart = new.prefill >= 0
    assert ((clock[new.main] < 1) | (apart & (clock[np.where(apart, new.prefill, 0)] < 1))).all()
    network = more.spaces[0].wide.tpot_s[new.main]  # pairs inside one domain hand KV over faster
    assert np.where(apart, new.tpot_s <= network, new.tpot_s == network).all()


@pytest.mark.parametrize("model", ["llama-3.1-8b", "qwen3-30b-a3b", "deepseek-r1", "gemma-3-27b"])
def test_no_lower_clock_is_faster_or_takes_less_than_the_bound(model):
    """The statements on which kinds are left out, row by row: seconds and busy time grow, joules keep their share."""
    ask = lengths(np.random.default_rng(2), 1200, 300, 0.6)
    full = survey(model, ask, Allowed(("hgx-b200",), kv=("fp8",))).shapes
    before = wide(full, ask)
    for clock in (0.88, 0.76, 0.64, 0.52):
        slow = [replace(s, deployment=replace(s.deployment, clock=clock)) for s in full]
        after = wide(slow, ask)
        assert (after.shape == before.shape).all()
        assert (after.batch == before.batch).all()
        assert (after.tpot_s >= before.tpot_s * (1 - 1e-9)).all()
        assert (after.ttft_s >= before.ttft_s * 0.99).all()  # a prompt waits less where decode steps between grow more
        assert (after.requests_s <= before.requests_s * (1 + 1e-9)).all()
        per_request = [w.board_w / w.requests_s for w in (after, before)]
        assert (per_request[0] >= least_joules() * per_request[1]).all()
        assert (per_request[0] < per_request[1]).any()


@pytest.mark.parametrize("cooling", ["air", "liquid"])
def test_watts_at_the_meter_fall_by_no_larger_share_than_those_of_the_boards(cooling):
    market, _ = market_of(demand(cooling=cooling, **SPACES["dense, both"]), False)
    for kind in market.spaces[0].kinds:
        of = prices(market.demand, kind)
        board = np.linspace(100.0, 8 * 1200.0, 400)
        meter = [of.site.facility_w(of.hosts.it_w(board * f, np.ones(400))) for f in (1.0, least_joules())]
        assert (meter[1] >= least_joules() * meter[0]).all()


def test_a_plan_for_tokens_per_joule_chooses_a_lower_clock_and_its_file_runs():
    asked = {**DENSE, "objective": "tokens_per_joule", "rate": 30}
    plan, full = make_plan(demand(**asked)), make_plan(demand(clocks="[100%]", **asked))
    setup = plan.best.setups[0]
    assert setup.slowed
    assert not full.best.setups[0].slowed
    assert plan.best.missed == ()
    assert plan.best.figures["tokens_per_joule"] > 1.05 * full.best.figures["tokens_per_joule"]
    assert plan.best.figures["tokens_per_joule"] == pytest.approx(plan.best.predicted["tokens_per_joule"], rel=0.1)
    factory = factory_of(plan.best.yaml)
    assert f"clock {factory.services[0].clock:.0%}" in setup.degrees
    assert not rehearse(factory).result.services[0].saturated
    assert all(f"clock {factory.services[0].clock:.0%}" in text for text in (plan_page(plan), plan_text(plan)))
    assert any("no measurement" in note for note in plan.notes)
    assert not any("no measurement" in note for note in full.notes)


def test_robust_plans_put_their_margins_on_lower_clocks_too():
    market, _ = market_of(demand(objective="tokens_per_joule", **DENSE), True)
    more, found = with_lower_clocks(market, search(market))
    assert found.feasible
    plain, _ = market_of(demand(objective="tokens_per_joule", clocks=ALL, **DENSE), False)
    bare = {(s, b): r for s, b, r in _rates(plain)}
    slow = [(key, rate) for *key, rate in _rates(more) if key[0].deployment.clock < 1]
    assert slow
    assert all(rate < 0.95 * bare[tuple(key)] for key, rate in slow)


def _rates(market):
    wide, shapes = market.spaces[0].wide, market.spaces[0].shapes
    return [(shapes[s], int(b), float(r)) for s, b, r in zip(wide.shape, wide.batch, wide.requests_s, strict=True)]


def test_only_the_clocks_that_a_demand_names_are_used():
    market, found = searched(clocks="[76%, 88%]", **DENSE)
    assert {s.deployment.clock for s in market.spaces[0].shapes} == {0.76, 0.88}
    with pytest.raises(SpecError, match=r"may_use\.clocks\[1\]: there is no clock level of 80%; nearest is 76%"):
        demand(clocks="[100%, 80%]", **DENSE)
