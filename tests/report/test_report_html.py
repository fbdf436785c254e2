"""The HTML page: one file, well formed, every figure the result's, charts inside their frames."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample import overloaded, sample

from tokenworks.events.results import Share
from tokenworks.report.axes import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, log_ticks, nice_ticks
from tokenworks.report.figures import six_figures
from tokenworks.report.html import page
from tokenworks.report.page_money import waterfall
from tokenworks.report.sankey import sankey
from tokenworks.report.svg import Series, cdf, filled, layers, spread, timeline
from tokenworks.report.verdict import service_lines, verdict

VOID = {"meta", "br", "link", "input", "hr", "img"}


class Page(HTMLParser):
    """Checks nesting; keeps text, links, ids and tables."""

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.words)


@pytest.fixture(scope="module")
def text() -> str:
    return page(sample())


def test_the_page_is_well_nested(text: str) -> None:
    assert Page(text).open == []


def test_the_page_needs_no_network(text: str) -> None:
    assert not re.search(r"https?:|//\w|@import|url\(", text.replace("<!doctype html>", ""))
    assert not [a for a in Page(text).attributes if a[1] in ("src", "href")]


def test_the_leading_figures_are_the_results(text: str) -> None:
    words, result = Page(text).text, sample()
    assert verdict(result) in words
    for figure in six_figures(result):
        assert all(part in words for part in (figure.label, figure.value, figure.interval, figure.note))
    assert all(said in words for _, said in service_lines(result))


def test_every_fact_and_service_is_there(text: str) -> None:
    words, result = Page(text).text, sample()
    for fact in result.assumptions:
        assert all(part in words for part in (fact.what, fact.value, fact.source, fact.date, fact.status))
    for service in result.services:
        assert f"{service.arrived:,}" in words
        assert f"{service.finished:,}" in words
    assert result.accuracy_note in words


def test_names_are_escaped() -> None:
    result = sample()
    odd = '<b>"&'
    named = replace(result.services[0], name=odd)
    rows = tuple(replace(r, parent=odd) if r.parent == "reasoner" else r for r in result.money.allocation)
    text = page(
        replace(
            result,
            factory="<script>x",
            services=(named, result.services[1]),
            money=replace(result.money, allocation=rows),
        )
    )
    assert Page(text).open == []
    assert "<script>x" not in text
    assert "<b>&quot;" not in text


def test_an_overloaded_run_says_so() -> None:
    assert 'class="verdict bad"' in page(overloaded())
    assert "OVERLOADED" in page(overloaded())


def svgs(text: str) -> list[ET.Element]:
    return [ET.fromstring(found) for found in re.findall(r"<svg.*?</svg>", text, re.S)]


def points(path: str) -> np.ndarray:
    return np.array([[float(v) for v in pair.split(",")] for pair in re.findall(r"[-\d.]+,[-\d.]+", path)])


def test_charts_are_labelled_and_inside_their_frames(text: str) -> None:
    charts = svgs(text)
    assert len(charts) == 8
    for chart in charts:
        assert chart.get("role") == "img"
        assert chart.findtext("title") == chart.get("aria-label")
        width, height = (float(v) for v in str(chart.get("viewBox")).split()[2:])
        for path in chart.iter("path"):
            found = points(str(path.get("d")))
            assert (found >= 0).all()
            assert (found[:, 0] <= width).all()
            assert (found[:, 1] <= height).all()


def test_linked_timelines_carry_the_results_values(text: str) -> None:
    charts = [c for c in svgs(text) if c.get("class") == "timeline"]
    assert len(charts) == 4
    result = sample()
    for chart, values in zip(charts, (result.timeline.output_tokens_s, result.timeline.waiting), strict=False):
        shown = [[float(v) for v in row.split(",")] for row in str(chart.get("data-values")).split(";")]
        np.testing.assert_allclose(shown, values, rtol=1e-3)
        assert chart.get("data-names") == "reasoner;helper"
        assert chart.get("tabindex") == "0"
        assert len(str(chart.get("data-times")).split(",")) == values.shape[1]


def test_a_timeline_draws_its_points_where_they_belong() -> None:
    drawn = ET.fromstring(timeline("t", [Series("a", np.array([0.0, 10.0]), np.array([0.0, 100.0]), 0)]))
    found = points(str(next(drawn.iter("path")).get("d")))
    plot = HEIGHT - TOP - BOTTOM
    expected = [[LEFT, HEIGHT - BOTTOM], [WIDTH - RIGHT, HEIGHT - BOTTOM - plot / 1.06]]
    np.testing.assert_allclose(found, expected, atol=0.06)


def test_the_budget_is_drawn_even_where_far_above() -> None:
    low = Series("a", np.arange(3.0), np.ones(3), 0)
    drawn = ET.fromstring(timeline("t", [low], limit=50.0, limit_name="budget"))
    line = next(e for e in drawn.iter("line") if e.get("class") == "limit")
    assert TOP <= float(str(line.get("y1"))) <= HEIGHT - BOTTOM
    assert "budget" in "".join(drawn.itertext())


def test_a_budget_that_changes_is_drawn_where_it_holds() -> None:
    power = Series("boards", np.arange(5.0), np.full(5, 10.0), 0)
    drawn = ET.fromstring(layers("t", [power], [(0.0, 2.0, 40.0), (2.0, 3.0, 20.0)], "limit"))
    lines = [
        {k: float(v) for k, v in e.attrib.items() if k != "class"}
        for e in drawn.iter("line")
        if e.get("class") == "limit"
    ]
    middle = (LEFT + WIDTH - RIGHT) / 2
    assert [(e["x1"], e["x2"]) for e in lines] == [(LEFT, middle), (middle, (middle + WIDTH - RIGHT) / 2)]
    assert lines[0]["y1"] == lines[0]["y2"] < lines[1]["y1"]


@pytest.mark.parametrize("values", [[0.0], [0.0, 0.0, 0.0], [1e12]])
def test_dull_series_are_drawn_too(values: list[float]) -> None:
    x = np.arange(float(len(values)))
    drawn = ET.fromstring(timeline("t", [Series("a", x, np.array(values), 0)]))
    found = points(str(next(drawn.iter("path")).get("d")))
    assert np.isfinite(found).all()
    assert ((found[:, 1] >= TOP) & (found[:, 1] <= HEIGHT - BOTTOM)).all()


def test_a_latency_curve_rises_from_none_to_all() -> None:
    curve = Series("a", np.array([0.001, 0.01, 0.1, 1.0, 10.0]), np.array([0, 5, 15, 0]), 0)
    x, share = filled(curve)
    assert x.tolist() == [0.01, 0.1, 1.0]
    assert share.tolist() == [0.0, 0.25, 1.0]
    drawn = ET.fromstring(cdf("c", [curve], [(2.0, 0)]))
    goal = [e for e in drawn.iter("line") if e.get("class") == "limit c0"]
    assert len(goal) == 1
    assert LEFT < float(str(goal[0].get("x1"))) < WIDTH - RIGHT


def test_a_curve_without_samples_says_so() -> None:
    assert "no request" in cdf("c", [Series("a", np.array([0.1, 1.0]), np.array([0]), 0)], [])


def test_ribbons_of_the_flow_are_as_thick_as_their_joules() -> None:
    parts = (Share("x", 60.0, "all"), Share("y", 40.0, "all"), Share("z", 60.0, "x"))
    drawn = ET.fromstring(sankey("s", Share("all", 100.0), parts, {}))
    heights = [float(str(r.get("height"))) for r in drawn.iter("rect")]
    assert heights == pytest.approx([210.0, 126.0, 126.0, 84.0])  # all, x, its child z, y
    thick = sorted(points(str(p.get("d")))[4][1] - points(str(p.get("d")))[3][1] for p in drawn.iter("path"))
    assert thick == pytest.approx([84.0, 126.0, 126.0])


def test_bars_of_the_flow_do_not_overlap() -> None:
    drawn = next(c for c in svgs(page(sample())) if "Energy" in str(c.get("aria-label")))
    columns: dict[str, list[tuple[float, float]]] = {}
    for bar in drawn.iter("rect"):
        y, height = float(str(bar.get("y"))), float(str(bar.get("height")))
        columns.setdefault(str(bar.get("x")), []).append((y, y + height))
    for spans in columns.values():
        ordered = sorted(spans)
        assert all(below[0] >= above[1] for above, below in pairwise(ordered))


def test_the_waterfall_begins_where_the_last_bar_ended() -> None:
    bars = re.findall(r"left:([\d.]+)%;width:([\d.]+)%", waterfall(sample().money))
    spans = [(float(left), float(width)) for left, width in bars]
    for (left, width), (following, _) in pairwise(spans[:-1]):
        assert left + width == pytest.approx(following, abs=1e-3)
    assert spans[-2][0] + spans[-2][1] == pytest.approx(100.0, abs=1e-3)
    assert spans[-1] == (0.0, 100.0)


def test_the_allocation_adds_up_as_printed(text: str) -> None:
    table = text[text.index("Who pays for what") :]
    rows = re.findall(r"<tr[^>]*><td>([^<]+)</td>((?:<td class=\"n\">[\d.,]+</td>){6})</tr>", table)
    cents = {
        name: [round(float(v.replace(",", "")) * 100) for v in re.findall(r">([\d.,]+)<", row)] for name, row in rows
    }
    assert list(cents) == ["reasoner", "helper", "unused GPUs", "total"]
    assert all(sum(row[:-1]) == row[-1] for row in cents.values())
    total = cents.pop("total")
    assert [sum(column) for column in zip(*cents.values(), strict=True)] == total
    assert total[-1] == round(sample().money.total_usd * 100)


@settings(derandomize=True, max_examples=100, deadline=None)
@given(st.floats(0, 1e6), st.floats(1e-3, 1e9))
def test_ticks_are_inside_their_range(low: float, width: float) -> None:
    ticks = nice_ticks(low, low + width)
    assert 2 <= len(ticks) <= 12
    assert all(low - 1e-6 * width <= t <= low + width * (1 + 1e-6) for t in ticks)


@settings(derandomize=True, max_examples=100, deadline=None)
@given(st.floats(1e-5, 1.0), st.floats(3.0, 1e5))
def test_log_ticks_are_inside_their_range(low: float, factor: float) -> None:
    ticks = log_ticks(low, low * factor)
    assert 1 <= len(ticks) <= 12
    assert all(low * 0.999 <= t <= low * factor * 1.001 for t in ticks)


@settings(derandomize=True, max_examples=100, deadline=None)
@given(st.lists(st.floats(0, 200), min_size=1, max_size=8))
def test_labels_keep_their_distance(wanted: list[float]) -> None:
    placed = sorted(spread(wanted, 14.0, 0.0, 200.0))
    assert all(b - a >= 14.0 - 1e-9 for a, b in pairwise(placed))
    assert placed[-1] <= 200.0


def test_values_in_the_page_parse_as_json_numbers(text: str) -> None:
    rows = re.findall(r'data-values="([^"]+)"', text)
    assert all(np.isfinite(json.loads(f"[{row.replace(';', ',')}]")).all() for row in rows)
