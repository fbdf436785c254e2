"""`taf`, `price`, `invoice` and `reconcile` on a ledger itself: the same figures as from its export, and a pinned range."""

from __future__ import annotations

import json

import pytest
from made_plans import ACCOUNT, PLAN

from tokenworks.cli.main import main
from tokenworks.events.ledger_events import CostEvent, OutcomeEvent, Reversal, UsageEvent
from tokenworks.ledger import Ledger
from tokenworks.ledger.clock import Clock
from tokenworks.ledger.ingest.records import micros

BERLIN = "2026-01-31T23:00:00Z/2026-02-28T23:00:00Z"


def us(text: str) -> int:
    return micros(text, "time")


def usage(name: str, at: str, **tokens) -> UsageEvent:
    known = {"input_fresh": 0, "cache_read": 0, "output_visible": 0}
    return UsageEvent(
        source="gw", id=name, time_us=us(at), tenant="acme", root_run="r", run="r", model="m", provider="openai",
        **{**known, **tokens},
    )  # fmt: skip


WRONG = usage("5", "2026-02-22T10:00:00Z", input_fresh=777)
EVENTS = [
    usage("1", "2026-02-01T10:00:00Z", input_fresh=1_000_000, cache_read=7_654_321, output_visible=900_000),
    usage("2", "2026-02-03T10:00:00Z", input_fresh=50_000, output_reasoning=300_000),
    usage("3", "2026-02-20T10:00:00Z", input_fresh=2_000_000, cache_write=11, output_visible=100_000),
    usage("4", "2026-02-21T10:00:00Z", input_fresh=77, failed=True),
    WRONG,
    Reversal(source="gw", id="b", time_us=us("2026-02-23T10:00:00Z"), tenant="acme", of_source="gw", of_id="5", reason="x"),
    CostEvent(
        source="t", id="s", time_us=us("2026-02-04T10:00:00Z"), tenant="acme", meter="search",
        quantity_micro=400_000_000, unit="search", amount_micro=None,
    ),
    OutcomeEvent(
        source="t", id="x", time_us=us("2026-02-04T10:00:00Z"), tenant="acme", outcome="ticket", status="verified",
        claim="x", value_micro=None,
    ),
]  # fmt: skip


def append(events) -> None:
    clock = Clock(now_us=lambda: us("2026-06-01T00:00:00Z"))
    with Ledger.open("l.db", clock=clock) as ledger:
        assert {receipt.status for receipt in ledger.append(events)} == {"stored"}


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOKENWORKS_LEDGER", "l.db")
    (tmp_path / "pro.yaml").write_text(PLAN)
    account = "\n".join("  " + line for line in ACCOUNT.strip().splitlines())
    (tmp_path / "accounts.yaml").write_text("accounts:\n-" + account[1:] + "\n")
    append(EVENTS)
    return tmp_path


def draft(month: str, *more: str) -> list[str]:
    fixed = ["invoice", "draft", "pro.yaml", "--accounts", "accounts.yaml", "--tenant", "acme", "--issuer", "Factory"]
    return [*fixed, "--month", month, *more]


ISSUE = ["invoice", "issue", "draft.json", "--number", "2026-1", "--date", "2026-03-02"]


def test_an_open_period_says_how_it_is_closed(place, capsys):
    assert main(draft("2026-02")) == 2
    said = capsys.readouterr().err
    assert f"close it first: tokenworks ledger close {BERLIN} --tenant acme --ledger l.db" in said
    assert main(["ledger", "close", "2026-02"]) == 0
    assert main(draft("2026-02")) == 2
    hour = "2026-01-31T23:00:00Z/2026-02-01T00:00:00Z --tenant acme"
    assert f"tokenworks ledger close {hour} --ledger l.db" in capsys.readouterr().err
    assert main(["ledger", "close", *hour.split()]) == 0
    assert main(draft("2026-02", "--output", "draft.json")) == 0


def test_the_invoice_pins_what_was_closed(place, capsys):
    assert main(["ledger", "close", BERLIN, "--json"]) == 0
    closed = json.loads(capsys.readouterr().out)
    append([usage("late", "2026-02-24T00:00:00Z", input_fresh=1_000_000)])
    assert main(draft("2026-02", "--output", "draft.json")) == 0
    found = json.loads((place / "draft.json").read_bytes())
    assert found["ledger"] == {"first_seq": 1, "last_seq": 8, "sha256": closed["link"]}
    assert found["total"] == "208.80"  # as tests/pricing/test_verbs.py has it from exported tables
    assert main(["ledger", "export", "--to", "parquet", "--out", "tables"]) == 0
    tables = [
        "--usage",
        "tables/usage.parquet",
        "--cost",
        "tables/cost.parquet",
        "--outcomes",
        "tables/outcome.parquet",
    ]
    assert main(draft("2026-02", *tables, "--range", f"1:8:{closed['link']}", "--output", "other.json")) == 0
    assert (place / "other.json").read_bytes() == (place / "draft.json").read_bytes()
    assert main(ISSUE) == 0
    assert main(["ledger", "close", "2026-02-28T23:00:00Z/2026-03-31T22:00:00Z"]) == 0
    assert main(draft("2026-03", "--after", "invoices/2026-1.json", "--output", "march.json")) == 0
    march = json.loads((place / "march.json").read_bytes())["lines"]
    late = [line for line in march if line["kind"] == "adjustment"]
    assert [(line["of_period"], line["quantity"], line["amount"]) for line in late] == [("2026-02", "1000000", "2.50")]


def test_a_draft_of_another_ledger_is_not_issued(place, capsys):
    assert main(["ledger", "close", BERLIN]) == 0
    assert main(draft("2026-02", "--output", "draft.json")) == 0
    with Ledger.open("other.db") as other:
        other.append(EVENTS[:3])
    assert main([*ISSUE, "--ledger", "other.db"]) == 2
    assert "is open from" in capsys.readouterr().err
    assert main(["ledger", "close", BERLIN, "--ledger", "other.db"]) == 0
    assert main([*ISSUE, "--ledger", "other.db"]) == 2
    assert "closed that period with 1:3:" in capsys.readouterr().err
    assert main(ISSUE) == 0
    credit = ["invoice", "credit", "2026-1", "--number", "C-1", "--date", "2026-03-05", "--reason", "outage"]
    assert main([*credit, "--ledger", "other.db"]) == 2
    assert not (place / "invoices" / "C-1.json").exists()
    assert main([*credit, "--ledger", "l.db"]) == 0


def test_plans_are_compared_and_found_on_the_ledger(place, capsys):
    common = ["--accounts", "accounts.yaml", "--month", "2026-02", "--draws", "50", "--json"]
    assert main(["price", "simulate", "pro.yaml", *common]) == 0
    assert json.loads(capsys.readouterr().out)[0]["revenue_usd"] == "185.46"
    assert main(["price", "simulate", "pro.yaml", *common, "--usage", "u.parquet", "--ledger", "l.db"]) == 2
    assert "not both" in capsys.readouterr().err


def test_a_reversal_in_the_ledger_takes_back_its_original(place, capsys):
    """Rows of sign −1 carry the (source, id) of what they take back: pricing and TAF pair them."""
    with Ledger.open("l.db") as ledger:
        rows = [row for row in ledger.usage_table().to_pylist() if row["id"] == "5"]
        ledger.seal()
        assert [row for row in ledger.usage_table().to_pylist() if row["id"] == "5"] == rows
    assert [(row["sign"], row["source"], row["input_fresh"]) for row in rows] == [(1, "gw", 777), (-1, "gw", 777)]
    assert main(["taf", "--by", "tenant", "--resamples", "0", "--json"]) == 0
    whole = json.loads(capsys.readouterr().out)["taf"][0]
    assert (whole["calls"], whole["processed_tokens"]) == (4, 12_004_409)


def test_reconcile_reads_the_ledger(place, capsys):
    result = {"model": "m", "input_tokens": 8_654_321, "input_cached_tokens": 7_654_321, "output_tokens": 900_001}
    start = us("2026-02-01T00:00:00Z") // 1_000_000
    bucket = {"start_time": start, "end_time": start + 86_400, "results": [result]}
    (place / "bill.json").write_text(json.dumps({"data": [bucket]}))
    assert main(["reconcile", "bill.json", "--provider", "openai", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)["differences"]
    assert [(row["bucket"], row["difference"]) for row in found] == [("output", "1")]
