"""The page of agents: a waterfall that closes, figures that nobody knows, money by tenant."""

import re

from tokenworks.report.agent_page import AgentPage, Card, GroupRow, TenantMoney, agent_page, causes, groups, money
from tokenworks.report.run_tree import Node


def test_bars_of_the_waterfall_join_and_what_was_taken_back_goes_left():
    drawing = causes([("visible", 20), ("reading_again", 80), ("reasoning", 0), ("corrections", -25)])
    spans = [tuple(map(float, pair)) for pair in re.findall(r"left:([\d.]+)%;width:([\d.]+)%", drawing)]
    assert spans == [(0.0, 20.0), (20.0, 80.0), (75.0, 25.0), (0.0, 75.0)]
    assert "reasoning" not in drawing
    assert "<td>processed</td>" in drawing
    assert "-25" in drawing


def test_what_nobody_knows_is_a_dash_and_never_a_zero():
    drawing = groups(
        "agent", [GroupRow("<a>", 3, 1_000, None, None, None, None), GroupRow("b", 1, 9, 3, 3.0, 2.0, 1.5, (3, 3, 3))]
    )
    first, second = re.findall(r"<tr><td>.*?</tr>", drawing)
    assert "&lt;a&gt;" in first
    assert first.count(">–<") == 5
    assert "3.00×" in second
    assert "3.0 / 3.0 / 3.0" in second


def test_money_sums_to_the_last_line():
    drawing = money([TenantMoney("a", 2_000_000, 500_000), TenantMoney("b", 0, 1_000_000)])
    assert "<td>all</td>" in drawing
    last = drawing.split("<td>all</td>")[1]
    assert re.findall(r'class="n">([^<]+)', last) == ["$2.00", "$1.50", "$0.500", "25%"]
    assert "−$1.00" in drawing


def test_the_page_stands_alone_and_is_whole():
    page = AgentPage(
        "f", "n", [Card("TAF", "3×")], [("visible", 1)], "agent", [], Node("r", "run", (1, 1, 1, 1)), "one", []
    )
    html = agent_page(page)
    assert html.startswith("<!doctype html>")
    assert "http" not in html.replace("http-equiv", "")
    assert html.count("<section>") == 3  # no money without tenants
