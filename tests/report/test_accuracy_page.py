"""The accuracy page: figures of the error table, charts that can be drawn, and a shipped page that is not stale."""

import csv
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pytest

from tokenworks.accuracy.left_out import NAME, LeftOut, fingerprint, left_out
from tokenworks.accuracy.packed import PACKED, _text, load_measurements
from tokenworks.accuracy.rivals import load_rivals, rival_rows
from tokenworks.accuracy.rows import read_csv
from tokenworks.accuracy.slices import served, sliced, worst_groups
from tokenworks.accuracy.tables import METRICS, error_table, errors_of
from tokenworks.accuracy.validate import validate
from tokenworks.cli.main import main
from tokenworks.errors import CatalogError
from tokenworks.report.accuracy_page import accuracy_page, page
from tokenworks.report.parity import PLOT, Panel, parity

ROOT = Path(__file__).parents[2]
SVG = "{http://www.w3.org/2000/svg}"
ERRORS = {"median": 12.34, "p90": 50.0, "bias": -7.6, "rows": 1234}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Forty packed rows, among them validation rows and rows of the rival, as a CSV of one's own."""
    path = tmp_path_factory.mktemp("table") / "mine.csv"
    every = [{key: _text(value) for key, value in row.items()} for row in parquet.read_table(PACKED).to_pylist()]
    rivals = [r for r in every if r["id"] in load_rivals() and r["spec_decoding"] != "unknown"][::15]
    chosen = every[::400] + rivals + [r for r in every if r["split"] == "validation"][::16]
    with open(path, "w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, list(every[0]))
        writer.writeheader()
        writer.writerows(chosen)
    return path


@pytest.fixture(scope="module")
def answered(table):
    measured = read_csv(table)
    return measured, validate(measured, 1, lambda _: None)


def lines_of(said):
    """Cells by the first cell of each line; the first line of a name counts."""
    found = {}
    for line in said.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and len(cells) > 2:
            found.setdefault(cells[0], cells[1:])
    return found


def cell(errors):
    few = f", n={errors['rows']}" if errors["rows"] < 10 else ""
    return f"{errors['median']:.1f} / {errors['p90']:.0f} ({round(errors['bias']):+}){few}".replace("-", "−")


def test_a_table_of_ones_own_gets_the_page_with_the_figures_of_the_error_table(table, answered, tmp_path):
    path = tmp_path / "errors.md"
    assert main(["validate", str(table), "--quiet", "--processes", "1", "--page", str(path)]) == 0
    said = path.read_text()
    expected = error_table(*answered)
    shown = lines_of(said)
    for name, key in (
        ("validation, distinct, nothing assumed", "validation, distinct, no assumption"),
        ("validation as printed", "validation as printed"),
        ("all rows that can be predicted", "all"),
    ):
        assert shown[name][1:] == [cell(expected[key][m]) if m in expected[key] else "–" for m in METRICS]
    for dataset, errors in expected["datasets"].items():
        if errors:
            assert shown[dataset][1:] == [cell(errors[m]) if m in errors else "–" for m in METRICS]
    full = expected["fully specified"]
    assert f"predicted: {full['predicted']:,} of {full['rows']:,};" in said
    assert f"calibration `{fingerprint()}` and the table `mine.csv`, {len(answered[0])} rows" in said
    assert "<!--" not in said
    pictures = re.findall(r"\]\((errors/[\w-]+\.svg)\)", said)
    assert {tmp_path / p for p in pictures} == set((tmp_path / "errors").iterdir())


def test_charts_are_drawings_with_their_own_style_and_every_point(answered, tmp_path):
    files = accuracy_page(*answered, tmp_path / "p.md", "x")
    drawings = {path.name: data for path, data in files.items() if path.suffix == ".svg"}
    assert set(drawings) >= {"throughput-by-dataset.svg", "ttft-by-accelerator.svg", "aiconfigurator.svg"}
    for data in drawings.values():
        root = ET.fromstring(data)
        assert "prefers-color-scheme:dark" in root.find(f"{SVG}style").text
        assert root.find(f"{SVG}rect").get("class") == "ground"
    notes = re.findall(r">([\d,]+) rows, median", drawings["throughput-by-dataset.svg"].decode())
    assert sum(map(int, notes)) == errors_of(zip(*answered, strict=True))["throughput"]["rows"]


def test_what_the_table_lacks_is_said_not_drawn(answered, tmp_path):
    """No rival row, nothing predicted."""
    known = load_rivals()
    mute = [(m, a) for m, a in zip(*answered, strict=True) if a.status == "unsupported" and m.id not in known]
    measured, answers = zip(*mute, strict=True)
    files = accuracy_page(measured, answers, tmp_path / "p.md", "x")
    assert list(files) == [tmp_path / "p.md"]
    assert "None of the rows that AIConfigurator" in files[tmp_path / "p.md"].decode()


def test_the_page_refuses_a_place_where_it_would_do_harm(table, tmp_path, capsys):
    assert main(["validate", str(table), "--page", str(tmp_path / "p.html")]) == 2
    assert "ends in .md" in capsys.readouterr().err


def test_points_lie_where_their_values_are():
    """Equality is the diagonal; the band of 25% ends at a predicted value of 1.25 times the measured one."""
    panel = Panel("t", "n", np.array([1.0, 10.0, 100.0]), np.array([1.0, 12.5, 100.0]), np.array([0, 0, 3]))
    root = ET.fromstring(parity("T", [panel], ["a", "b", "c", "d"]))
    inner = root.find(f".//{SVG}svg")
    points = [
        tuple(map(float, at))
        for path in inner.iter(f"{SVG}path")
        if "dots" in path.get("class")
        for at in re.findall(r"M([\d.]+) ([\d.]+)h0", path.get("d"))
    ]
    (x0, y0), (x1, y1), (x2, y2) = points
    assert (x0 + y0, x2 + y2) == (PLOT, PLOT)
    top = float(re.match(r"M0 ([\d.]+)L", inner.find(f"{SVG}path[@class='wide']").get("d")).group(1))
    assert (x1 + y1) == pytest.approx(top, abs=0.6)
    assert [t.text for t in root.iter(f"{SVG}text")].count("a") == 1
    assert "b" not in [t.text for t in root.iter(f"{SVG}text")]


def test_slices_hold_every_predicted_row_once(answered):
    rows = list(zip(*answered, strict=True))
    predicted = sum(a.status != "unsupported" for _, a in rows)
    for by in ("dataset", "accelerator", "model family", "kind of model", "mode"):
        assert sum(len(part) for part in sliced(rows, by).values()) == predicted
    assert {served(m.row) for m, a in rows if a.status != "unsupported"} <= {"offline", "closed", "static", "open", "disaggregated", "speculating"}  # fmt: skip


def test_worst_groups_are_those_with_the_largest_median(answered):
    rows = list(zip(*answered, strict=True))
    found = worst_groups(rows, ("throughput",), least=2, count=3)
    assert [g.median for g in found] == sorted((g.median for g in found), reverse=True)
    first = found[0]
    same = [(m, a) for m, a in rows if (m.row.dataset, m.row.gpu, m.row.model, m.row.engine) == first.name]
    assert errors_of(same)["throughput"]["median"] == pytest.approx(first.median, abs=0.01)


def write(folder, content):
    (folder / NAME).write_text(json.dumps(content))
    return folder


def test_rows_left_out_are_read_and_shown(answered, tmp_path):
    rows = list(zip(*answered, strict=True))
    rivals = rival_rows(answered[0])
    ids = [m.id for m in load_measurements()]
    index = {ids.index(answered[0][i].id): answered[0][i].targets for i, _ in rivals}
    perfect = {str(i): [None, t.tpot_ms_mean, None, t.ttft_ms_mean, None, None] for i, t in index.items()}
    found = left_out(
        write(
            tmp_path,
            {
                "kinds": {"points": {"throughput": ERRORS}, "models": {"throughput": ERRORS}},
                "slices": [
                    {"kind": "models", "by": "kind of model", "name": "MLA", "throughput": {**ERRORS, "median": 40.0}},
                    {"kind": "accelerators", "by": "accelerator", "name": "b200", "tpot mean": ERRORS},
                ],
                "rows": {"groups": perfect},
            },
        )
    )
    shown = lines_of(page(rows, "x", found, [], "p"))
    assert shown["points left out"] == ["1,234", "12.3 / 50 (−8)", "–", "–", "–", "–", "–"]
    assert shown["groups left out"][0] == "not measured yet"
    assert shown["of these, MLA"][1] == "40.0 / 50 (−8)"
    assert shown["b200"] == ["1,234", "–", "12.3 / 50 (−8)", "–", "–", "–", "–"]
    assert shown["Tokenworks, groups left out"][1].startswith("0.0 / 0 (+0)")
    theirs = errors_of([(rows[i][0], rival.answer()) for i, rival in rivals])
    assert shown["NVIDIA AIConfigurator 0.12"][1] == cell(theirs["tpot mean"])


@pytest.mark.parametrize("content", [{}, {"kinds": {}, "slices": [], "rows": {"groups": {"0": [1.0]}}}, []])
def test_a_file_of_another_shape_is_refused(tmp_path, content):
    with pytest.raises(CatalogError, match="is not a file of rows left out"):
        left_out(write(tmp_path, content))


def test_a_calibration_without_the_file_has_left_nothing_out(tmp_path):
    assert left_out(tmp_path) == LeftOut({}, {}, {})


def test_the_fingerprint_is_that_of_the_files(tmp_path):
    (tmp_path / "effects.json").write_text("{}")
    before = fingerprint(tmp_path)
    (tmp_path / "effects.json").write_text("{ }")
    assert fingerprint(tmp_path) != before


def test_the_shipped_page_is_of_the_shipped_calibration():
    """A calibration, or its prose, that changed without `make accuracy` fails here."""
    said = (ROOT / "docs/accuracy.md").read_text()
    assert (
        f"Generated from calibration `{fingerprint()}` and the packed measurements, {len(load_measurements()):,} rows."
        in said
    )
    pictures = set(re.findall(r"\]\(accuracy/([\w-]+\.svg)\)", said))
    files = {path.name: path.stat().st_size for path in (ROOT / "docs/accuracy").iterdir()}
    assert set(files) == pictures
    assert len(files) <= 12
    assert max(files.values()) < 200_000
