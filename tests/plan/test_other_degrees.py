"""Where the cheapest way to serve does not hold in the twin, other degrees are tried before a demand counts as infeasible."""

from tokenworks.plan import rounds
from tokenworks.plan.make import make_plan
from tokenworks.plan.reading import loads

DEMAND = """demand: long prompts
site: {cooling: liquid}
services: [{name: a, model: qwen3-32b, engines: [tensorrt-llm], slo: {ttft_p95: 700 ms, tpot_p95: 40 ms}}]
workload:
  - service: a
    arrivals: {kind: gamma, cv: 1.3}
    rate: 60/s
    input: {kind: lognormal, mean: 8000, sigma: 0.7}
    output: {kind: lognormal, mean: 300, sigma: 0.6}
may_use: {systems: [hgx-h200], serving: aggregated, max_degrees: {pp: 1}}
run: {requests: 500, seed: 3}
"""


def test_a_demand_whose_cheapest_way_fails_gets_the_best_of_other_degrees(monkeypatch):
    found = make_plan(loads(DEMAND))
    assert found.best is not None
    degrees = {s.degrees for option in found.tried for s in option.setups}
    assert len(degrees) > 2  # one way to serve, several ways to cut the model
    monkeypatch.setattr(rounds, "other_degrees", lambda *_: [])
    assert make_plan(loads(DEMAND)).best is None
