"""The verb, end to end: ingest with malformed lines, ask, close, seal, export, verify."""

import json

import msgspec
import pytest
from ledger_samples import cost, outcome, reversal, usage

from tokenworks.cli.main import main
from tokenworks.ledger import Ledger


@pytest.fixture
def place(tmp_path):
    return tmp_path / "l.db"


def lines(*events) -> bytes:
    return b"".join(msgspec.json.encode(event) + b"\n" for event in events)


def said(capsys, *arguments) -> dict:
    code = main(["ledger", *map(str, arguments), "--json"])
    return {"code": code, "found": json.loads(capsys.readouterr().out)}


def test_from_lines_to_lines_and_back(place, tmp_path, capsys):
    events = lines(usage(1), cost(2), outcome(3), reversal(4, usage(1)))
    (tmp_path / "in.jsonl").write_bytes(events + b"\n" + lines(usage(1)))
    first = said(capsys, "ingest", tmp_path / "in.jsonl", "--ledger", place)
    assert (first["code"], first["found"]["stored"], first["found"]["duplicate"], first["found"]["blank"]) == (
        0,
        4,
        1,
        1,
    )
    assert said(capsys, "close", "2025-06", "--ledger", place)["found"]["last_seq"] == 4
    assert said(capsys, "seal", "--ledger", place)["found"] == {"sealed": 4}
    rows = said(capsys, "query", "SELECT id, sign FROM usage ORDER BY seq", "--ledger", place)["found"]
    assert rows == [{"id": "call-1", "sign": 1}, {"id": "call-1", "sign": -1}]
    assert said(capsys, "export", "--out", tmp_path / "out.jsonl", "--ledger", place)["found"] == {"events": 4}
    copy = tmp_path / "copy.db"
    assert said(capsys, "ingest", tmp_path / "out.jsonl", "--ledger", copy)["found"]["stored"] == 4
    with Ledger.open(copy) as one, Ledger.open(place) as other:
        assert one.usage_table() == other.usage_table()
    assert said(capsys, "verify", "--ledger", place)["found"]["sound"]
    counts = said(capsys, "export", "--to", "parquet", "--out", tmp_path / "out", "--ledger", place)["found"]
    assert counts == {"usage": 2, "cost": 1, "outcome": 1}


def test_malformed_lines_are_kept_aside_counted_and_taken_in_again(place, tmp_path, capsys):
    unknown = msgspec.json.encode(outcome(3)).replace(b'"outcome":', b'"colour":"red","outcome":')
    bad = [b"{not json}", unknown, b'{"type":"usage"}', b"\xff\xfe", msgspec.json.encode(reversal(9, usage(8)))]
    (tmp_path / "in.jsonl").write_bytes(lines(usage(1)) + b"\n".join(bad) + b"\n" + lines(usage(2)))
    first = said(capsys, "ingest", tmp_path / "in.jsonl", "--ledger", place)
    assert first["code"] == 2
    assert (first["found"]["stored"], first["found"]["malformed"], first["found"]["refused"]) == (2, 4, 1)
    aside = said(capsys, "aside", "--ledger", place)["found"]["aside"]
    assert [line["line"] for line in aside] == [2, 3, 4, 5, 6]
    assert "colour" in aside[1]["reason"]
    said(capsys, "ingest", tmp_path / "in.jsonl", "--ledger", place)
    assert len(said(capsys, "aside", "--ledger", place)["found"]["aside"]) == 5
    with Ledger.open(place) as ledger:
        ledger.append([usage(8)])
    again = said(capsys, "ingest", "--again", "--ledger", place)["found"]
    assert (again["stored"], again["malformed"]) == (1, 4)
    assert len(said(capsys, "aside", "--ledger", place)["found"]["aside"]) == 4


def test_a_broken_ledger_is_named_with_code_2(place, capsys):
    import sqlite3

    with Ledger.open(place) as ledger:
        ledger.append([usage(1), usage(2)])
    base = sqlite3.connect(place)
    base.execute("DELETE FROM events WHERE seq = 2")
    base.commit()
    base.close()
    assert main(["ledger", "verify", "--ledger", str(place)]) == 2
    assert "event 2 of batch 1 is missing" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["verify"], "no such file"), (["query", "SELECT 1"], "no such file"), (["ingest"], "needs a file"),
        (["close", "soon"], "no period"), (["ingest", "nowhere.jsonl"], "nowhere.jsonl"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said(place, capsys, arguments, words):
    assert main(["ledger", *arguments, "--ledger", str(place)]) == 2
    assert words in capsys.readouterr().err


def test_a_file_that_is_no_ledger_is_left_alone(place, capsys):
    place.write_bytes(b"hello, this is a letter and not a database at all" * 30)
    before = place.read_bytes()
    assert main(["ledger", "verify", "--ledger", str(place)]) == 2
    assert main(["ledger", "seal", "--ledger", str(place)]) == 2
    assert place.read_bytes() == before
    assert "not a database" in capsys.readouterr().err
