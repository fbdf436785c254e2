"""Pairs of prefill and decode pools: what is found among the kept ones is the best of all pairs."""

import numpy as np
import pytest
from deployments import deployment

from tokenworks.plan import pairing
from tokenworks.plan.ask import Ask
from tokenworks.plan.candidates import Space
from tokenworks.plan.choose import search
from tokenworks.plan.cost import prices
from tokenworks.plan.limits import Tails
from tokenworks.plan.market import Market
from tokenworks.plan.reading import loads
from tokenworks.plan.sample import Asked
from tokenworks.plan.shapes import Shape
from tokenworks.plan.systems import Kind
from tokenworks.plan.wide import Wide

TEXT = """demand: pairs
site: {{cooling: liquid, power: {{budget: {watts:.0f} W, scope: {scope}}}}}
services: [{{name: a, model: llama-3.1-8b, slo: {{ttft_p95: 1 s, tpot_p95: 50 ms, e2e_p95: {e2e:.3f} s}}}}]
workload: [{{service: a, arrivals: {{kind: poisson}}, rate: {rate:.3f}/s}}]
may_use: {{systems: [{systems}]}}
limits: {{availability: {{share: 99%}}}}
objective: {objective}
"""
OBJECTIVES = ("usd_per_mtok", "tokens_per_joule", "capex", "carbon")


def market(seed: int) -> Market:
    """Made-up replicas of one to 64 GPUs, of few kinds of figures, so that ties are common."""
    rng = np.random.default_rng(seed)
    systems = [("hgx-h200",), ("gb200-nvl72",), ("hgx-b200", "gb200-nvl72")][seed % 3]
    text = TEXT.format(
        watts=rng.uniform(1e5, 8e5), scope=rng.choice(["board", "it", "facility"]), e2e=rng.uniform(10, 40),
        rate=rng.uniform(5, 60), systems=", ".join(systems), objective=OBJECTIVES[seed % 4],
    )  # fmt: skip
    demand = loads(text)
    kinds = tuple(Kind(name, "own", 0, None) for name in systems)
    shapes, rows = [], []
    for kind in kinds:
        for k in range(24):
            gpus = 1 << int(rng.integers(0, 4 if kind.gpus == 8 else 7))
            weights = str(rng.choice(["bf16", "fp8"]))
            shapes.append(Shape(kind.system, ("prefill", "decode")[k % 2], deployment(tp=gpus, weights=weights)))
            rows += [(len(shapes) - 1, gpus) for _ in range(2)]
    shape, gpus = np.array(rows).T
    n = len(shape)
    able = gpus * rng.choice([0.3, 0.5, 0.8, 1.0], n) * rng.uniform(0.95, 1.05, n)
    tpot_s = rng.choice([0.02, 0.04, 0.06], n)
    wide = Wide(
        shape=shape, batch=np.ones(n, np.int64), gpus=gpus, requests_s=able, output_tokens_s=able * 300,
        ttft_s=rng.choice([0.2, 0.5, 0.9, 1.2], n), tpot_s=tpot_s, near_tpot_s=tpot_s * rng.uniform(0.5, 1.0, n),
        board_w=gpus * rng.uniform(300, 1000, n), kv_share=rng.uniform(0.3, 1.05, n), idle_w=gpus * 100.0, ttft_p95_s=np.ones(n),
    )  # fmt: skip
    slo = demand.services[0].slo
    ask = Ask(np.ones(1), np.full(1, 300.0), slo.ttft_p95_s, slo.tpot_p95_s, slo.e2e_p95_s)
    asked = Asked(demand.services[0], ask, float(demand.workload[0].scale.value), 100.0, 300.0, 600.0, False)
    space = Space(asked, tuple(shapes), wide, kinds, {}, {k.system: 100.0 for k in kinds})
    return Market(demand, (space,), tuple(prices(demand, k) for k in kinds), (Tails(),), (1.0,))


@pytest.mark.parametrize("seed", range(48))
def test_the_best_of_the_kept_pairs_is_the_best_of_all(seed, monkeypatch):
    plain = market(seed)
    kept = plain.laid()
    monkeypatch.setattr(pairing, "worth_pairing", lambda pool, *_: np.arange(len(pool)))
    everything = plain.laid()
    assert len(kept.tables[0]) < len(everything.tables[0])
    name, few, many = plain.demand.objectives[0], search(kept), search(everything)
    assert few.feasible == many.feasible
    if many.feasible:
        assert few.picks.columns[name][0] == many.picks.columns[name][0]


def test_most_of_these_demands_can_be_met():
    assert sum(search(market(seed).laid()).feasible for seed in range(48)) > 30


def test_engines_and_formats_are_not_mixed():
    m = market(2).laid()
    space, t = m.spaces[0], m.tables[0]
    assert len(t)
    for i, j in zip(t.prefill, t.main, strict=True):
        a, b = (space.shapes[space.wide.shape[row]] for row in (i, j))
        assert (a.system, a.role, b.system, b.role) == (b.system, "prefill", a.system, "decode")
        assert a.deployment.weights == b.deployment.weights


def test_a_role_without_the_other_makes_no_pair():
    m = market(0)
    space = m.spaces[0]
    alone = tuple(Shape(s.system, "decode", s.deployment) for s in space.shapes)
    lone = Space(space.asked, alone, space.wide, space.kinds, {}, space.idle_w)
    assert list(pairing.pairs(lone, 0, 10.0, 0.15, 1.0)) == []
