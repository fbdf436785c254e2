"""`run` of a factory that agents ask: files, lines, a plan, a ledger."""

import json
from pathlib import Path

import pytest

from tokenworks.cli.main import main
from tokenworks.ledger import Ledger

FILE = """
factory: small
systems: [{id: box, system: hgx-h100, count: 1, own: {depreciation: 4 y}}]
services:
  - {name: a, model: llama-3.1-8b, engine: vllm, tp: 1, workers: 5, prefix_cache: true}
  - {name: b, model: llama-3.2-3b, engine: vllm, tp: 1, workers: 3, prefix_cache: true}
workload:
  - {service: a, agents: multi-agent-research, runs: 4 per minute, compaction: 20000, sub_agents: b}
run: {horizon: 8 min, seed: 3}
"""
PLAN = Path(__file__).parents[2] / "examples/plans/tokens.yaml"


@pytest.fixture
def factory(tmp_path):
    path = tmp_path / "factory.yaml"
    path.write_text(FILE)
    return path


def test_a_run_is_metered_billed_and_booked_once(factory, tmp_path, capsys):
    place = tmp_path / "ledger.db"
    arguments = [
        "run",
        str(factory),
        "--no-advice",
        "--out",
        str(tmp_path / "out"),
        "--plan",
        str(PLAN),
        "--ledger",
        str(place),
    ]
    assert main(arguments) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "TAF processed" in said
    assert "revenue $" in said
    assert "stored" in said
    assert "<svg" in (tmp_path / "out/agents.html").read_text()
    assert main(arguments) == 0
    assert "duplicate" in capsys.readouterr().out
    with Ledger.open(place, read_only=True) as ledger:
        assert ledger.verify().sound
        usage, tools = ledger.usage_table(), ledger.cost_table()
    assert 0 < len(tools) < len(usage)
    assert set(tools["meter"].to_pylist()) == {"search_second", "citation_second"}
    assert set(tools["amount_micro"].to_pylist()) == {None}
    assert set(tools["run"].to_pylist()) <= set(usage["run"].to_pylist())
    assert set(tools["root_run"].to_pylist()) <= set(usage["root_run"].to_pylist())
    services = {s["name"]: s for s in json.loads((tmp_path / "out/result.json").read_text())["services"]}
    made = dict.fromkeys(services, 0)
    for row in usage.to_pylist():
        made[row["service"]] += row["output_visible"] + row["output_reasoning"] + row["output_tool"]
    assert made == {name: s["output_tokens"] for name, s in services.items()}
    assert made["b"] > 0  # sub-agents have a service of their own
    (tmp_path / "invoices").mkdir()
    (tmp_path / "books.yaml").write_text("first_month: 2026-01\nlast_month: 2026-01\ndiscount_rate_year: 0%\n")
    books = ["pnl", str(tmp_path / "books.yaml"), "--folder", str(tmp_path / "invoices"), "--json"]
    assert main([*books, "--run", str(tmp_path / "out/result.json"), "--ledger", str(place)]) == 0
    tie = json.loads(capsys.readouterr().out)["tie"]
    whole = json.loads((tmp_path / "out/result.json").read_text())["money"]["total_usd"]
    assert float(tie["factory_usd"]) == round(whole, 2)
    assert tie["ledger_micro_usd"] == sum(usage["cost_micro_usd"].to_pylist()) > 0
    assert float(tie["not_allocated_usd"]) == pytest.approx(whole - tie["ledger_micro_usd"] / 1e6, abs=0.01)
    assert {row["service"] for row in usage.to_pylist() if row["parent_run"]} == {"b"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("sub_agents: b", "sub_agents: c"), "no service 'c'; known are a, b"),
        (("compaction: 20000", "compaction: 10"), "workload[0].compaction"),
        (
            ("agents: multi-agent-research, runs: 4 per minute", "arrivals: {kind: poisson, rate: 1}"),
            "belongs to agents",
        ),
    ],
)
def test_what_does_not_fit_is_said_and_nothing_is_run(factory, change, said, capsys):
    factory.write_text(FILE.replace(*change))
    assert main(["run", str(factory)]) == 2
    assert said in capsys.readouterr().err


def test_a_plan_without_agents_is_refused(capsys):
    assert main(["run", "laptop", "--plan", str(PLAN)]) == 2
    assert "no workload of this factory has agents" in capsys.readouterr().err
