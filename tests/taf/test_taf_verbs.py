"""`tokenworks taf` and `tokenworks reconcile` from the command line."""

import json

import msgspec
import pyarrow.parquet as parquet
import pytest
from calls_made import agent, call, reversal, usage

from tokenworks.cli.main import main
from tokenworks.errors import InputError, TraceError
from tokenworks.events.ledger_events import CostEvent
from tokenworks.ledger.exports import events_of, read_costs, read_usage

TOOL = CostEvent(
    source="s",
    id="t",
    time_us=1,
    tenant="a",
    root_run="r",
    meter="tool_call",
    quantity_micro=1,
    unit="call",
    amount_micro=5,
)


def lines(path, *events):
    path.write_bytes(b"\n".join(map(msgspec.json.encode, events)))
    return path


def told(capsys, *args, code=0):
    assert main([*map(str, args)]) == code
    return capsys.readouterr().out


def test_exports_in_both_forms_are_one_table(tmp_path):
    events = [*agent(), call(8, fresh=1), reversal(9, 8), TOOL]
    path = lines(tmp_path / "e.jsonl", *events)
    table = read_usage(path)
    parquet.write_table(table, tmp_path / "e.parquet")
    assert read_usage(tmp_path / "e.parquet") == table
    assert events_of(path) == events
    assert (table.num_rows, read_costs(path).num_rows, table.column("sign").to_pylist()[-2:]) == (7, 1, [1, -1])


def test_broken_exports(tmp_path):
    with pytest.raises(TraceError, match=r"e\.jsonl:2: "):
        read_usage(lines(tmp_path / "e.jsonl", call(1), {"type": "usage"}))
    with pytest.raises(InputError, match="not in the export"):
        read_usage(lines(tmp_path / "e.jsonl", reversal(2, 1)))
    with pytest.raises(InputError, match="an export is"):
        read_usage(tmp_path / "e.csv")
    parquet.write_table(usage(*agent()).drop_columns(["sign"]), tmp_path / "e.parquet")
    with pytest.raises(TraceError, match="lacks sign"):
        read_usage(tmp_path / "e.parquet")
    (tmp_path / "e.parquet").write_text("no table")
    with pytest.raises(TraceError, match=r"e\.parquet"):
        read_usage(tmp_path / "e.parquet")


def test_taf_in_json(tmp_path, capsys):
    events = [
        msgspec.structs.replace(
            e,
            cost_micro_usd=10 * (e.input_fresh + e.cache_write)
            + e.cache_read
            + 50 * (e.output_visible + e.output_reasoning + e.output_tool),
        )
        for e in agent()
    ]
    path = lines(tmp_path / "e.jsonl", *events, TOOL)
    found = json.loads(told(capsys, "taf", path, "--by", "tenant", "--json"))
    assert (found["taf"][0]["key"], found["taf"][0]["taf_processed"]["ratio"]) == (["a"], 48.2)
    assert found["waterfall"][0]["tokens"]["visible"] == 100
    cost = found["taf_cost"][0]
    assert (cost["cost_micro_usd"], cost["visible_micro_usd"], cost["tools_micro_usd"]) == (
        sum(e.cost_micro_usd for e in events) + 5,
        5000,
        5,
    )


def test_taf_in_words(tmp_path, capsys):
    text = told(
        capsys,
        "taf",
        lines(tmp_path / "e.jsonl", *agent(), call(9, "q", fresh=5, read=None, shown=None)),
        "--by",
        "run",
        "--limit",
        "1",
    )
    first = text.splitlines()[1].split()
    assert first == ["r", "1", "4,820", "100", "48.20", "–", "48.20", "48.20", "25.20", "–"]
    assert "… and 1 groups more" in text
    assert "1 runs with 5 tokens are left out" in text
    assert "reading again" in text
    assert "* " not in text


def test_taf_says_what_is_assumed(tmp_path, capsys):
    assert "* 1 runs mark no call as final" in told(
        capsys, "taf", lines(tmp_path / "e.jsonl", call(1, fresh=5, shown=5))
    )


def test_taf_without_a_ledger(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TOKENWORKS_LEDGER", raising=False)
    assert main(["taf"]) == 2
    assert "ledger ledger.db: no such file" in capsys.readouterr().err
    assert main(["taf", "x.jsonl", "--ledger", "l.db"]) == 2
    assert "not both" in capsys.readouterr().err


def test_templates_are_the_array_of_their_figures(capsys):
    found = json.loads(told(capsys, "taf", "--templates", "--json"))
    assert {tuple(sorted(row)) for row in found} == {("name", "taf", "total_tokens", "visible_tokens")}
    by_name = {row["name"]: row for row in found}
    assert by_name["narrative-deep-research"] == {
        "name": "narrative-deep-research", "total_tokens": 331_500, "visible_tokens": 10_000, "taf": 33.15
    }  # fmt: skip
    assert by_name["narrative-coding-agent"]["taf"] == 262_000 / 8_000


def test_templates_in_words_say_what_the_narrative_prints(capsys):
    text = told(capsys, "taf", "--templates").splitlines()
    assert next(line.split() for line in text if line.startswith("narrative-coding")) == [
        "narrative-coding-agent", "262,000", "8,000", "32.75"
    ]  # fmt: skip
    narrative = [line for line in text if "narrative's own range of 10 to 30" in line]
    assert len(narrative) == 2
    assert all("outside" in line for line in narrative)
    assert ["printed there as 26" in line for line in narrative] == [True, False]


def test_reconcile(tmp_path, capsys):
    start = 1_772_323_200
    export = lines(
        tmp_path / "e.jsonl",
        call(1, fresh=500, read=1000, shown=250, model="gpt-5", provider="openai", time_us=start * 1_000_000),
        call(2, fresh=5, model="llama", provider="vllm"),
    )
    result = {"model": "gpt-5", "input_tokens": 1500, "input_cached_tokens": 1000, "output_tokens": 300}
    bill = tmp_path / "b.json"
    bill.write_text(json.dumps({"data": [{"start_time": start, "end_time": start + 86_400, "results": [result]}]}))
    text = told(capsys, "reconcile", bill, "--export", export, "--provider", "openai", code=1)
    assert text.splitlines()[:2] == [
        "2 figures agree, 1 differ",
        "2026-03-01  gpt-5  output: ledger 250, bill 300: +50 tokens",
    ]
    found = json.loads(told(capsys, "reconcile", bill, "--export", export, "--provider", "openai", "--json", code=1))
    assert (found["differences"][0]["difference"], found["ledger_only"]) == ("50", [])
    text = told(capsys, "reconcile", bill, "--export", export, "--provider", "openai", "--all-providers", code=1)
    assert "in the ledger alone: 1\n  1970-01-01  llama  input_fresh  5 tokens" in text
    bill.write_text(bill.read_text().replace("300", "250"))
    assert told(capsys, "reconcile", bill, "--export", export, "--provider", "openai").startswith(
        "3 figures agree, 0 differ"
    )
    assert main(["reconcile", str(bill), "--export", str(export), "--provider", "openai", "--model", "x"]) == 2
