"""Grids and samples of a sweep."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenworks.errors import InputError
from tokenworks.plan.sweep.axes import Axis, Span, axis
from tokenworks.plan.sweep.points import grid, sample


def test_a_grid_has_every_combination_once_the_last_axis_fastest():
    points = grid([axis("a=1,2"), axis("b=x,y,z")])
    assert [tuple(v for _, v in p) for p in points] == [(a, b) for a in "12" for b in "xyz"]


@given(st.integers(1, 40), st.integers(0, 2**32))
def test_a_latin_hypercube_hits_every_part_of_every_axis_once(count, seed):
    axes = [Axis(name, span=Span(0.0, 1.0, "", "", False, False)) for name in "abc"]
    points = sample(axes, count, seed)
    for i in range(3):
        parts = sorted(min(int(float(p[i][1]) * count + 1e-4), count - 1) for p in points)
        assert parts == list(range(count))


def test_a_sample_is_fixed_by_its_seed():
    axes = [axis("a=1..1000"), axis("b=x,y")]
    assert sample(axes, 20, 7) == sample(axes, 20, 7) != sample(axes, 20, 8)
    assert sample(axes, 20, 7, latin=False) != sample(axes, 20, 7)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("p=1..8", ["1", "5", "8"]),
        ("p=$2..$4/GPU-h", ["$2/GPU-h", "$3/GPU-h", "$4/GPU-h"]),
        ("p=50%..90% of sustainable", ["50% of sustainable", "70% of sustainable", "90% of sustainable"]),
        ("p=1 kW..3 kW", ["1 kW", "2 kW", "3 kW"]),
        ("p=1..100 log", ["1", "10", "100"]),
        ("p=0.5x..1.5x", ["0.5x", "1x", "1.5x"]),
    ],
)
def test_ranges_keep_their_units(text, values):
    span = axis(text)
    assert [span.at(0.0), span.at(0.5), span.at(1 - 1e-12)] == values


def test_repeated_draws_are_one_point():
    assert len(sample([axis("a=1..2")], 50, 0)) == 2


@pytest.mark.parametrize("text", ["p=1 kW..3 MW", "p=3..1", "p=0..5 log", "=1,2"])
def test_ranges_that_mean_nothing_are_refused(text):
    with pytest.raises(InputError):
        axis(text)


def test_a_grid_too_large_says_how_large():
    with pytest.raises(InputError, match="1,000,000 points"):
        grid([axis(f"{name}=" + ",".join(map(str, range(100)))) for name in "abc"])
