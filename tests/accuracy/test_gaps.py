"""Gaps between tokens of a step log, against every gap written out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenworks.accuracy.gaps import gap_weights, median_gap_s
from tokenworks.physics.worker_model import TICKS_PER_S
from tokenworks.twin.cell import StepLog


def log_of(rows):
    """Rows of (steps, decode sequences, milliseconds of one step)."""
    steps, sequences, ms = (np.array(column, dtype=np.int64) for column in zip(*rows, strict=True))
    end = np.cumsum(steps * ms) * (TICKS_PER_S // 1000)
    zero, none = np.zeros(len(rows), np.int64), np.zeros((len(rows), 3), np.int64)
    return StepLog(
        zero, np.append(0, end[:-1]), end, steps, zero > 0, sequences, zero, sequences, zero, none, none, 0
    )  # fmt: skip


def test_the_median_is_of_tokens_not_of_steps():
    # two slow steps that give 300 tokens each outweigh a hundred quick ones of one token
    assert median_gap_s(log_of([(100, 1, 2), (2, 300, 50)])) == pytest.approx(0.05)
    assert median_gap_s(log_of([(700, 1, 2), (2, 300, 50)])) == pytest.approx(0.002)


@given(st.lists(st.tuples(st.integers(1, 20), st.integers(0, 20), st.integers(1, 90)), min_size=1, max_size=20))
def test_weights_are_those_of_all_gaps_written_out(rows):
    log = log_of(rows)
    gaps = np.sort(np.repeat([ms for _, _, ms in rows], [steps * n for steps, n, _ in rows]))
    weights = gap_weights(log, 0.25, 0.75)
    if not len(gaps):
        assert not weights.any()
        return
    assert weights.sum() == pytest.approx(1)
    inside = np.repeat(gaps, 4)[len(gaps) : 3 * len(gaps)]  # quarters of a gap, so that the quantiles fall between two
    assert weights @ [ms for _, _, ms in rows] == pytest.approx(inside.mean())
