"""`showback` and `budget` over a small ledger, worked out by hand."""

from __future__ import annotations

import csv
import io
import json
from datetime import date, timedelta

import pyarrow
import pytest
from pyarrow import parquet

from tokenworks.cli.main import main
from tokenworks.economics.showback import Spent, showback
from tokenworks.events.ledger_events import CostEvent, OutcomeEvent, Reversal, UsageEvent
from tokenworks.ledger import Ledger
from tokenworks.pricing.periods import midnight_us
from tokenworks.report.showback import showback_text

HOUR_US = 3_600_000_000
FEBRUARY = midnight_us(date(2026, 2, 1), "UTC")
KWH_UJ = 3_600_000_000_000


def call(number, micro, at_h=0, run="r1", **fields):
    known = {"source": "gw", "id": f"c{number}", "time_us": FEBRUARY + at_h * HOUR_US, "tenant": "acme", "model": "m"}
    known |= {"root_run": run, "run": run, "agent": "coder", "input_fresh": 90, "cache_read": 0, "output_visible": 10}
    return UsageEvent(**known | {"cost_micro_usd": micro, "energy_uj": KWH_UJ} | fields)


def tool(number, micro, run="r1", **fields):
    known = {"source": "tools", "id": f"t{number}", "time_us": FEBRUARY, "tenant": "acme", "root_run": run}
    known |= {"meter": "search", "quantity_micro": 1_000_000, "unit": "search", "amount_micro": micro}
    return CostEvent(**known | fields)


def reached(number, run, name, status="verified", **fields):
    known = {"source": "crm", "id": f"o{number}", "time_us": FEBRUARY, "tenant": "acme", "root_run": run}
    return OutcomeEvent(**known | {"outcome": name, "status": status, "claim": f"claim-{number}"} | fields)


SEARCH, WEB = {"cost_centre": "engineering/search"}, {"cost_centre": "engineering / web", "project": "x"}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """$1 and $2 of search, $4 of web with a $0.50 tool, $8 of nobody, $16 reversed in March, $32 in March."""
    monkeypatch.chdir(tmp_path)
    with Ledger.open("ledger.db") as ledger:
        taken_back = call(5, 16_000_000, 3, "r4", tags=SEARCH)
        receipts = ledger.append([
            call(1, 1_000_000, 1, tags=SEARCH), call(2, 2_000_000, 2, tags=SEARCH, agent=""),
            call(3, 4_000_000, 3, "r2", tags=WEB), tool(1, 500_000, "r2", tags=WEB), call(4, 8_000_000, 12, "r3"),
            taken_back,
            Reversal(source="gw", id="b", time_us=FEBRUARY + 700 * HOUR_US, tenant="acme", of_source="gw", of_id="c5", reason="x"),
            call(6, 32_000_000, 24 * 28, "r5", tags=SEARCH), call(7, None, 5, "r3", tenant="other"),
            reached(1, "r1", "fixed"), reached(2, "r2", "fixed"), reached(3, "r2", "merged"), reached(4, "r3", "merged", "claimed"),
        ])  # fmt: skip
        assert {r.status for r in receipts} == {"stored"}
    return tmp_path


def shown(capsys, *arguments):
    assert main(["showback", "--month", "2026-02", *arguments, "--json"]) == 0
    return {row["place"]: row for row in json.loads(capsys.readouterr().out)}


def dollars(found):
    return {place: row["cost_micro_usd"] / 1e6 for place, row in found.items()}


def test_cost_centres_along_their_hierarchy(place, capsys):
    found = shown(capsys)
    expected = {"engineering": 7.5, "engineering/search": 3.0, "engineering/web": 4.5, "(untagged)": 8.0}
    assert dollars(found) == expected
    assert found["engineering/web"]["other_micro_usd"] == 500_000
    assert found["engineering"]["own_micro_usd"] == 0
    assert (found["(untagged)"]["events_without_cost"], found["engineering"]["events_without_cost"]) == (1, 0)
    assert dollars(shown(capsys, "--by", "cost-center")) == expected


def test_by_other_keys(place, capsys):
    assert dollars(shown(capsys, "--by", "run")) == {"r1": 3.0, "r2": 4.5, "r3": 8.0, "r4": 0.0}
    assert dollars(shown(capsys, "--by", "tenant")) == {"acme": 15.5, "other": 0.0}
    assert dollars(shown(capsys, "--by", "tag", "--tag", "project")) == {"x": 4.5, "(untagged)": 11.0}
    by_agent = shown(capsys, "--by", "agent")
    assert dollars(by_agent) == {"coder": 13.0, "(no agent)": 2.5}
    assert by_agent["coder"]["tokens"] == 4 * 100  # of another tenant too


def test_outcomes_divide_their_runs(place, capsys):
    """r2 reached two: each bears half. r3's was only claimed."""
    found = shown(capsys, "--by", "outcome")
    assert dollars(found) == {"fixed": 3.0 + 2.25, "merged": 2.25, "(no outcome)": 8.0}
    assert (found["fixed"]["outcomes"], found["merged"]["outcomes"]) == (2, 1)
    assert found["fixed"]["tokens"] + found["merged"]["tokens"] == 300


def test_commitments_of_the_month_are_spread_to_the_micro_dollar(place, capsys):
    """365 dollars of 2026: 28 of its 365 days are in February, by cost: 3 / 15.5 of it to search."""
    (place / "ahead.yaml").write_text("commitments: [{name: gpus, amount: 365, first: 2026-01-01, last: 2026-12-31}]\n")
    found = shown(capsys, "--by", "tenant", "--commitments", "ahead.yaml")
    assert found["acme"]["commitment_micro_usd"] == 28_000_000
    assert dollars(found)["acme"] == 43.5
    centre = shown(capsys, "--commitments", "ahead.yaml")
    assert centre["engineering/search"]["commitment_micro_usd"] == pytest.approx(28e6 * 3 / 15.5, abs=2)
    assert centre["engineering"]["commitment_micro_usd"] + centre["(untagged)"]["commitment_micro_usd"] == 28_000_000


def test_carbon_follows_the_hour_of_the_grid(place, capsys):
    """Six hours west of UTC, noon is 6:00: the catalogue's curve of us-central has 430 g there, and at 19:00 to 21:00."""
    found = shown(capsys, "--by", "run", "--grid", "us-central", "--pue", "1.5", "--utc-offset", "-6")
    assert found["r3"]["carbon_ug"] == pytest.approx(2 * 430e6 * 1.5)
    midday = shown(capsys, "--by", "run", "--grid", "us-central", "--pue", "1.5", "--utc-offset", "0")
    assert midday["r3"]["carbon_ug"] == pytest.approx((370 + 430) * 1e6 * 1.5)
    assert midday["r4"]["carbon_ug"] == 0  # taken back


def test_text_and_csv_say_the_same(place, capsys):
    assert main(["showback", "--month", "2026-02"]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    assert "  search" in text
    assert "the cost of 1 events is not known" in text
    assert text.index("(untagged)") < text.index("engineering")  # 8.00 before 7.50
    assert main(["showback", "--month", "2026-02", "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {row["place"]: int(row["cost_micro_usd"]) for row in rows}["engineering"] == 7_500_000


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--tag", "cost_center"], "Did you mean cost_centre?"),
        (["--by", "tag"], "needs --tag"),
        (["--by", "run", "--tag", "x"], "--tag says nothing"),
        (["--tag", 'a"b'], "is no name of a tag"),
        (["--grid", "us-central"], "needs --pue"),
        (["--pue", "1.2"], "name the region too"),
        (["--grid", "us-centrl", "--pue", "1.2", "--utc-offset", "0"], "Did you mean us-central"),
        (["--grid", "us-central", "--pue", "0.9", "--utc-offset", "0"], "1 to 10"),
        (["--zone", "Mars"], "unknown time zone"),
        (["--commitments", "bad.yaml"], "bad.yaml:2:8  spred: unknown key. Did you mean spread"),
        (["--by", "outcome", "--usage", "u.parquet"], "no such file"),
        (["--by", "tenant", "--usage", "bad.yaml"], "bad.yaml is no Parquet file"),
        (["--by", "tenant", "--cost", "other.parquet"], "other.parquet lacks agent, amount_micro"),
    ],
)
def test_refused(place, capsys, arguments, said):
    (place / "bad.yaml").write_text("commitments: []\nspred: cost\n")
    parquet.write_table(pyarrow.table({"tenant": ["acme"]}), place / "other.parquet")
    assert main(["showback", "--month", "2026-02", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_unknown_tokens_are_counted_not_zero(place, capsys):
    """An undivided total stands in two buckets; only what lacks one of them is unknown."""
    with Ledger.open("ledger.db") as ledger:
        unknown = call(20, 1, input_fresh=None, output_visible=None, output_tool=0)
        ledger.append([call(21, 1, output_reasoning=None, output_tool=None), unknown, call(22, 1, output_visible=None)])
    found = shown(capsys, "--by", "tenant")
    assert (found["acme"]["calls_without_tokens"], found["other"]["calls_without_tokens"]) == (2, 0)
    assert main(["showback", "--month", "2026-02"]) == 0
    assert "the tokens of 2 calls are not known" in capsys.readouterr().out
    (place / "budgets.yaml").write_text("budgets: [{name: t, amount_tokens: 10000}, {name: d, amount_usd: 1000}]\n")
    _, found = checked(capsys, "--month", "2026-02", "--today", "2026-03-10")
    assert (found["t"]["state"], found["t"]["events_without_tokens"]) == ("unknown", 2)
    assert main(["budget", "check", "budgets.yaml", "--month", "2026-02", "--today", "2026-03-10"]) == 0
    assert "the tokens of 2 events are not known" in capsys.readouterr().out


def test_what_is_unknown_of_other_months_is_not_of_this_one(place, capsys):
    """February has a call without a cost, on its first day."""
    (place / "budgets.yaml").write_text("budgets: [{name: all, amount_usd: 100}]\n")
    _, found = checked(capsys, "--month", "2026-03", "--today", "2026-04-10")
    assert (found["all"]["state"], found["all"]["events_without_cost"], found["all"]["spent"]) == (
        "within",
        0,
        32_000_000,
    )
    with Ledger.open("ledger.db") as ledger:
        ledger.append([call(30, None, 24 * 20)])
    for today, unknown in (("2026-02-20", 1), ("2026-02-21", 2)):
        assert checked(capsys, "--today", today)[1]["all"]["events_without_cost"] == unknown


def test_a_budget_of_nothing_says_so(place, capsys):
    (place / "budgets.yaml").write_text(
        "budgets: [{name: typo, amount_usd: 1, tenant: acmee}, {name: all, amount_usd: 99}]\n"
    )
    _, found = checked(capsys, "--month", "2026-02", "--today", "2026-03-10")
    assert (found["typo"]["matched"], found["all"]["matched"]) == (False, True)
    assert main(["budget", "check", "budgets.yaml", "--month", "2026-02", "--today", "2026-03-10"]) == 0
    assert capsys.readouterr().out.count("no event so far is one of this budget") == 1
    (place / "budgets.yaml").write_text("budgets: [{name: a, amount_usd: 1, cost_centre: ' / '}]\n")
    assert main(["budget", "check", "budgets.yaml"]) == 2
    assert "names no place" in capsys.readouterr().err


def test_a_month_of_nothing_says_so(place, capsys):
    assert main(["showback", "--month", "2025-02", "--by", "tenant"]) == 0
    assert "no event in this month" in capsys.readouterr().out
    assert main(["showback", "--month", "2025-02", "--by", "tenant", "--csv"]) == 0
    assert capsys.readouterr().out.startswith("place,level,calls")


def test_many_places_are_shown_at_once():
    """Each place once: a look at all of them for each would take hours here."""
    places = showback([((f"r{n}",), Spent(usage_micro=n)) for n in range(60_000)])
    said = showback_text(places, "run", 3, {}, False).splitlines()
    assert [line.split()[0] for line in said[1:4]] == ["r59999", "r59998", "r59997"]


def test_costs_in_another_currency_are_refused(place, capsys):
    with Ledger.open("ledger.db") as ledger:
        ledger.append([tool(9, 1, currency="EUR")])
    assert main(["showback", "--month", "2026-02"]) == 2
    assert "costs in EUR" in capsys.readouterr().err


BUDGETS = """
budgets:
- {name: search, cost_centre: engineering/search, amount_usd: 2.99}
- {name: all engineering, cost_centre: engineering, amount_usd: 7.50}
- {name: engine, cost_centre: engine, amount_usd: 1}
- {name: project, tags: {project: x}, tenant: acme, amount_usd: 100}
- {name: tokens, amount_tokens: 1000}
"""


def checked(capsys, *arguments):
    code = main(["budget", "check", "budgets.yaml", *arguments, "--json"])
    return code, {row["budget"]: row for row in json.loads(capsys.readouterr().out)}


def test_a_finished_month(place, capsys):
    """A budget is passed above its limit, not at it; a place is no prefix of letters; the cost of others is unknown."""
    (place / "budgets.yaml").write_text(BUDGETS)
    code, found = checked(capsys, "--month", "2026-02", "--today", "2026-03-10")
    assert code == 1
    assert {name: row["state"] for name, row in found.items()} == {
        "search": "over", "all engineering": "near", "engine": "within", "project": "within", "tokens": "within",
    }  # fmt: skip
    assert [row["spent"] for row in found.values()] == [3_000_000, 7_500_000, 0, 4_500_000, 500]
    assert found["search"]["expected"] is None
    (place / "budgets.yaml").write_text("budgets: [{name: all, amount_usd: 100}]\n")
    code, found = checked(capsys, "--month", "2026-02", "--today", "2026-03-10")
    assert (code, found["all"]["state"], found["all"]["events_without_cost"]) == (0, "unknown", 1)


def test_a_running_month_is_forecast_and_odd_days_are_named(place, capsys):
    """$10 a day for ten days but $30 on the 9th: 12 a day for 18 days more."""
    days = [call(n, 30_000_000 if n == 9 else 10_000_000, 24 * (n - 1) + 8) for n in range(1, 11)]
    with Ledger.open("new.db") as ledger:
        ledger.append(days)
    (place / "budgets.yaml").write_text("budgets: [{name: all, amount_usd: 300}, {name: t, amount_tokens: 100}]\n")
    asked = ("--ledger", "new.db", "--today", "2026-02-10")
    code, found = checked(capsys, *asked)
    row = found["all"]
    assert (code, row["state"], found["t"]["state"]) == (1, "expected over", "over")
    assert (row["spent"], row["expected"]) == (120_000_000, 120_000_000 + 18 * 12_000_000)
    assert row["low"] < row["expected"] < row["high"]
    assert row["used_up"] == str(date(2026, 2, 10) + timedelta(16))  # 180 left, above 15 days of 12
    assert [(a["day"], a["usual"]) for a in row["anomalies"]] == [("2026-02-09", 10_000_000)]
    (place / "budgets.yaml").write_text("budgets: [{name: all, amount_usd: 300}]\n")
    assert main(["budget", "check", "budgets.yaml", *asked]) == 0
    text = capsys.readouterr().out
    assert "the month ends between" in text
    assert "used up on 2026-02-26" in text
    assert max(map(len, text.splitlines())) <= 80
    assert main(["budget", "check", "budgets.yaml", *asked, "--expected"]) == 1
    capsys.readouterr()
    assert main(["budget", "check", "budgets.yaml", "--ledger", "new.db", "--today", "2026-02-02"]) == 0
    assert "no forecast: fewer than 3 days" in capsys.readouterr().out


def test_days_begin_at_the_midnight_of_the_zone(place, capsys):
    """00:00 UTC on the 1st of February is still January in New York."""
    (place / "budgets.yaml").write_text("budgets: [{name: r3, amount_usd: 1, tags: {project: x}}]\n")
    _, found = checked(capsys, "--month", "2026-01", "--today", "2026-03-01", "--zone", "America/New_York")
    assert found["r3"]["spent"] == 4_500_000


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("budgets: [{name: a, amount_usd: 1, amount_tokens: 1}]", "one of them"),
        ("budgets: [{name: a}]", "one of them"),
        (
            "budgets:\n- {name: a, amount_usd: 1, tenent: x}",
            "budgets.yaml:2:36  budgets[0].tenent: unknown key. Did you mean tenant",
        ),
        ("budgets: [{name: a, amount_usd: 1}, {name: a, amount_usd: 1}]", "stands twice"),
        ("budgets: [{name: a, amount_usd: -1}]", "at least 0"),
        ('budgets: [{name: a, amount_usd: 1, tags: {"a\'b": x}}]', "is no name of a tag"),
    ],
)
def test_bad_budgets(place, capsys, text, said):
    (place / "budgets.yaml").write_text(text)
    assert main(["budget", "check", "budgets.yaml", "--today", "2026-02-10"]) == 2
    assert said in capsys.readouterr().err


def test_a_month_to_come_is_refused(place, capsys):
    (place / "budgets.yaml").write_text(BUDGETS)
    assert main(["budget", "check", "budgets.yaml", "--month", "2026-03", "--today", "2026-02-10"]) == 2
    assert "has not begun" in capsys.readouterr().err
