"""Profit and loss of a factory: its costs come from its own books and tie to the ledger and the invoices, to the cent."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from tokenworks.api import load
from tokenworks.cli.main import main
from tokenworks.economics.facts import facts_of
from tokenworks.errors import InputError
from tokenworks.events.ledger_events import CostEvent
from tokenworks.ledger import Ledger
from tokenworks.pricing.factory_books import Money, Part, RunBooks, of_factory, of_runs, tied
from tokenworks.pricing.periods import month
from tokenworks.spec.factory import Network

FACTORY = """
factory: small
systems: [{id: box, system: hgx-h100, count: 1, own: {depreciation: 4 y}}]
services: [{name: a, model: llama-3.1-8b, engine: vllm, tp: 1, prefix_cache: true}]
workload: [{service: a, agents: chat, runs: 60 per minute, tenants: 2}]
run: {horizon: 2 min, warmup: 0 s, seed: 3}
"""
BOOKS = "first_month: 2026-01\nlast_month: 2026-02\ndiscount_rate_year: 10%\n"
ACCOUNTS = "accounts:\n" + "".join(f"- {{tenant: tenant-0{n}, plan: tokens, from: 2026-01-01}}\n" for n in (1, 2))
PLAN = Path(__file__).parents[2] / "examples/plans/tokens.yaml"
JANUARY_US = month("2026-01").start_us


def made(**causes: float) -> RunBooks:
    parts = [Part(label.replace("_", " "), usd) for label, usd in causes.items()]
    return RunBooks("f", 60.0, False, Money(sum(causes.values()), parts))


def test_cents_of_kinds_and_months_sum_to_the_run():
    """A run over the turn of the month: 1/3 of its time in January. Three parts of 0.334 dollars are a dollar."""
    run = made(energy=0.334, staff=0.334, demand_charge=0.334)
    run.horizon_s = 30.0
    found = of_runs([run], month("2026-02").start_us - 10_000_000, ["2026-01", "2026-02"])
    assert found.usd == Decimal("1.00")
    assert {label: sum(costs.values()) for label, costs in found.by_month.items()} == {
        "2026-01": Decimal("0.33"),  # 0.11 of each part
        "2026-02": Decimal("0.67"),
    }
    assert found.of("2026-02", "energy") > found.of("2026-02", "staff")


def test_a_run_beyond_the_books_is_refused():
    with pytest.raises(InputError, match="lasts beyond the books"):
        of_runs([made(energy=1.0)], month("2026-03").start_us - 1, ["2026-01", "2026-02"])


def test_a_run_named_twice_is_refused():
    """Its costs would count twice; another seed is another run."""
    one, other = made(energy=1.0), made(energy=1.0)
    other.seed = 1
    assert of_runs([one, other], JANUARY_US, ["2026-01"]).usd == 2
    with pytest.raises(InputError, match="named twice"):
        of_runs([one, other, made(energy=1.0)], JANUARY_US, ["2026-01"])


def test_events_cannot_cost_more_than_their_runs():
    costs = of_runs([made(energy=2.0)], JANUARY_US, ["2026-01"])
    assert tied(costs, 1_500_000)["not_allocated_usd"] == "0.50"
    with pytest.raises(InputError, match="name every run"):
        tied(costs, 2_020_000)


def test_the_capital_path_of_whole_months(tmp_path):
    """By hand from the facts: maintenance of January is price × share × 31 days of the year."""
    (tmp_path / "f.yaml").write_text(FACTORY)
    factory = load(tmp_path / "f.yaml")
    (box,) = facts_of(factory).systems
    found = of_factory(factory, ["2026-01", "2026-02"])
    assert float(found.of("2026-01", "maintenance")) == pytest.approx(
        box.price_usd * box.maintenance_share_year * 31 / 365.25, abs=0.006
    )
    assert found.of("2026-02", "lease") < found.of("2026-01", "lease")
    assert found.of("2026-01", "energy") == 0
    (bought,) = found.bought
    assert (float(bought.price), bought.life_months) == (box.price_usd, 48)


def test_the_network_is_bought_and_kept_up_with_its_systems(tmp_path):
    """Twice the price of hardware, twice the upkeep: as if the network were one more system of its price."""
    (tmp_path / "f.yaml").write_text(FACTORY)
    bare = load(tmp_path / "f.yaml")
    (box,) = facts_of(bare).systems
    (system,) = bare.systems
    price = box.price_usd / system.count
    joined = bare.model_copy(update={"systems": (system.model_copy(update={"network": Network(price=price)}),)})
    one, two = (of_factory(factory, ["2026-01"]) for factory in (bare, joined))
    assert float(two.of("2026-01", "maintenance")) == pytest.approx(
        2 * float(one.of("2026-01", "maintenance")), abs=0.011
    )
    assert two.of("2026-01", "lease") == one.of("2026-01", "lease")
    assert float(two.bought[0].price) == 2 * float(one.bought[0].price)


MONEY = {
    "total_usd": 7.004,
    "parts": [{"label": label, "value": usd, "parent": ""} for label, usd in (
        ("depreciation", 4.001), ("maintenance", 0.5), ("space and cooling plant", 0.751), ("energy", 1.25),
        ("demand charge", 0.252), ("staff", 0.25),
    )],
}  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A run's result and its events, which bear $6.50 of its $7.004, and a search; January closed and billed."""
    folder = tmp_path_factory.mktemp("pnl")
    (folder / "f.yaml").write_text(FACTORY)
    (folder / "books.yaml").write_text(BOOKS)
    (folder / "accounts.yaml").write_text(ACCOUNTS)
    (folder / "out").mkdir()
    run = {"factory": "small", "horizon_s": 3600.0, "interrupted": False, "money": MONEY, "seed": 3}
    (folder / "out/result.json").write_text(json.dumps(run))
    book = ["--ledger", str(folder / "l.db")]
    with Ledger.open(folder / "l.db") as ledger:
        ledger.append_segment("twin/small/3/ab", {
            "time_us": JANUARY_US + np.arange(4), "tenant": np.array(["tenant-01", "tenant-02"] * 2), "model": "m",
            "input_fresh": np.full(4, 10**6), "cache_read": np.zeros(4, int), "output_visible": np.full(4, 10**5),
            "cost_micro_usd": np.array([1_000_000, 2_000_000, 3_000_000, 500_000]),
        })  # fmt: skip
        search = CostEvent(
            source="t", id="1", time_us=JANUARY_US, tenant="tenant-01", meter="search",
            quantity_micro=1_000_000, unit="search", amount_micro=1_230_000,
        )  # fmt: skip
        ledger.append([search])
    assert main(["ledger", "close", "2026-01", *book]) == 0
    for n in (1, 2):
        draft = ["invoice", "draft", str(PLAN), "--accounts", str(folder / "accounts.yaml"), "--tenant", f"tenant-0{n}"]
        draft += [
            "--month",
            "2026-01",
            "--issuer",
            "F",
            "--unpriced",
            "line",
            "--output",
            str(folder / "d.json"),
            *book,
        ]
        assert main(draft) == 0
        issue = ["invoice", "issue", str(folder / "d.json"), "--number", f"N{n}", "--date", "2026-02-02"]
        assert main([*issue, "--folder", str(folder / "invoices"), *book]) == 0
    return folder


def asked(place, *arguments):
    return ["pnl", str(place / "books.yaml"), "--folder", str(place / "invoices"), *map(str, arguments)]


def test_everything_ties_to_the_cent(place, capsys):
    arguments = asked(place, "--run", place / "out/result.json", "--ledger", place / "l.db")
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    money = json.loads((place / "out/result.json").read_text())["money"]
    january, february = found["months"]
    costs = {key: Decimal(usd) for key, usd in january["costs_usd"].items()}
    assert costs.pop("tools") == Decimal("1.23")
    assert sum(costs.values()) == round(Decimal(money["total_usd"]), 2) == Decimal(found["tie"]["factory_usd"])
    metered = sum(part["value"] for part in money["parts"] if part["label"] in ("energy", "demand charge"))
    assert abs(costs["energy"] - Decimal(metered)) <= Decimal("0.01")
    assert found["tie"] == {"factory_usd": "7.00", "ledger_micro_usd": 6_500_000, "not_allocated_usd": "0.50"}
    invoices = [json.loads(path.read_text()) for path in (place / "invoices").glob("*.json")]
    assert Decimal(january["billed_usd"]) == sum(Decimal(one["net"]) for one in invoices) > 0
    assert {*february["costs_usd"].values()} == {"0.00"}
    assert main(arguments) == 0
    assert "idle, lost or unused" in capsys.readouterr().out


def test_a_factory_file_alone(place, capsys):
    assert main([*asked(place, "--factory", place / "f.yaml"), "--json"]) == 0
    january, february = json.loads(capsys.readouterr().out)["months"]
    assert Decimal(january["invested_usd"]) > Decimal(january["costs_usd"]["depreciation"]) > 0
    assert february["invested_usd"] == "0.00"
    assert january["costs_usd"]["maintenance"] > february["costs_usd"]["maintenance"]


@pytest.mark.parametrize(
    ("books", "arguments", "said"),
    [
        ("running: [{from_month: 2026-01, energy: 5}]", ["--run", "out/result.json"], "energy comes from the factory"),
        (
            "running: [{from_month: 2026-01, tools: 5}]",
            ["--ledger", "l.db"],
            "tools comes from the factory or its ledger",
        ),
        ("assets: [{name: r, month: 2026-01, price: 1, life_months: 1}]", ["--factory", "f.yaml"], "leave assets out"),
        ("", ["--run", "books.yaml"], "no result of `tokenworks run`"),
        ("", ["--run", "none.json"], "cannot read none.json"),
        ("", ["--run", "out/result.json", "--run", "none.json", "--ledger", "l.db"], "cannot read"),
        ("", ["--ledger", "other.db"], "no such file"),
    ],
)
def test_refused(place, capsys, monkeypatch, books, arguments, said):
    monkeypatch.chdir(place)
    (place / "bad.yaml").write_text(BOOKS + books)
    assert main(["pnl", "bad.yaml", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_invoices_of_another_ledger_are_refused(place, tmp_path, capsys):
    with Ledger.open(tmp_path / "other.db") as ledger:
        ledger.append(
            [
                CostEvent(
                    source="t",
                    id="1",
                    time_us=JANUARY_US,
                    tenant="x",
                    meter="m",
                    quantity_micro=1,
                    unit="u",
                    amount_micro=1,
                )
            ]
        )
        period = month("2026-01")
        ledger.close_period(period.start_us, period.end_us)
    assert main(asked(place, "--ledger", tmp_path / "other.db")) == 2
    assert "draft it from this ledger" in capsys.readouterr().err
