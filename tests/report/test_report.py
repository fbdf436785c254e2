"""The reports of a real small run: figures, structure, no network."""

import json
import re

import numpy as np
import pytest
from test_report_html import Page

import tokenworks as tw
from tokenworks.report import axes, figures, verdict
from tokenworks.report.files import plain, to_json
from tokenworks.report.html import page
from tokenworks.report.terminal import WIDTH, render


@pytest.fixture(scope="module")
def result():
    return tw.run(tw.load("laptop").replace_all({"run.horizon": "2 min", "run.warmup": "10 s"})).result


def test_terminal_fits_and_says_what_matters(result):
    text = render(result)
    assert max(map(len, text.splitlines())) <= WIDTH
    assert text.startswith("desk: llama-3.1-8b on 1 x rtx-4090\n")
    for needed in (
        "output tokens/s",
        "$/Mtok output",
        "tokens/J board",
        "Where a dollar goes",
        "Where a joule goes",
        "How sure",
    ):
        assert needed in text
    assert "\x1b[" not in text


def test_overload_is_said_first():
    busy = tw.run(tw.load("laptop").replace("run.horizon", "2 min").replace("workload.0.scale", "160% of sustainable"))
    assert busy.result.overloaded
    assert not busy.summary.sustains
    assert not busy.summary.within_objectives
    assert busy.summary.verdict.startswith("✗ OVERLOADED: chat sustains ")
    assert "OVERLOADED" in repr(busy)
    assert "≤" not in verdict.service_lines(busy.result)[0][1]  # no latency of an overloaded service holds


def test_html_is_whole_and_needs_no_network(result):
    text = page(result)
    assert Page(text).open == []
    assert text.count("<svg ") == 8
    assert not re.search(r"""(src|href)=["']?(http|//)""", text)
    for figure in figures.six_figures(result):
        assert figure.value in text


def test_every_drawn_point_is_inside_its_chart(result):
    for chart in re.findall(r'<svg viewBox="0 0 (\d+) (\d+)"(.*?)</svg>', page(result), re.DOTALL):
        width, height = int(chart[0]), int(chart[1])
        for data in re.findall(r' d="M([^"]+)"', chart[2]):
            points = np.array([[float(v) for v in p.split(",")] for p in re.findall(r"-?[\d.]+,-?[\d.]+", data)])
            assert (points >= 0).all()
            assert (points[:, 0] <= width).all()
            assert (points[:, 1] <= height).all()


def test_json_holds_the_same_figures(result):
    data = json.loads(to_json(result))
    assert data["output_tokens_s"]["value"] == pytest.approx(result.output_tokens_s.value)
    assert len(data["timeline"]["time_s"]) == len(result.timeline.time_s)
    assert plain(float("nan")) is None


def test_numbers_read_well():
    assert [figures.short(v) for v in (231_693, 0.868, 3.0, 999.7, 12.34, 0)] == [
        "232 k",
        "0.868",
        "3",
        "1 k",
        "12.3",
        "0",
    ]
    assert [figures.seconds(v) for v in (0.0123, 1.5, 600)] == ["12.3 ms", "1.5 s", "10 min"]
    assert [figures.usd(v) for v in (0.144, 12.3456, float("inf"))] == ["$0.144", "$12.35", "–"]


def test_axis_ticks_are_round():
    assert axes.nice_ticks(0, 10) == [0, 2, 4, 6, 8, 10]
    assert axes.nice_ticks(0, 0.34)[:3] == pytest.approx([0, 0.05, 0.1])
    assert axes.label(1500) == "1.5k"
