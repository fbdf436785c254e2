"""The step log accounts for all work of a run, and its window cuts it sharply."""

from dataclasses import replace

import numpy as np
import pytest
from feature_cases import feature_case
from random_cases import random_case

from tokenworks.physics.worker_model import FINE
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


def entry(table, index):
    """Tables go on with their last difference."""
    over = max(0, index - (len(table) - 1))
    return int(table[min(index, len(table) - 1)]) + over * int(table[-1] - table[-2])


def cost(row, decode, mixed, seqs, pair, context, shared_decode, shared_mixed):
    """Fine units of the steps of a row by the formulas of `physics.worker_model`; arguments: one line of each table."""
    keys = sum(int(c) * int(k) for c, k in zip(context, row["keys"], strict=True))
    if not row["mixed"]:
        n = row["sequences"]
        return int(row["steps"]) * (int(decode[n]) + int(shared_decode[n])) + keys
    tokens = row["tokens"] + row["sequences"]
    pairs = sum(int(c) * int(q) for c, q in zip(pair, row["pairs"], strict=True))
    return entry(mixed, tokens) + entry(shared_mixed, tokens) + int(seqs[row["sampled"]]) + pairs + keys


def rows_of(log, w):
    names = ("start", "end", "steps", "mixed", "sequences", "tokens", "sampled", "line", "pairs", "keys")
    return [{name: getattr(log, name)[i] for name in names} for i in np.flatnonzero(log.worker == w)]


def test_what_a_row_says_costs_what_the_steps_took_to_the_last_bit():
    """Ticks of every row and joules of every worker, from the tables and the log alone; the line named is the longest."""
    seen, leaps = 0, 0
    for seed in range(250):
        cell, requests, options = random_case(seed)
        run = simulate(cell, requests, replace(options, trace_ticks=FOREVER))
        for w, m in enumerate(cell.workers):
            if cell.models[m].ranks > 1:
                continue
            t, carry, joules = cell.models[m].levels[0], 0, 0
            terms = (t.decode, t.mixed, t.seqs, t.pair, t.context, t.shared_decode, t.shared_mixed)
            for row in rows_of(run.steps, w):
                lines = [cost(row, *(x[line] for x in terms)) for line in range(len(t.decode))]
                assert lines[row["line"]] == max(lines), seed
                ticks, carry = divmod(carry + max(lines), FINE)
                assert row["end"] - row["start"] == ticks, seed
                joules += cost(row, t.joule_decode, t.joule_mixed, t.joule_seqs, t.joule_pair, t.joule_context,
                               t.joule_shared_decode, t.joule_shared_mixed)  # fmt: skip
                seen, leaps = seen + 1, leaps + (row["steps"] > 1)
            assert run.workers.dynamic_uj[w] == joules // FINE, seed
    assert seen > 3000
    assert leaps > 300
