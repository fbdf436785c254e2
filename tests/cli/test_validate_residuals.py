"""`tokenworks validate --residuals`."""

import csv
import json

import pyarrow.parquet as parquet
import pytest

from tokenworks.accuracy.packed import PACKED, _text
from tokenworks.cli.main import main


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    rows = [{key: _text(value) for key, value in row.items()} for row in parquet.read_table(PACKED).to_pylist()[::400]]
    path = tmp_path_factory.mktemp("table") / "t.csv"
    with open(path, "w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_it_says_what_it_wrote_and_prints_the_same_table(tmp_path, table, capsys):
    out = tmp_path / "out"
    assert main(["validate", str(table), "--processes", "1"]) == 0
    plain = capsys.readouterr().out
    with_csv = ["--predictions", str(tmp_path / "p.csv")]
    assert main(["validate", str(table), "--processes", "1", "--residuals", str(out), *with_csv]) == 0
    assert capsys.readouterr().out == f"{plain}wrote {out / 'residuals.html'}\nwrote {out / 'residuals.parquet'}\n"
    assert sorted(p.name for p in out.iterdir()) == ["residuals.html", "residuals.parquet"]
    ids = [row["id"] for row in csv.DictReader((tmp_path / "p.csv").read_text().splitlines())]
    assert parquet.read_table(out / "residuals.parquet")["id"].to_pylist() == ids


def test_a_page_may_have_a_name_and_json_stays_json(tmp_path, table, capsys):
    assert main(["validate", str(table), "--json", "--processes", "1", "--residuals", str(tmp_path / "mine.html")]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] > 10
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine.html", "mine.parquet"]


def test_a_place_that_cannot_be_written_is_said_before_the_work(tmp_path, table, capsys, monkeypatch):
    from tokenworks.accuracy import residuals

    monkeypatch.setattr(residuals, "residuals", lambda *a, **k: pytest.fail("it worked first"))
    (tmp_path / "file").write_text("x")
    assert main(["validate", str(table), "--residuals", str(tmp_path / "file")]) == 2
    assert f"{tmp_path / 'file'} is not a folder" in capsys.readouterr().err
    assert main(["validate", str(table), "--residuals", str(tmp_path / "file" / "page.html")]) == 2
    assert f"{tmp_path / 'file'} is not a folder" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
