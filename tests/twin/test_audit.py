"""The books of a run balance, and a book that was tampered with is caught and named."""

import numpy as np
import pytest
from feature_cases import feature_case

from tokenworks.errors import ConservationError
from tokenworks.twin import columns as c
from tokenworks.twin.audit import audit, audit_timeline, blocks_in_use
from tokenworks.twin.simulate import UNLIMITED_LEAP, Run


def played(wanted) -> Run:
    """The first feature case whose finished run is ``wanted``."""
    for seed in range(400):
        run = Run(*feature_case(seed), UNLIMITED_LEAP)
        run.play(lambda: False)
        if wanted(run):
            return run
    raise AssertionError("no feature case is like that")


def busy(run: Run) -> bool:
    """Cut at its horizon with prefix hits, and requests inside."""
    return bool(run.books.service[:, c.HIT_S].sum() and (run.state.slot[:, c.PHASE] > c.PENDING).any())


def recomputed(run: Run) -> bool:
    """With prefix hits, and prompts that were recomputed after a preemption."""
    return bool(run.books.service[:, [c.HIT_S, c.RECOMPUTED_S]].sum(axis=0).all())


def check(run: Run) -> None:
    audit(run.cell, run.tables, run.state, run.books, run.pools, run.cache)


def test_recomputed_prompt_tokens_are_kept_apart():
    run = played(recomputed)
    check(run)
    count = run.books.service.sum(axis=0)
    computed = run.state.worker[:, c.PREFILL_TOKENS].sum()
    filling = run.state.slot[run.state.slot[:, c.PHASE] == c.FILLING, c.STORED].sum()
    inside = run.state.slot[run.state.slot[:, c.PHASE] > c.PENDING]
    prompts = count[c.INPUT_S] + inside[inside[:, c.FIRST] >= 0, c.INPUT].sum()
    assert computed + count[c.HIT_S] == prompts + count[c.RECOMPUTED_S] + count[c.LOST_S] + filling


@pytest.mark.parametrize(
    ("column", "named"),
    [
        (c.ARRIVED, "requests"), (c.TIMED, "requests"), (c.FULL, "requests"), (c.LONG, "requests"), (c.INPUT_S, "prefill tokens"),
        (c.HIT_S, "prefill tokens"), (c.RECOMPUTED_S, "prefill tokens"), (c.LOST_S, "prefill tokens"),
        (c.OUTPUT_S, "output tokens"), (c.ASKED_S, "output tokens"), (c.RECOMPUTES_S, "decode tokens"), (c.JOULES_S, "microjoules"),
    ],
)  # fmt: skip
def test_a_false_counter_of_a_service_is_caught(column, named):
    run = played(busy)
    run.books.service[0, column] += 1
    with pytest.raises(ConservationError, match=named):
        check(run)


@pytest.mark.parametrize(
    ("column", "named"),
    [
        (c.PREFILL_TOKENS, "prefill tokens"),
        (c.DECODE_TOKENS, "decode tokens"),
        (c.JOULES, "microjoules"),
        (c.BUSY, "busy ticks"),
    ],
)
def test_a_false_counter_of_a_worker_is_caught(column, named):
    run = played(busy)
    run.state.worker[0, column] -= 1
    with pytest.raises(ConservationError, match=named):
        check(run)


def test_lost_and_forgotten_blocks_are_caught():
    run = played(lambda r: not (r.state.slot[:, c.PHASE] > c.PENDING).any() and r.state.rank[0, c.LRU_N] > 0)
    assert blocks_in_use(run.tables, run.state) == 0
    run.state.rank[0, c.FREE] -= 1
    with pytest.raises(ConservationError, match="KV blocks"):
        check(run)
    run.state.rank[0, c.FREE] += 1
    used = run.cache.node[(run.cache.node[:, c.N_USED] == 1) & (run.cache.node[:, c.N_TIER] == 0)]
    assert len(used)
    assert (used[:, c.N_COUNT] == 0).all()  # nobody holds a unit


def test_a_request_that_vanishes_is_caught():
    run = played(busy)
    inside = np.flatnonzero(run.state.slot[:, c.PHASE] > c.PENDING)
    run.state.slot[inside[0], c.PHASE] = c.FREE_SLOT
    with pytest.raises(ConservationError, match="requests"):
        check(run)


def test_a_false_load_of_a_router_is_caught():
    run = played(busy)
    run.pools.load[-1] += 1
    with pytest.raises(ConservationError, match="loads"):
        check(run)


@pytest.mark.parametrize("row", [c.T_ARRIVED, c.T_FINISHED, c.T_TOKENS, c.T_JOULES])
def test_a_timeline_that_does_not_add_up_is_caught(row):
    run = played(lambda r: r.state.g[c.LAST] < r.options.bucket_ticks * r.options.buckets)
    audit_timeline(run.cell, run.state, run.books, run.options)
    run.books.line[row, 0, 0] += 1
    with pytest.raises(ConservationError, match="timeline"):
        audit_timeline(run.cell, run.state, run.books, run.options)
