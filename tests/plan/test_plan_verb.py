"""`tokenworks plan` end to end on a small demand: files, the twin's word on them, infeasible demands, interruption."""

import itertools
import json
import re
from dataclasses import replace

import pytest

from tokenworks.cli.main import main
from tokenworks.plan.adjust import adjusted
from tokenworks.plan.build import grown, layout
from tokenworks.plan.choose import search
from tokenworks.plan.demand import Demand
from tokenworks.plan.make import make_plan
from tokenworks.plan.reading import loads
from tokenworks.plan.survey import market_of
from tokenworks.plan.trial import rehearsed
from tokenworks.rehearsal import rehearse
from tokenworks.report.plan_files import plan_json, read_plan
from tokenworks.report.plan_page import plan_page
from tokenworks.report.plan_text import explain_text, plan_text
from tokenworks.spec import load as load_factory

TEXT = """demand: small
site: {region: us-texas}
services:
  - {name: chat, model: llama-3.1-8b, engines: [vllm], precisions: [fp8], kv_precisions: [fp8], slo: {ttft_p95: 1 s, tpot_p95: 30 ms}}
workload:
  - {service: chat, arrivals: {kind: poisson}, rate: 300/s, input: {kind: lognormal, mean: 600, sigma: 0.7}, output: {kind: fixed, mean: 150}}
may_use: {systems: [hgx-h100, hgx-h200], serving: both, pay: [own, rent], max_degrees: {tp: 2, pp: 1}}
run: {requests: 1500, seed: 3}
"""


@pytest.fixture(scope="module")
def demand_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("demand") / "small.yaml"
    path.write_text(TEXT)
    return path


@pytest.fixture(scope="module")
def made(demand_file, tmp_path_factory):
    folder = tmp_path_factory.mktemp("plan")
    assert main(["plan", str(demand_file), "--out", str(folder), "--quiet"]) == 0
    return folder


def test_the_factory_file_runs_as_it_is_and_keeps_every_objective(made):
    factory = load_factory(made / "factory.yaml")
    result = rehearse(factory).result
    service = result.services[0]
    assert not service.saturated
    assert service.ttft.p95_s <= 1.0
    assert service.tpot.p95_s <= 0.03
    plan = read_plan(made)
    measured = {m.name: m.value for m in plan.best.limits}
    assert measured["chat: TTFT p95"] == service.ttft.p95_s
    assert measured["chat: TPOT p95"] == service.tpot.p95_s
    steady = result.money.total_usd / result.horizon_s * 3600
    assert plan.best.figures["usd_h"] == pytest.approx(steady, rel=0.02)


def test_the_same_demand_gives_the_same_bytes(made, demand_file, tmp_path):
    assert main(["plan", str(demand_file), "--out", str(tmp_path), "--quiet"]) == 0
    for name in ("plan.json", "factory.yaml", "plan.html"):
        assert (tmp_path / name).read_bytes() == (made / name).read_bytes()


def test_the_best_is_the_cheapest_of_what_was_rehearsed_and_holds(made):
    plan = read_plan(made)
    held = [o for o in plan.tried if not o.missed]
    assert plan.best.figures["usd_per_mtok"] == min(o.figures["usd_per_mtok"] for o in held)
    assert len({tuple((s.system, s.mode) for s in o.setups) for o in plan.tried}) == len(plan.tried) > 1


def test_plans_survive_json(made):
    plan = read_plan(made)
    assert plan_json(plan) == (made / "plan.json").read_text()


def test_the_terminal_says_the_answer_first_in_eighty_columns(made):
    plan = read_plan(made)
    for said in (plan_text(plan), explain_text(plan)):
        lines = said.splitlines()
        assert lines[0].startswith("small: ")
        assert max(map(len, lines)) <= 80
    assert "Runner-up" in plan_text(plan)
    assert "electricity" in plan_text(plan)


def test_the_page_shows_each_configuration_when_pointed_at(made):
    page = plan_page(read_plan(made))
    for point in read_plan(made).points[:5]:
        assert point.text.split(",")[0] in page
    assert page.count("<title>") > 20
    assert "http" not in re.sub(r'xmlns="[^"]*"', "", page)


def test_names_are_escaped_on_the_page():
    demand = loads(TEXT.replace("demand: small", 'demand: "<b>&small"'))
    page = plan_page(make_plan(demand))
    assert "<b>&small" not in page
    assert "&lt;b&gt;&amp;small" in page


def test_explain_reads_a_folder_and_says_no_where_there_is_none(made, capsys, tmp_path):
    assert main(["plan", "explain", str(made)]) == 0
    assert "What would change it" in capsys.readouterr().out
    assert main(["plan", "explain", str(tmp_path)]) == 2
    assert "plan.json" in capsys.readouterr().err
    (tmp_path / "plan.json").write_text('{"format": "tokenworks-plan-2", "demand": 3}')
    assert main(["plan", "explain", str(tmp_path)]) == 2


def test_json_is_all_that_json_prints(demand_file, capsys, tmp_path):
    assert main(["plan", str(demand_file), "--json", "--out", str(tmp_path)]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["format"] == "tokenworks-plan-2"
    assert data["best"]["setups"][0]["service"] == "chat"


def eased(demand: Demand, ttft_s: float) -> Demand:
    slo = demand.services[0].slo.model_copy(update={"ttft_p95_s": ttft_s})
    return demand.model_copy(update={"services": (demand.services[0].model_copy(update={"slo": slo}),)})


def test_an_infeasible_objective_gets_the_nearest_that_is_not(tmp_path, capsys):
    path = tmp_path / "tight.yaml"
    path.write_text(TEXT.replace("ttft_p95: 1 s", "ttft_p95: 2 ms"))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "factory.yaml").write_text("of an earlier plan")
    assert main(["plan", str(path), "--out", str(tmp_path / "out"), "--quiet"]) == 2
    printed = capsys.readouterr()
    assert (printed.out, "nothing that may be used keeps all limits" in printed.err) == ("", True)
    assert main(["plan", str(path), "--out", str(tmp_path / "out")]) == 2
    out = capsys.readouterr().out
    assert "TTFT p95 2 ms is infeasible" in out
    assert "costs $" in out
    assert not (tmp_path / "out" / "factory.yaml").exists()
    plan = read_plan(tmp_path / "out")
    (name, unit, limit, value) = plan.relaxations[0].limits[0]
    assert (name, unit, limit) == ("chat: TTFT p95", "s", 0.002)
    assert plan.conflict == ("chat: TTFT p95",)
    demand = loads(path.read_text())
    assert search(market_of(eased(demand, value * 1.0001), False)[0]).feasible
    assert not search(market_of(eased(demand, value * 0.999), False)[0]).feasible


def test_limits_that_exclude_each_other_are_named(tmp_path):
    demand = loads(TEXT + "limits: {gpus: 8, capex: $1000}\n")
    plan = make_plan(demand.model_copy(update={"may_use": demand.may_use.model_copy(update={"pay": ("own",)})}))
    assert plan.best is None
    assert plan.alone
    assert plan.conflict == ("capex",)


def test_a_robust_plan_holds_in_nine_of_ten_draws_and_costs_no_less(made):
    demand = loads(TEXT)
    plan, bold = make_plan(demand, robust=True), read_plan(made)
    assert plan.best.held_share >= 0.9
    assert plan.best.figures["usd_per_mtok"] >= bold.best.figures["usd_per_mtok"]
    assert plan.best.held_share > bold.best.held_share


def test_what_is_there_already_is_used_first():
    demand = loads(TEXT.replace("pay: [own, rent]", "pay: [own]") + "existing: [{system: hgx-h200, count: 4}]\n")
    best = make_plan(demand).best
    assert {s.system for s in best.systems} == {"hgx-h200"}
    assert best.figures["capex_usd"] == 0.0


def test_spares_stand_in_the_factory_but_serve_nothing():
    bold = make_plan(loads(TEXT)).best
    safe = make_plan(loads(TEXT + "limits: {availability: {share: 99.9%}}\n")).best
    assert sum(s.spares for s in safe.systems) >= 1
    assert sum(s.workers for s in safe.setups) == sum(s.workers for s in bold.setups)
    assert sum(s.count - s.spares for s in safe.systems) == sum(s.count for s in bold.systems)


def test_goodput_fills_the_limit():
    text = (
        TEXT.replace("serving: both, pay: [own, rent]", "serving: aggregated")
        + "objective: goodput\nlimits: {gpus: 16}\n"
    )
    best = make_plan(loads(text)).best
    assert best.figures["gpus"] == 16
    assert best.figures["goodput"] > 2 * 300 * 150 * 0.5
    assert not best.missed


def test_stopping_writes_nothing(demand_file, tmp_path, monkeypatch, capsys):
    import tokenworks.plan.rounds as rounds

    def press(*_args, **_more):
        raise KeyboardInterrupt

    monkeypatch.setattr(rounds, "adjusted", press)
    assert main(["plan", str(demand_file), "--out", str(tmp_path / "out")]) == 130
    assert not (tmp_path / "out").exists()


def test_asked_to_stop_is_heard_between_rehearsals():
    calls = []

    def stop() -> bool:
        calls.append(1)
        return len(calls) > 2

    with pytest.raises(KeyboardInterrupt):
        make_plan(loads(TEXT), stop=stop)


def test_figures_of_the_wide_pass_and_the_twin_agree(made):
    """Watts and dollars of the plan's own columns against the rehearsal: the closed form is good for a choice."""
    for o in read_plan(made).tried:
        assert o.figures["usd_h"] == pytest.approx(o.predicted["usd_h"], rel=0.05)
        assert o.figures["facility_w"] == pytest.approx(o.predicted["facility_w"], rel=0.25)


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_are_added_until_objectives_hold_and_no_more(workers):
    market, _ = market_of(loads(TEXT), False)
    picks = search(market).picks
    row = next(r for r in picks.rows[:, 0] if market.tables[0].prefill[r] < 0)
    wanted = layout(market, 0, int(row))
    trial = adjusted(market, [grown(wanted, workers, 0)], "small")
    assert trial.holds
    assert trial.attempts > 1
    (found,) = trial.layouts
    assert workers < found.workers <= 2 * wanted.workers
    assert not rehearsed(market, [grown(found, workers, 0)], "small").holds


def test_two_services_on_one_kind_of_server_share_it():
    text = TEXT.replace(
        "services:", "services:\n  - {name: other, model: llama-3.2-1b, engines: [vllm], precisions: [fp8]}"
    )
    text = text.replace(
        "workload:",
        "workload:\n  - {service: other, arrivals: {kind: poisson}, rate: 20/s, input: {kind: fixed, mean: 200}, output: {kind: fixed, mean: 50}}",
    ).replace("serving: both", "serving: aggregated")
    alone, both = make_plan(loads(TEXT)).best, make_plan(loads(text)).best
    assert len(both.setups) == 2
    assert sum(s.count for s in both.systems) <= sum(s.count for s in alone.systems) + 1
    assert sum(s.gpus for s in both.setups) <= sum(s.gpus for s in both.systems)
    assert not both.missed


def test_a_day_is_planned_for_its_busiest_time():
    text = TEXT.replace("kind: poisson}", "kind: weekly, peak_to_mean: 1.5, weekend: 50%}")
    peak = 1.5 * 7 / 6  # five days of 1 and two of a half
    day = make_plan(loads(text))
    flat = make_plan(loads(TEXT.replace("rate: 300/s", f"rate: {300 * peak}/s")))
    assert [s.workers for s in day.best.setups] == [s.workers for s in flat.best.setups]
    assert day.best.figures["usd_h"] == pytest.approx(flat.best.figures["usd_h"], rel=0.02)
    assert day.best.figures["usd_per_mtok"] == pytest.approx(flat.best.figures["usd_per_mtok"] * peak, rel=0.02)
    assert any("busiest time, 1.75 × the mean" in note for note in day.notes)
    assert "kind: poisson" in day.best.yaml


def test_two_objectives_give_a_front():
    plan = make_plan(loads(TEXT + "objective: [usd_per_mtok, tokens_per_joule]\n"))
    values = [(o.figures["usd_per_mtok"], -o.figures["tokens_per_joule"]) for o in plan.front]
    assert values == sorted(values)
    assert all(b[1] < a[1] for a, b in itertools.pairwise(values))
    assert plan.best.yaml == plan.front[0].yaml
    alone = plan_text(replace(plan, front=plan.front[:1]))
    assert "Front of $/Mtok output, tokens/J: this fleet alone" in alone
    assert "Front of" not in plan_text(replace(plan, front=()))


def test_schema_of_a_demand(capsys):
    assert main(["schema", "demand"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert {"demand", "services", "workload", "may_use", "limits"} <= set(schema["properties"])
