"""Largest remainders: exact sums, nobody a unit off, ties to the first; sums by key."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenworks.economics.shares import largest_remainder, sums_by
from tokenworks.errors import InputError

AMOUNTS = st.lists(st.floats(0, 1e9), min_size=1, max_size=60)


def naive(ideal: list[float], total: int) -> list[int]:
    parts = [int(x // 1) for x in ideal]
    order = sorted(range(len(ideal)), key=lambda i: (-(Fraction(ideal[i]) - parts[i]), i))
    for i in order[: total - sum(parts)]:
        parts[i] += 1
    return parts


@given(AMOUNTS)
def test_parts_sum_to_the_total_and_are_those_of_the_plain_way(ideal):
    total = round(sum(Fraction(x) for x in ideal))
    parts = largest_remainder(np.array(ideal), total)
    assert int(parts.sum()) == total
    assert parts.tolist() == naive(ideal, total)
    assert all(abs(p - x) < 1 for p, x in zip(parts.tolist(), ideal, strict=True))


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2**40)), min_size=1, max_size=60))
def test_tenants_sum_to_the_whole(rows):
    key, amount = (np.array(x) for x in zip(*rows, strict=True))
    sums = sums_by(key, amount, 6)
    assert sums.tolist() == [sum(a for k, a in rows if k == t) for t in range(6)]


def test_a_total_that_the_amounts_do_not_have_is_refused():
    for total in (2, 9):
        with pytest.raises(InputError, match="cannot be rounded to a total"):
            largest_remainder(np.array([1.5, 1.5]), total)
    for bad in (-0.5, np.nan, np.inf):
        with pytest.raises(InputError, match="amounts to be rounded"):
            largest_remainder(np.array([bad]), 0)


def test_equal_remainders_go_to_the_first():
    assert largest_remainder(np.array([0.25] * 4), 1).tolist() == [1, 0, 0, 0]
    assert largest_remainder(np.array([0.5, 0.75, 0.75]), 2).tolist() == [0, 1, 1]
