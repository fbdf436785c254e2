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
    found = json.loads(capsys.readouterr().out)
    tie = found["tie"]
    assert (found["tools_without_cost"], found["calls_without_cost"]) == (len(tools), 0)
    assert main([*books[:-1], "--run", str(tmp_path / "out/result.json"), "--ledger", str(place)]) == 0
    assert f"the cost of {len(tools):,} tools of the ledger is not known" in capsys.readouterr().out
    whole = json.loads((tmp_path / "out/result.json").read_text())["money"]["total_usd"]
    assert float(tie["factory_usd"]) == round(whole, 2)
    assert tie["ledger_micro_usd"] == sum(usage["cost_micro_usd"].to_pylist()) > 0
    assert float(tie["not_allocated_usd"]) == pytest.approx(whole - tie["ledger_micro_usd"] / 1e6, abs=0.01)
    assert {row["service"] for row in usage.to_pylist() if row["parent_run"]} == {"b"}


def booked(place) -> tuple[int, int]:
    """(usage events, runs of agents) that a ledger holds."""
    with Ledger.open(place, read_only=True) as ledger:
        assert ledger.verify().sound
        usage = ledger.usage_table()
        assert {row["run"].split("/w")[0] for row in ledger.cost_table().to_pylist()} == {
            run.split("/w")[0] for run in usage["root_run"].to_pylist()
        }
        return len(usage), len(set(usage["root_run"].to_pylist()))


def test_what_is_recorded_of_a_run_makes_no_second_run(factory, tmp_path, capsys):
    place = tmp_path / "ledger.db"
    arguments = ["run", str(factory), "--no-advice", "--out", str(tmp_path / "out"), "--ledger", str(place)]
    assert main(arguments) == 0
    first = booked(place)
    assert main([*arguments, "--requests"]) == 0
    assert "duplicate" in capsys.readouterr().out
    assert booked(place) == first


def test_runs_of_two_rehearsals_stay_apart(factory, tmp_path):
    """Both number their agents' runs from 0; a plan that bills runs, and a report by run, must see all of them."""
    arguments = ["run", str(factory), "--no-advice", "--quiet", "--out", str(tmp_path / "out"), "--ledger"]
    apart = []
    for seed in ("3", "4"):
        assert main([*arguments, str(tmp_path / f"{seed}.db"), "--set", f"run.seed={seed}"]) == 0
        assert main([*arguments, str(tmp_path / "both.db"), "--set", f"run.seed={seed}"]) == 0
        apart.append(booked(tmp_path / f"{seed}.db"))
    assert booked(tmp_path / "both.db") == tuple(map(sum, zip(*apart, strict=True)))


def test_a_run_that_is_not_stored_is_said_even_in_silence(factory, tmp_path, capsys, monkeypatch):
    from tokenworks.rehearsal import booking

    place = tmp_path / "ledger.db"
    arguments = ["run", str(factory), "--no-advice", "--out", str(tmp_path / "out"), "--ledger", str(place)]
    assert main([*arguments, "--quiet"]) == 0
    before = booked(place)
    key = booking.run_key
    monkeypatch.setattr(booking, "run_key", lambda made: key(made.replace("run.seed", 3)))
    for silent in ("--quiet", "--json"):
        assert main([*arguments, silent, "--set", "run.seed=5"]) == 2
        said = capsys.readouterr().err
        assert "nothing of the run is stored, conflict" in said
        assert str(place) in said
    assert booked(place) == before


def test_a_part_of_a_run_is_not_stored(factory, tmp_path, capsys, monkeypatch):
    """It would stand in the way of the whole run for ever."""
    from tokenworks import rehearsal

    whole = rehearsal.rehearse

    def cut(factory, say, stop, *rest, **options):
        looks = iter(range(10**9))
        return whole(factory, say, lambda: next(looks) > 2, *rest, **options)

    place = tmp_path / "ledger.db"
    arguments = ["run", str(factory), "--no-advice", "--quiet", "--out", str(tmp_path / "out"), "--ledger", str(place)]
    monkeypatch.setattr(rehearsal, "rehearse", cut)
    assert main(arguments) == 130
    assert "a part of a run is not stored" in capsys.readouterr().err
    with Ledger.open(place, read_only=True) as ledger:
        assert ledger.head() is None
    monkeypatch.setattr(rehearsal, "rehearse", whole)
    assert main(arguments) == 0
    assert booked(place)[0] > 0


@pytest.mark.parametrize(
    ("named", "said"),
    [
        (["--ledger", "nowhere/ledger.db"], "cannot be written there"),
        (["--ledger", "factory.yaml"], "not a database"),
        (["--segments", "folder"], "name the ledger too"),
    ],
)
def test_a_ledger_that_takes_nothing_is_said_before_the_run(factory, named, said, monkeypatch, capsys):
    monkeypatch.chdir(factory.parent)
    assert main(["run", str(factory), "--no-advice", *named]) == 2
    found = capsys.readouterr()
    assert said in found.err
    assert found.out == ""
    assert not (factory.parent / "out/small/result.json").exists()


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
