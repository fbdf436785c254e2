"""`price` and `invoice` from the command line: what they print, what they refuse, that nothing is half-written."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest
from made_plans import ACCOUNT, PLAN, ledger

from tokenworks.cli.main import main

SHA = "ab" * 32
TOKENS = "plan: tokens\ncurrency: USD\nversions: [{id: t1, from: 2025-01-01, prices: [{id: t, meter: tokens, price: 0.000002}, {id: c, meter: cost, price: 0.02}], free: [outcomes]}]\n"


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pro.yaml").write_text(PLAN)
    (tmp_path / "tokens.yaml").write_text(TOKENS)
    account = "\n".join("  " + line for line in ACCOUNT.strip().splitlines())
    (tmp_path / "accounts.yaml").write_text("accounts:\n-" + account[1:] + "\n")
    made = ledger()
    for name in ("usage", "cost", "outcomes"):
        pq.write_table(getattr(made, name), tmp_path / f"{name}.parquet")
    return tmp_path


TABLES = [
    "--accounts",
    "accounts.yaml",
    "--usage",
    "usage.parquet",
    "--cost",
    "cost.parquet",
    "--outcomes",
    "outcomes.parquet",
    "--month",
    "2026-02",
]
DRAFT = ["invoice", "draft", "pro.yaml", *TABLES, "--tenant", "acme", "--issuer", "Factory", "--range", f"1:4:{SHA}"]
ISSUE = ["invoice", "issue", "draft.json", "--number", "2026-1", "--date", "2026-03-02"]


def test_from_draft_to_credit(place, capsys):
    assert main([*DRAFT, "--output", "draft.json"]) == 0
    assert main([*ISSUE, "--closed-until", "2026-02-20T00:00:00Z"]) == 2
    assert "the period is open" in capsys.readouterr().err
    assert not (place / "invoices").exists()
    assert main([*ISSUE, "--closed-until", "2026-03-01T00:00:00+01:00"]) == 0
    assert (
        main(
            [
                "invoice",
                "credit",
                "2026-1",
                "--number",
                "C-1",
                "--date",
                "2026-03-05",
                "--reason",
                "outage",
                "--lines",
                "6",
            ]
        )
        == 0
    )
    assert (
        main(
            [
                "invoice",
                "credit",
                "2026-1",
                "--number",
                "C-2",
                "--date",
                "2026-03-05",
                "--reason",
                "outage",
                "--lines",
                "6",
            ]
        )
        == 2
    )
    assert "credited before" in capsys.readouterr().err
    for view, begin in (
        ("json", b"{"),
        ("csv", b"invoice"),
        ("html", b"<!doctype"),
        ("pdf", b"%PDF"),
        ("focus", b"Billed"),
        ("focus-1.2", b"Billed"),
    ):
        assert main(["invoice", "show", "2026-1", "--as", view, "--output", f"x.{view}"]) == 0
        assert (place / f"x.{view}").read_bytes().startswith(begin)
    assert json.loads((place / "x.json").read_bytes())["total"] == "208.80"


def test_the_next_month_follows(place, capsys):
    main([*DRAFT, "--output", "draft.json"])
    main([*ISSUE, "--closed-until", "2026-03-01T00:00:00Z"])
    march = [part if part != "2026-02" else "2026-03" for part in DRAFT]
    assert main(march) == 2
    assert "needs the balance of the commit 'c-2026'" in capsys.readouterr().err
    assert main([*march, "--after", "invoices/2026-1.json", "--output", "march.json"]) == 0
    found = json.loads((place / "march.json").read_bytes())
    assert [c["period"]["label"] for c in found["pinned"]["closed"]] == ["2026-02"]
    assert not [line for line in found["lines"] if line["kind"] == "adjustment"]


def test_price_list(place, capsys):
    assert main(["price", "list", "pro.yaml", "tokens.yaml"]) == 0
    said = capsys.readouterr().out
    assert "graduated: 15 to 1,000,000, then 12.5 per 1,000,000" in said
    assert "less 50%" in said


def test_simulate_and_find(place, capsys):
    plans = ["price", "simulate", "pro.yaml", "tokens.yaml", *TABLES, "--draws", "50"]
    assert main([*plans, "--json"]) == 0
    pro, tokens = json.loads(capsys.readouterr().out)
    assert pro["revenue_usd"] == "185.46"  # without tax and prepaid money
    assert "does not draw outcomes" in pro["risk"]
    assert tokens["risk"]["draws"] == 50
    assert main(plans) == 0
    assert "pro: revenue $185.46" in capsys.readouterr().out
    found = [
        "price",
        "find",
        "tokens.yaml",
        *TABLES,
        "--price",
        "t",
        "--margin",
        "30%",
        "--step",
        "0.0000001",
        "--json",
    ]
    assert main(found) == 0
    assert json.loads(capsys.readouterr().out)["miss"] <= 0.05


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (["--usage", "none.parquet"], "no such file: none.parquet"),
        (["--tenant", "other"], "no account of tenant 'other'"),
        (["--range", "1:4:ab"], "is no range of a ledger"),
        (["--month", "2026-13"], "is no month"),
        (["--accounts", "pro.yaml"], "unknown key"),
    ],
)
def test_refused(place, capsys, change, said):
    arguments = list(DRAFT)
    arguments[arguments.index(change[0]) + 1] = change[1]
    assert main([*arguments, "--output", "draft.json"]) == 2
    assert said in capsys.readouterr().err
    assert not (place / "draft.json").exists()
