"""Seconds and joules of single requests: kernel = slow simulator, leaps = steps, sums = meters, and by hand."""

from dataclasses import replace

import numpy as np
import pytest
from agreement import disagreements
from allocation_cases import imbalances, share_differences
from feature_cases import feature_case
from random_cases import random_case

from tokenworks.errors import ConservationError
from tokenworks.physics.worker_model import FINE, StepTable, WorkerModel
from tokenworks.twin import columns, feeding, sharing
from tokenworks.twin.cell import Cell, ServicePlan, TwinOptions
from tokenworks.twin.processes import merge
from tokenworks.twin.simulate import UNLIMITED_LEAP, Run, simulate
from tokenworks.twin.static_draw import by_weight
from tokenworks.workload.generate import requests

OPTIONS = TwinOptions(record=True, allocate=True)


@pytest.mark.parametrize("case", [random_case, feature_case])
def test_the_kernel_divides_as_the_slow_simulator_does(case):
    """Pools, ranks, speculation, limits, preemption, caps, horizons: every request's ticks and microjoules by ==."""
    assert not {s: found for s in range(60) if (found := share_differences(s, case))}


@pytest.mark.prove
def test_the_kernel_divides_as_the_slow_simulator_does_at_full_size(record_property):
    for case in (random_case, feature_case):
        assert not [s for s in range(20_000, 22_000) if share_differences(s, case)]
    record_property("figure", "4,000 random cells, ticks and microjoules of each request by ==")


def test_leaps_divide_as_single_steps_do_and_chunks_change_nothing(monkeypatch):
    for seed in range(60):
        cell, load, options = feature_case(seed)
        options = replace(options, allocate=True)
        whole = simulate(cell, load, options)
        assert disagreements(whole, simulate(cell, load, options, max_leap=1)) == [], seed
        with monkeypatch.context() as patch:
            patch.setattr(feeding, "CHUNK", 3)
            assert disagreements(whole, simulate(cell, load, options)) == [], seed


@pytest.mark.parametrize("case", [random_case, feature_case])
def test_dividing_changes_nothing_else_and_every_row_adds_up(case):
    lost = 0
    for seed in range(100, 180):
        cell, load, options = case(seed)
        plain, divided = simulate(cell, load, options), simulate(cell, load, replace(options, allocate=True))
        assert disagreements(plain, replace(divided, allocation=None)) == [], seed
        assert imbalances(divided) == [], seed
        lost += int(divided.allocation.lost_ticks.sum() > 0)
    assert lost > 2  # the cases do preempt


def test_a_run_whose_shares_do_not_add_up_is_refused():
    cell, load, options = random_case(3)
    run = Run(cell, load, replace(options, allocate=True), UNLIMITED_LEAP)
    run.play(lambda: False)
    run.books.log[0, columns.L_SHARE + columns.A_WIDE + columns.A_TICKS] += 1
    run.books.log[0, columns.L_SHARE + columns.A_WIDE] = 1
    with pytest.raises(ConservationError, match="seconds of requests and of workers differ"):
        run.result()


def plain_model(**changes) -> WorkerModel:
    """A decode step of n sequences takes 60 + 2 per key, ticks; one with prefill 100, 4 per token and 3 per pair."""
    ticks = np.arange(70) * FINE
    zero, none = np.zeros((1, 200), np.int64), np.zeros(200, np.int64)
    decode = np.where(np.arange(9) > 0, 60 * FINE, 0)[None]
    mixed = np.where(np.arange(70) > 0, 100 * FINE + 4 * ticks, 0)[None]
    rate = lambda x: np.array([[x * FINE, 0, 0]])  # noqa: E731
    table = StepTable(
        decode, mixed, zero[:, :9], rate(3), rate(2), zero[:, :9], zero, none[:9], none[:70], none[:9],
        np.zeros(3, np.int64), np.array([FINE, 0, 0]), none[:9], none, 100.0, 1.0,
    )  # fmt: skip
    model = WorkerModel(
        name="plain", gpus=1, levels=(table,), limits=(0, 0), ranks=1, max_seqs=8, token_budget=60, kv_blocks=100,
        block_tokens=4, reserve_output=False, prefill_alone=False, chunked_prefill=True, receive_interval=1,
        plans_ahead=False, prefix_cache=False, tiers=(), idle_w=50.0, load_s=1.0, kv_bytes_per_token=1.0,
        transfer_ticks_per_token=1, transfer_latency_ticks=0, tokens_per_step=1.0,
    )  # fmt: skip
    return replace(model, **changes)


def one_worker(model: WorkerModel, arrival, prompt, output, options=OPTIONS):
    load = requests(np.array(arrival) / 1e11, np.array(prompt), np.array(output))
    return simulate(Cell((model,), (0,), (ServicePlan("s", workers=(0,)),)), load, options)


def test_two_requests_by_hand():
    """Both prompts in one step, then one decode step of both, then one of the longer alone.

    Step 1: prompts of 3 and 2 tokens: 100 + 4·5 + 3·(6 + 3) = 147 ticks. Pairs: 18 and 9. Fixed (one token): 104, 52 each. The
    other 16 by tokens: 3.2 each: 9.6 and 6.4. Sums: 79.6, 67.4.
    Step 2: 60 + 2·(4 + 3) = 74: 30 each, 8 and 6: 38 and 36. Step 3: 60 + 2·5 = 70, of the first alone.
    """
    shares = one_worker(plain_model(), [0, 0], [3, 2], [3, 2]).allocation
    exact = [79.6 + 38 + 70, 67.4 + 36]
    assert shares.ticks.tolist() == [188, 103]  # 103.4 leaves 0.4 for the one that leaves last: 187.6 + 0.4
    assert np.abs(shares.ticks - exact).max() < 1
    assert shares.dynamic_uj.tolist() == [9, 3]  # a microjoule for each key: 4 + 5, 3
    assert (shares.idle_ticks.tolist(), shares.lost_ticks.tolist()) == ([0], [0])


def test_time_between_requests_is_idle():
    shares = one_worker(plain_model(), [0, 1000], [1, 1], [1, 1]).allocation
    assert shares.ticks.tolist() == [107, 107]
    assert shares.idle_ticks.tolist() == [893]


def test_a_preempted_prefill_and_what_is_computed_again_are_lost():
    """Few blocks: the younger sequence gives way, and its second prefill is nobody's."""
    result = one_worker(plain_model(kv_blocks=6), [0, 0], [8, 8], [12, 12])
    shares = result.allocation
    assert result.log.preemptions.tolist() == [0, 1]
    again = shares.lost_ticks[0]
    assert again > 0
    rounding = shares.idle_ticks[0]  # the worker never idles
    assert 0 <= rounding <= 2
    assert shares.ticks.sum() + again + rounding == result.workers.busy_ticks[0]
    free = one_worker(plain_model(), [0, 0], [8, 8], [12, 12]).allocation
    assert abs(int(shares.ticks.sum()) + int(again) - int(free.ticks.sum())) > 100


def test_long_leaps_settle_before_sums_overflow(monkeypatch):
    """Whether all take their whole units often or never, everybody has the same."""
    case = random_case(11)
    options = replace(case[2], allocate=True)
    whole = simulate(case[0], case[1], options).allocation
    run = Run(case[0], case[1], options, UNLIMITED_LEAP)
    run.state.meter[:, columns.M_SINCE] = sharing.FULL  # full from the start
    run.play(lambda: False)
    assert disagreements(whole, run.result().allocation) == []


def test_days_of_one_request_do_not_overflow():
    """One sequence alone for 10**14 ticks (1,000 s) a step: its share is far above 2**63 fine units."""
    slow = plain_model()
    table = slow.levels[0]
    long = replace(table, decode=table.decode * 10**11, joule_decode=np.where(np.arange(9) > 0, FINE * 10**12, 0))
    shares = one_worker(replace(slow, levels=(long,)), [0], [3], [300]).allocation
    assert shares.ticks[0] == 299 * 60 * 10**11 + 2 * sum(range(4, 303)) + 100 + 12 + 3 * 6
    assert shares.dynamic_uj[0] == 299 * 10**12 + sum(range(4, 303))


def test_cells_laid_side_by_side_count_their_workers_on():
    one, two = (simulate(*with_shares(seed)) for seed in (1, 2))
    both = merge([one, two]).allocation
    assert both.worker[len(one.allocation.ticks) :].max() <= len(one.workers.steps) + len(two.workers.steps) - 1
    assert both.ticks.sum() == one.allocation.ticks.sum() + two.allocation.ticks.sum()
    assert merge([one, replace(two, allocation=None)]).allocation is None


def with_shares(seed: int):
    cell, load, options = random_case(seed)
    return cell, load, replace(options, allocate=True)


@pytest.mark.parametrize("total", [0, 1, 10**6, 2**59, 2**62])
def test_parts_by_weight_are_differences_of_running_sums(total):
    weights = np.random.default_rng(total % 97).integers(0, 10**12, 400)
    done = np.cumsum(weights)
    upto = [total * int(d) // int(done[-1]) for d in done]
    assert by_weight(total, weights).tolist() == np.diff(upto, prepend=0).tolist()


def test_weights_of_years_are_cut_and_still_add_up():
    weights = np.random.default_rng(5).integers(0, 2**52, 1000)
    parts = by_weight(10**15, weights)
    assert parts.sum() == 10**15
    assert np.allclose(parts, 10**15 * (weights / weights.sum()), rtol=1e-6, atol=2**6)
    assert by_weight(7, np.zeros(3, np.int64)).tolist() == [0, 0, 0]
