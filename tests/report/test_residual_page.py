"""The page of residuals: complete without the network, its figures those of `validate`, every row in it."""

import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pyarrow.parquet as parquet
import pytest

from tokenworks.accuracy.packed import load_measurements
from tokenworks.accuracy.residual_buckets import Band, Buckets
from tokenworks.accuracy.residual_columns import columns
from tokenworks.accuracy.residual_views import headline, views
from tokenworks.accuracy.residuals import residuals
from tokenworks.report.residual_charts import SCALES, chart, scale_of, signed
from tokenworks.report.residual_data import packed
from tokenworks.report.residual_files import write_residuals
from tokenworks.report.residual_page import residual_page
from tokenworks.report.residual_tables import word


@pytest.fixture(scope="module")
def found():
    return residuals(load_measurements()[::220], 1, lambda _: None)


@pytest.fixture(scope="module")
def page(found):
    return residual_page(found)


def data_of(page):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1])


def template(page, name):
    return re.search(rf'<template id="{name}">(.*?)</template>', page, re.DOTALL)[1]


def unpacked(column):
    return [column["v"][i] if i >= 0 else None for i in column["i"]] if isinstance(column, dict) else column


class Tags(HTMLParser):
    VOID = ("meta", "input", "br")

    def __init__(self):
        super().__init__()
        self.open, self.found = [], []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_it_is_whole_and_needs_no_network(page):
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert not {tag for tag, _ in tags.found} & {"link", "img", "iframe", "object", "base"}
    assert not [attrs for _, attrs in tags.found if {"src", "href", "action", "srcset"} & set(attrs)]
    assert not re.search(r"https?://|@import|url\(|fetch\(|XMLHttpRequest|WebSocket", page)
    ids = [attrs["id"] for _, attrs in tags.found if "id" in attrs]
    assert len(set(ids)) == len(ids)


def test_what_the_script_looks_up_is_there(page):
    asked = set(re.findall(r'byId\("([a-z]+)"\)', page)) | set(re.findall(r'put\("([a-z]+)"', page))
    assert asked >= {"view", "find", "more", "row", "inside", "head", "charts", "groups", "sets"}
    for name in asked:
        assert f'id="{name}"' in page


def test_its_headlines_are_those_of_validate(found, page):
    for number, view in enumerate(views(found)):
        text = template(page, f"head-{number}")
        for line in headline(found, view):
            cells = (
                f"{line.rows:,}",
                f"{line.median:.1f}%",
                f"{line.p90:.1f}%",
                f"{line.bias:+.1f}%".replace("-", "−"),
            )
            assert f"{word(line.metric)}</td>" + "".join(f"<td class=n>{cell}</td>" for cell in cells) in text


def test_charts_count_every_row_that_has_an_error(found, page):
    logs = [r.logs().get("throughput") for r in found]
    seen = sum(log is not None for log in logs)
    charts = template(page, "charts-0-0").split("<figure>")[1:]
    assert len(charts) > 12
    for drawn in charts:
        assert sum(int(n.replace(",", "")) for n in re.findall(r"([\d,]+) rows</title>", drawn)) == seen
    assert f'<option value="{len(views(found)) - 1}">' in page


def test_its_data_hold_every_row(found, page):
    data, table = data_of(page), columns(found)
    assert data["count"] == len(found)
    for name, column in data["columns"].items():
        for shown, value in zip(unpacked(column), table[name], strict=True):
            if isinstance(value, float):
                assert shown == pytest.approx(value, rel=1e-4)
            else:
                assert shown == value
    whole = np.sum(data["shares"], axis=0)
    assert all(abs(total - 10_000) <= 7 if r.setting else total == 0 for total, r in zip(whole, found, strict=True))
    for view, known in zip(data["views"], views(found), strict=True):
        rows = range(len(found)) if view["rows"] is None else np.cumsum(view["rows"])
        assert list(rows) == np.flatnonzero(known.rows).tolist()


def test_no_text_of_a_row_becomes_markup(found):
    bad = "</script><script>alert(1)</script><b>"
    rows = [
        replace(r, measured=replace(r.measured, id=bad, row=replace(r.measured.row, dataset=bad, gpu=bad)))
        for r in found
    ]
    page = residual_page(rows)
    assert bad not in page
    assert page.count("</script>") == 2
    assert set(unpacked(data_of(page)["columns"]["id"])) == {bad}


def test_a_table_without_rows_or_without_measurements(found):
    assert "0 published rows, 0 predicted" in residual_page([])
    blind = [replace(r, measured=replace(r.measured, targets=replace(r.measured.targets, **dict.fromkeys(
        ("output_tokens_s_gpu", "tpot_ms_mean", "tpot_ms_median", "ttft_ms_mean", "ttft_ms_median", "joules_per_output_token"))))) for r in found]  # fmt: skip
    assert '<template id="charts' not in residual_page(blind)


def test_the_parquet_file_comes_back_as_it_was(tmp_path, found):
    page, table = write_residuals(found, tmp_path / "deep" / "out")
    assert (page.name, table.name) == ("residuals.html", "residuals.parquet")
    assert parquet.read_table(table).to_pydict() == columns(found)
    kinds = {field.name: str(field.type) for field in parquet.read_schema(table)}
    nothing = parquet.read_schema(write_residuals([], tmp_path / "nothing.html")[1])
    assert {field.name: str(field.type) for field in nothing} == kinds
    assert (kinds["isl"], kinds["tp"], kinds["model"], kinds["inside_ttft_ms_mean"]) == (
        "double",
        "int64",
        "string",
        "bool",
    )


def test_the_same_rows_make_the_same_bytes(found, page):
    assert residual_page(found) == page


def test_a_chart_puts_bands_where_they_belong():
    its = Buckets("Input", ("low", "even", "high"), np.array([0, 1, 2]))
    found = {0: Band(5, -0.3, -0.2, -0.1), 1: Band(9, -0.1, 0.01, 0.1), 2: Band(7, 0.1, 0.2, 9.0)}
    drawn = chart(3, its, found, 0)
    assert re.findall(r'class="b (..)" tabindex="0" role="button" data-c="3" data-b="(\d)"', drawn) == [
        ("lo", "0"),
        ("ok", "1"),
        ("hi", "2"),
    ]
    bars = [(float(x), float(w)) for x, w in re.findall(r'class="r" x="([\d.]+)" y="\d+" width="([\d.]+)"', drawn)]
    assert bars[0][0] < bars[1][0] < bars[2][0]
    middle = bars[1][0] + bars[1][1] / 2
    assert bars[0][0] + bars[0][1] < middle < bars[2][0]
    assert sum(bars[2]) == pytest.approx(360 - 44, abs=0.2)  # cut at the end of the axis
    assert "even: median +1%, 10–90% −10% to +11%, 9 rows" in drawn


def test_the_axis_holds_nine_of_ten_bands():
    narrow, wide = Band(3, -0.1, 0.0, 0.1), Band(3, -5.0, 0.0, 5.0)
    assert [scale_of([]), scale_of([narrow]), scale_of([wide]), scale_of([narrow] * 19 + [wide])] == [
        0,
        0,
        len(SCALES) - 1,
        0,
    ]
    assert signed(-math.log(2)) == "−50%"


def test_columns_are_packed_only_where_values_repeat():
    assert packed([1.0, 1.0, 1.0, None]) == {"v": [1], "i": [0, 0, 0, -1]}
    assert packed([1.234567, 2.0, 3.0, 4.0]) == [1.2346, 2, 3, 4]
