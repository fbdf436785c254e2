"""The step log accounts for all work of a run, and its window cuts it sharply."""

from dataclasses import replace

import numpy as np
import pytest
from feature_cases import feature_case

from tokenworks.twin.simulate import simulate

FOREVER = (0, 1 << 60)
BUSY = 2  # a case with many steps


@pytest.mark.parametrize("seed", range(60))
def test_steps_account_for_all_work(seed):
    cell, requests, options = feature_case(seed)
    run = simulate(cell, requests, replace(options, trace_ticks=FOREVER))
    log, workers = run.steps, run.workers
    assert log.lost == 0
    for w in range(len(cell.workers)):
        mine = log.worker == w
        start, end = log.start[mine], log.end[mine]
        assert (start[1:] >= end[:-1]).all(), "steps of a worker overlap"
        assert (end - start).sum() == workers.busy_ticks[w]
        assert log.tokens[mine].sum() == workers.prefill_tokens[w]
        assert log.steps[mine].sum() == workers.steps[w]


def test_a_window_keeps_what_ends_inside_and_counts_what_does_not_fit():
    cell, requests, options = feature_case(BUSY)
    whole = simulate(cell, requests, replace(options, trace_ticks=FOREVER)).steps
    first, last = (int(x) for x in np.quantile(whole.end, (0.3, 0.6)))
    part = simulate(cell, requests, replace(options, trace_ticks=(first, last))).steps
    inside = (whole.end >= first) & (whole.end < last)
    assert np.array_equal(part.end, whole.end[inside])
    assert 0 < inside.sum() < len(inside)
    few = simulate(cell, requests, replace(options, trace_ticks=FOREVER, trace_capacity=3)).steps
    assert (len(few.end), few.lost) == (3, len(whole.end) - 3)


def test_tracing_changes_nothing():
    cell, requests, options = feature_case(2)
    plain, traced = simulate(cell, requests, options), simulate(cell, requests, replace(options, trace_ticks=FOREVER))
    assert plain.end_ticks == traced.end_ticks
    assert np.array_equal(plain.workers.dynamic_uj, traced.workers.dynamic_uj)
    assert plain.steps is None
