"""Roadmaps from the file to the verb: what is wrong in a file, what the programme is given, what a user gets."""

from __future__ import annotations

import datetime as dt
import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from tokenworks.cli.main import main
from tokenworks.errors import SpecError
from tokenworks.plan.candidates import NONE
from tokenworks.plan.cost import fleet
from tokenworks.plan.fleet.coefficients import demand_s, problem_of, units_of
from tokenworks.plan.fleet.linear import NoScheduleError
from tokenworks.plan.fleet.make import made
from tokenworks.plan.fleet.problem import Problem
from tokenworks.plan.fleet.reading import loads
from tokenworks.plan.fleet.result import result_of
from tokenworks.plan.network import scale_out
from tokenworks.plan.survey import market_of

TODAY = dt.date(2026, 11, 26)
DEMAND = """
demand: small
site: {cooling: liquid, region: us-texas}
services:
  - {name: chat, model: llama-3.1-8b, engines: [vllm], precisions: [bf16], kv_precisions: [bf16], slo: {ttft_p95: 2 s, tpot_p95: 50 ms}}
workload:
  - {service: chat, rate: 20/s, input: {kind: fixed, mean: 500}, output: {kind: fixed, mean: 100}, arrivals: {kind: poisson}}
may_use: {systems: [hgx-h100], max_degrees: {tp: 1, gpus: 1}, serving: aggregated}
run: {requests: 400}
"""
ROADMAP = """
roadmap: test
demand: small.yaml
start: 2027-01
period: quarter
periods: 4
growth: {chat: [1, 2, 40, 80]}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "small.yaml").write_text(DEMAND)
    return tmp_path


def said(folder: Path, text: str) -> str:
    with pytest.raises(SpecError) as error:
        loads(text, "roadmap.yaml", folder, TODAY)
    return str(error.value)


def test_what_is_wrong_is_said_with_its_line(folder: Path) -> None:
    assert "in the past" in said(folder, ROADMAP.replace("2027-01", "2025-01"))
    assert "roadmap.yaml:3" in said(folder, ROADMAP.replace("small.yaml", "smal.yaml"))
    assert "Did you mean hgx-h100" in said(folder, ROADMAP + "systems: {hgx-h10: {from: 2027-07}}\n")
    assert "may not use it" in said(folder, ROADMAP + "systems: {hgx-b200: {from: 2027-07}}\n")
    assert "3 values for 4 periods" in said(folder, ROADMAP.replace("[1, 2, 40, 80]", "[1, 2, 3]"))
    assert "zero demand" in said(folder, ROADMAP.replace("[1, 2, 40, 80]", "[0, 0, 0, 0]"))
    assert "no service 'chta'" in said(folder, ROADMAP.replace("{chat:", "{chta:"))
    assert "is not a month" in said(folder, ROADMAP.replace("2027-01", "January"))


def test_growth_compounds_from_the_middle_of_each_period(folder: Path) -> None:
    roadmap, _ = loads(ROADMAP.replace("[1, 2, 40, 80]", "100%/y"), "roadmap.yaml", folder, TODAY)
    assert demand_s(roadmap, "chat", 20.0) == pytest.approx(20.0 * 2.0 ** np.array([0.125, 0.375, 0.625, 0.875]))


def test_terms_of_a_system_reach_the_programme(folder: Path) -> None:
    more = (
        "lead: 1\nlife: 2 y\nresale: 50%\nsystems: {hgx-h100: {from: 2027-08, price: $100 k, price_change: -20%/y}}\n"
    )
    roadmap, demand = loads(ROADMAP + more, "roadmap.yaml", folder, TODAY)
    market, _ = market_of(demand, False)
    problem, ways = problem_of(roadmap, units_of(market), {})
    (kind,) = problem.kinds
    assert kind.first == 3  # the first quarter that begins after August 2027
    assert kind.life == 8
    frontend = 1000.0  # one host; replicas pass nothing to each other
    assert kind.price_usd == pytest.approx(frontend + 100e3 * 0.8 ** np.array([0.0, 0.25, 0.5, 0.75]))
    # half of the book value; straight line over four years to a tenth
    assert kind.value_share[[1, 4, 8]] == pytest.approx(
        [0.5 * (1 - 0.9 / 16), 0.5 * (1 - 0.9 / 4), 0.5 * (1 - 0.9 / 2)]
    )
    assert all(o.share == pytest.approx(1 / 8) for o in problem.offers)
    assert len(ways) == len(problem.offers) > 0


def test_pools_apart_over_many_systems_pay_for_a_scale_out_network(folder: Path) -> None:
    (folder / "small.yaml").write_text(DEMAND.replace("serving: aggregated", "serving: disaggregated"))
    roadmap, demand = loads(ROADMAP, "roadmap.yaml", folder, TODAY)
    market = units_of(market_of(demand, False)[0])
    problem, ways = problem_of(roadmap, market, {})
    (kind,), (of,) = problem.kinds, market.prices
    systems = round(_systems_at_peak(problem))
    usd, watts = scale_out("hgx-h100", systems)
    assert usd > 0
    assert kind.price_usd == pytest.approx(of.facts.price_usd + 1000.0 + usd / systems)
    alone = fleet(of, np.ones(1), np.array([of.idle_w * 8]), np.zeros(1))
    assert kind.idle_w - alone.facility_w[0] == pytest.approx(20.0 + watts / systems, rel=0.3)  # and what cools it
    assert kind.idle_w - alone.facility_w[0] > 20.0 + watts / systems
    assert ways


def test_replicas_are_taken_without_a_network_where_that_is_cheaper(folder: Path) -> None:
    (folder / "small.yaml").write_text(DEMAND.replace("serving: aggregated", "serving: both"))
    roadmap, demand = loads(ROADMAP, "roadmap.yaml", folder, TODAY)
    market = units_of(market_of(demand, False)[0])
    problem, ways = problem_of(roadmap, market, {})
    (kind,) = problem.kinds
    apart = [market.tables[0].prefill[w.row] != NONE for w in ways]
    assert any(apart) == (kind.price_usd[0] > market.prices[0].facts.price_usd + 1000.0)
    (folder / "small.yaml").write_text(DEMAND)
    alone, _ = problem_of(roadmap, units_of(market_of(loads(ROADMAP, "roadmap.yaml", folder, TODAY)[1], False)[0]), {})
    (folder / "small.yaml").write_text(DEMAND.replace("serving: aggregated", "serving: disaggregated"))
    split, _ = problem_of(roadmap, units_of(market_of(loads(ROADMAP, "roadmap.yaml", folder, TODAY)[1], False)[0]), {})
    least = [_systems_at_peak(p) * p.kinds[0].price_usd[0] for p in (problem, alone, split)]
    assert least[0] == pytest.approx(min(least[1:]))


def _systems_at_peak(problem: Problem) -> float:
    return float(np.ceil(min(o.share / o.rate_s for o in problem.offers) * problem.demand_s.max()))


def test_a_token_costs_what_its_systems_lose_at_the_price_that_was_paid(folder: Path) -> None:
    more = "systems: {hgx-h100: {price: $100 k, price_change: -50%/y}}\n"
    roadmap, demand = loads(ROADMAP + more, "roadmap.yaml", folder, TODAY)
    done = made(roadmap, demand)
    steps = result_of(done).steps
    facts = done.market.prices[0].facts
    paid = count = 0.0
    for t, step in enumerate(steps):
        bought = step.bought.get(done.problem.kinds[0].name, 0)
        paid, count = paid + bought * done.problem.kinds[0].price_usd[t], count + bought
        lost = paid * (1 - facts.residual_share) / facts.life_s * done.problem.period_s
        running = sum(v for cause, v in step.usd.items() if cause not in ("hardware", "resale"))
        tokens = step.demand_s["chat"] * 100 * done.problem.period_s
        assert not step.sold
        assert step.usd_per_mtok == pytest.approx((lost + running) / tokens * 1e6)
        assert step.there == {done.problem.kinds[0].name: count}


def test_what_cannot_be_delivered_in_time_is_named(folder: Path) -> None:
    roadmap, demand = loads(ROADMAP + "lead: 2\n", "roadmap.yaml", folder, TODAY)
    with pytest.raises(NoScheduleError, match=r"from 2027-01.*in 2027-07"):
        made(roadmap, demand)


def test_a_power_limit_that_cannot_be_kept_is_named(folder: Path) -> None:
    roadmap, demand = loads(ROADMAP + "power: 5 kW\n", "roadmap.yaml", folder, TODAY)
    with pytest.raises(NoScheduleError, match=r"the power limit cannot be kept.*kW"):
        made(roadmap, demand)


def test_the_verb_gives_a_schedule_that_covers_the_demand(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "roadmap.yaml").write_text(ROADMAP.replace("start: 2027-01\n", ""))
    assert main(["roadmap", str(folder / "roadmap.yaml"), "--out", str(folder / "out"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert json.loads((folder / "out" / "roadmap.json").read_text()) == found
    assert [s["demand_s"]["chat"] for s in found["steps"]] == pytest.approx([20, 40, 800, 1600])
    assert all(s["capacity_s"]["chat"] >= s["demand_s"]["chat"] for s in found["steps"])
    counts = [sum(s["there"].values()) for s in found["steps"]]
    assert counts == sorted(counts)
    assert counts[-1] > counts[0]
    assert all(0 < s["ttft_p95_s"] <= 2 and 0 < s["tpot_p95_s"] <= 0.05 for s in found["seen"])
    assert found["bound_usd"] <= found["npv_usd"] * (1 + 1e-9)
    page = (folder / "out" / "roadmap.html").read_text()
    assert "What to do" in page
    assert page.count("<svg") == 3


def test_the_command_of_the_page_works(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    root = Path(__file__).parents[2]
    commands = re.findall(r"^tokenworks (roadmap .*)$", (root / "docs" / "roadmap.md").read_text(), re.MULTILINE)
    assert len(commands) == 1
    monkeypatch.chdir(root)
    assert main([*shlex.split(commands[0]), "--out", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert max(len(line) for line in said.splitlines() if not line.startswith("files:")) <= 80
    assert said.count("rented") > 1
