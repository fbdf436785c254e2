"""Agents in a rehearsal: calls wait for calls, every token and dollar is metered, and what a plan earns is said."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from tokenworks.errors import InputError
from tokenworks.events.ledger_events import BUCKETS
from tokenworks.pricing.plan import Plan
from tokenworks.pricing.reading import parsed
from tokenworks.rehearsal import rehearse
from tokenworks.rehearsal.plant import plant
from tokenworks.report.agent_figures import agent_figures
from tokenworks.report.agent_page import agent_page
from tokenworks.report.agent_text import agent_text
from tokenworks.spec import loads
from tokenworks.twin.cell import FINISHED, TwinOptions
from tokenworks.twin.simulate import simulate
from tokenworks.workload.agents.linked import linked_runs
from tokenworks.workload.agents.settle import settled

FILE = """
factory: small
systems: [{id: box, system: hgx-h100, count: 1, own: {depreciation: 4 y}}]
services:
  - {name: a, model: llama-3.1-8b, engine: vllm, tp: 1, workers: WORKERS, prefix_cache: true}
workload:
  - {service: a, agents: multi-agent-research, runs: 2 per minute, tenants: 2}
  - {service: a, agents: chat, runs: 30 per minute, tenants: 2}
run: {horizon: 10 min, seed: 3}
"""
PLAN = """
plan: t
currency: USD
versions: [{id: v, from: 2026-01-01, prices: [{id: all, meter: tokens, price: 1, per: 1000000}]}]
"""


@pytest.fixture(scope="module")
def done():
    return rehearse(loads(FILE.replace("WORKERS", "8")))


def test_calls_come_when_a_factory_that_is_asked_again_and_again_says_so():
    """The fixed point of arrivals and answers, found without the kernel's own links."""
    factory = loads(FILE.replace("WORKERS", "1"))
    load = factory.workload[0]
    requests, calls = linked_runs(load, 0, 0.5, 240.0, 5, 0)
    cell = plant(factory).cell
    assert len(requests) > 30
    log = simulate(cell, requests, TwinOptions(record=True)).log

    def ends(given):
        found = simulate(cell, replace(given, service=np.zeros(len(given), np.int16)), TwinOptions(record=True)).log
        return np.where(found.status == FINISHED, found.finish, -1)

    first = np.diff(calls.before_start) == 0
    begins = np.zeros(calls.run.max() + 1, np.int64)
    begins[calls.run[first]] = (requests.arrival - requests.think)[first]
    theirs = settled(calls, begins[calls.run], ends)
    assert np.array_equal(log.finish, theirs.ends)


def test_every_token_and_every_dollar_is_metered(done):
    usage, costs = done.metered.usage, done.metered.costs
    services = done.result.services
    used = {bucket: sum(x or 0 for x in usage[bucket].to_pylist()) for bucket in BUCKETS}
    assert used["output_visible"] + used["output_reasoning"] + used["output_tool"] == sum(
        s.output_tokens for s in services
    )
    finished = usage.filter(np.array(usage["usage_status"].to_pylist()) == "final")
    assert sum(finished["cache_read"].to_pylist()) == sum(s.cached_tokens for s in services)
    assert sum(usage["cost_micro_usd"].to_pylist()) == costs.requests.sum()
    parts = costs.requests.sum() + costs.idle.sum() + costs.lost.sum() + done.metered.unused_micro
    assert parts == round(done.result.money.total_usd * 1e6)
    assert abs(done.metered.unused_micro) <= 1  # all GPUs have a service


def test_calls_follow_what_they_wait_for(done):
    rows = [r for r in done.metered.usage.to_pylist() if r["agent"] and r["usage_status"] == "final"]
    runs = {}
    for row in rows:
        runs.setdefault(row["run"], []).append((row["step"], row["attempt"], row["time_us"], row["duration_us"]))
    assert len(runs) > 20
    for calls in runs.values():
        calls.sort()
        for (_, _, ended, _), (_, _, time, took) in pairwise(calls):
            assert time - took >= ended - 1
    assert {r["parent_run"] for r in rows if r["agent"].endswith("researcher")} <= {r["root_run"] for r in rows}


def test_the_page_and_the_lines_say_the_same(done):
    found = agent_figures("small", "10 min", done.metered, parsed(PLAN, Plan))
    labels = [card.label for card in found.cards]
    assert labels == ["TAF processed", "TAF computed", "TAF cost", "cost of calls", "revenue", "margin"]
    used = sum(sum(x or 0 for x in done.metered.usage[bucket].to_pylist()) for bucket in BUCKETS)
    billed = sum(
        sum(
            x or 0
            for x in done.metered.usage.filter(np.array(done.metered.usage["failed"].to_pylist()) == 0)[b].to_pylist()
        )
        for b in BUCKETS
    )
    assert billed <= used
    assert sum(t.revenue_micro for t in found.tenants) == pytest.approx(billed, rel=1e-2, abs=20_000)  # cents per line
    assert {g.name.split("/")[0] for g in found.groups} <= {"chat", "multi-agent-research"}
    said = agent_text(found)
    assert "TAF processed" in said
    assert max(map(len, said.splitlines())) <= 100
    assert "<svg" in agent_page(found)


def test_agents_in_several_cells_are_refused():
    with pytest.raises(InputError, match="one router domain"):
        rehearse(loads(FILE.replace("WORKERS", "8").replace("seed: 3", "seed: 3, cells: 2")))
