"""Numbers and words that all reports share."""

from __future__ import annotations

import doctest
import importlib
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample import overloaded, sample

from tokenworks.events.results import Interval, Share
from tokenworks.report.bars import Part, cells, labels, largest, leaves
from tokenworks.report.figures import band, percent, seconds, short, usd
from tokenworks.report.verdict import service_lines, state, verdict


@pytest.mark.parametrize("module", ["axes", "bars", "figures", "page_money", "progress", "svg"])
def test_doctests(module: str) -> None:
    found = doctest.testmod(importlib.import_module(f"tokenworks.report.{module}"))
    assert found.attempted > 0
    assert found.failed == 0


@settings(derandomize=True, max_examples=200, deadline=None)
@given(st.floats(1e-3, 1e15))
def test_short_keeps_three_digits(value: float) -> None:
    said = short(value)
    factor = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}.get(said[-1], 1.0)
    assert float(said.split()[0]) * factor == pytest.approx(value, rel=6e-3)


@settings(derandomize=True, max_examples=200, deadline=None)
@given(st.floats(1e-9, 1e9))
def test_dollars_keep_their_worth(value: float) -> None:
    assert float(usd(value).replace("$", "").replace(",", "")) == pytest.approx(value, rel=6e-3)


@pytest.mark.parametrize(("value", "said"), [(0.0, "0%"), (1.0, "100%"), (0.9999, ">99.9%"), (0.0001, "<0.1%")])
def test_all_and_nothing_are_said_only_where_true(value: float, said: str) -> None:
    assert percent(value) == said


def test_what_is_not_finite_is_a_dash() -> None:
    assert {short(math.inf), usd(math.inf), seconds(math.nan), percent(math.nan)} == {"–"}


def test_verdict_is_the_state_in_words() -> None:
    result = sample()
    assert (state(result), verdict(result)) == (
        "good",
        "✓ Sustains the load within every objective; bottleneck: reasoner, decode, HBM bandwidth; headroom 31%.",
    )
    slow = replace(result, services=(replace(result.services[0], slo_tpot_s=0.02), result.services[1]))
    assert state(slow) == "warn"
    assert verdict(slow).startswith("⚠ Sustains the load but misses its objective: TPOT of reasoner; bottleneck: ")
    greedy = replace(result, power_budget_w=50_000.0)
    assert state(greedy) == "warn"
    assert "above the power budget" in verdict(greedy)
    assert state(overloaded()) == state(replace(result, interrupted=True)) == "bad"


def test_what_was_not_measured_is_neither_met_nor_missed() -> None:
    result = sample()
    nothing = replace(result.services[0].ttft, p95_s=math.nan)
    silent = replace(result, services=(replace(result.services[0], ttft=nothing), result.services[1]))
    assert state(silent) == "warn"
    assert verdict(silent).startswith("⚠ No finished request of reasoner was measured")
    assert service_lines(silent)[0][1].startswith("TTFT p95 not measured (SLO 2 s); TPOT p95 31.9 ms ≤ 40 ms ✓")
    assert band(Interval(math.nan, math.nan, math.nan)) == ""


def test_overload_names_the_sustainable_rate_first() -> None:
    assert verdict(overloaded()).startswith("✗ OVERLOADED: reasoner sustains 120 req/s, offered 155;")


@settings(derandomize=True, max_examples=200, deadline=None)
@given(st.lists(st.floats(0.0, 1e6), min_size=1, max_size=12).filter(lambda v: sum(v) > 1e-3), st.integers(10, 200))
def test_cells_fill_the_room(values: list[float], room: int) -> None:
    counts = cells(values, room)
    assert sum(counts) == room
    assert all(abs(c - v / sum(values) * room) <= 1 for c, v in zip(counts, values, strict=True))


@settings(derandomize=True, max_examples=100, deadline=None)
@given(st.lists(st.floats(0.001, 1e3), min_size=1, max_size=12), st.integers(40, 120))
def test_labels_stay_inside_the_room_and_lose_nothing(values: list[float], room: int) -> None:
    parts = [Part(f"part {i}", v, "$1.00") for i, v in enumerate(values)]
    rows = labels(parts, room)
    assert all(sum(len(said) + 4 for _, said, _ in row) <= room for row in rows)
    assert sum(len(row) for row in rows) == len(largest(parts)) == min(6, len(values))
    assert sum(p.value for p in largest(parts)) == pytest.approx(sum(values))


def test_leaves_sum_to_the_root() -> None:
    energy = sample().energy
    assert sum(p.value for p in leaves(energy.parts)) == pytest.approx(energy.facility_j)
    assert leaves([Share("a", 1.0)]) == [Share("a", 1.0)]
