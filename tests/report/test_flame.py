"""A run as a tree, and its flame graph."""

import re
from itertools import pairwise

import pytest

from tokenworks.errors import InputError
from tokenworks.events.ledger_events import BUCKETS, COST_COLUMNS, USAGE_COLUMNS
from tokenworks.report.flame import WIDTH, flame
from tokenworks.report.run_tree import run_tree


def call(time_us, run="r", parent="", purpose="reason", sign=1, **figures):
    row = dict.fromkeys(USAGE_COLUMNS) | {
        "root_run": "r",
        "run": run,
        "parent_run": parent,
        "sign": sign,
        "time_us": time_us,
    }
    row |= {
        "step": time_us,
        "purpose": purpose,
        "agent": run,
        "failed": False,
        "operation": "chat",
        "duration_us": 2_000_000,
    }
    return row | {"input_fresh": 100, "output_visible": 10, "cost_micro_usd": 500_000, "energy_uj": 3_000_000} | figures


def cost(time_us, run="r", amount=250_000):
    row = dict.fromkeys(COST_COLUMNS) | {"root_run": "r", "run": run, "parent_run": "", "sign": 1, "time_us": time_us}
    return row | {"meter": "search", "amount_micro": amount, "agent": run}


USAGE = [
    call(1, purpose="plan"),
    call(5, purpose="final"),
    call(2, "sub", "r"),
    call(3, "deep", "sub"),
    call(4, "deep", "sub"),
]


def test_a_run_is_the_sum_of_what_is_in_it():
    tree = run_tree("r", USAGE, [cost(2, "sub")])
    assert tree.weights == (10.0, 5 * 110, 2.75, 15.0)
    assert [child.name for child in tree.children] == ["plan 1", "sub", "final 5"]
    sub = tree.children[1]
    assert [child.kind for child in sub.children] == ["reason", "cost", "run"]
    assert sub.children[2].weights[1] == 220


def test_every_token_of_the_events_is_in_the_tree():
    rows = [
        call(n, f"a{n % 7}", "" if n % 7 == 0 else f"a{n % 7 // 2}", output_reasoning=n, cache_read=None)
        for n in range(60)
    ]
    assert run_tree("r", rows).weights[1] == sum(row[bucket] or 0 for row in rows for bucket in BUCKETS)


def test_what_was_taken_back_weighs_nothing():
    tree = run_tree("r", [call(1), call(1, sign=-1)])
    assert tree.weights == (0, 0, 0, 0)
    assert tree.children[1].name.startswith("taken back")


def test_a_run_whose_parents_are_missing_hangs_at_the_root():
    tree = run_tree("r", [call(1, "a", "silent"), call(2, "b", "silent")])
    assert [child.name for child in tree.children] == ["silent"]
    assert len(tree.children[0].children) == 2


def test_runs_that_go_in_a_circle_or_are_unknown_are_refused():
    with pytest.raises(InputError, match="circle"):
        run_tree("r", [call(1, "a", "b"), call(1, "b", "a")])
    with pytest.raises(InputError, match="no event"):
        run_tree("other", USAGE)


def test_cells_of_a_depth_lie_side_by_side_under_every_measure():
    drawing = flame(run_tree("r", USAGE * 40, [cost(2, "sub")]))
    cells = re.findall(r'data-at="([^"]+)".*? y="(\d+)"', drawing)
    assert len(cells) > 100
    for measure in range(4):
        rows = {}
        for at, y in cells:
            x, width = map(float, at.split(";")[measure].split(","))
            rows.setdefault(y, []).append((x, x + width))
        assert rows["0"] == [(0.0, WIDTH)]
        for spans in rows.values():
            for (_, end), (start, _) in pairwise(spans):
                assert start >= end - 0.02


def test_many_narrow_calls_are_drawn_as_one_and_nothing_is_lost():
    drawing = flame(run_tree("r", [call(n) for n in range(3000)]))
    assert drawing.count("<g ") == 2
    assert "3000 small ones: " in drawing


def test_a_measure_that_nothing_is_known_of_cannot_be_chosen():
    drawing = flame(run_tree("r", [call(1, energy_uj=None)]))
    assert re.search(r"disabled>joules", drawing)
    assert "&lt;script" in flame(run_tree("r", [call(1, purpose="<script>")]))
