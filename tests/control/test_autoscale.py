"""Sizing against closed forms; decisions keep their bounds and do not flap."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tokenworks.control.scaling.autoscale import Rules, begin, decide
from tokenworks.control.scaling.capacity import DECODE, PREFILL, SERVE, Capacity, load_of, prompt_s
from tokenworks.control.scaling.seen import Seen
from tokenworks.control.scaling.sizing import for_load, for_rate
from tokenworks.control.scaling.steadying import steady

ONE = Capacity(
    decode_s=np.array([0.01 + 0.0005 * np.arange(65), np.full(65, 0.012)]),
    key_s=np.array([[1e-8, 0, 0], [0, 0, 0]]),
    token_s=np.array([1e-4, 5e-5]),
    pair_s=np.zeros((2, 3)),
    limits=np.array([np.inf, 0.0, 0.0]),
    kv_tokens=60_000.0,
    ranks=1,
)


def rules(**changes):
    some = Rules(
        role=SERVE, least=1, most=8, start=1, every_s=10.0, load_s=25.0, predictor=0, season=0, target=0.8, hysteresis=0.1,
        calm_s=60.0, idle_s=60.0, tpot_s=0.0, isl=500.0, osl=200.0, capacity=ONE,
    )  # fmt: skip
    return some._replace(**changes)


def seen(now_s, arrived=0, outstanding=0, held=0):
    return Seen(now_s, arrived, arrived, 500 * arrived, 200 * arrived, outstanding, held, 1, 0)


def by_hand(isl, osl, tpot_s):
    """Every batch looked at."""
    best = (0.0, 0)
    for n in range(1, 65):
        step = max(0.01 + 0.0005 * n + 1e-8 * n * (isl + osl / 2), 0.012)
        fill = 1e-4 * isl
        rate, tpot = 1 / (fill + osl * step / n), step + n * fill / osl
        fits = n * (isl + osl) <= 60_000 and (not tpot_s or tpot <= tpot_s)
        if fits or n == 1:
            best = max(best, (rate, n))
    return best


@given(st.integers(1, 3000), st.integers(2, 2000), st.sampled_from([0.0, 0.015, 0.03, 0.1]))
def test_the_best_batch_within_the_objective(isl, osl, tpot_s):
    rate, batch = by_hand(isl, osl, tpot_s)
    found = load_of(ONE, SERVE, isl, osl, tpot_s)
    assert np.isclose(found.requests_s, rate)
    assert found.batch == batch


def test_pools_of_their_own_carry_their_part():
    """In the time of a request a worker prefills and decodes: 1/rate = 1/prefill rate + 1/decode rate where all run the same
    batch; the ratio of the pools is that of the times."""
    prefill, decode = load_of(ONE, PREFILL, 500, 200, 0).requests_s, load_of(ONE, DECODE, 500, 200, 0).requests_s
    whole = load_of(ONE, SERVE, 500, 200, 0).requests_s
    assert np.isclose(1 / whole, 1 / prefill + 1 / decode)
    assert for_rate(40, load_of(ONE, PREFILL, 500, 200, 0), 1.0) == np.ceil(40 * prompt_s(ONE, 500))
    assert for_rate(40, load_of(ONE, DECODE, 500, 200, 0), 1.0) == np.ceil(40 / decode)


def test_sparse_classes_count_no_more_than_their_limit():
    one = ONE._replace(pair_s=np.array([[0, 1e-3, 0], [0, 0, 0]]), limits=np.array([np.inf, 4.0, 0.0]))
    pairs = sum(min(p, 4) for p in range(1, 11))
    assert np.isclose(prompt_s(one, 10), 1e-4 * 10 + 1e-3 * pairs)


def test_rate_and_load_agree_by_littles_law():
    one = load_of(ONE, SERVE, 500, 200, 0)
    stay_s = one.batch / one.requests_s
    for rate in (1.0, 7.0, 33.0):
        assert for_load(round(rate * stay_s), one, 0.8) - for_rate(rate, one, 0.8) in (-1, 0, 1)


def test_fewer_only_after_a_calm():
    assert steady(3, 5, np.array([1])) == 5
    assert steady(3, 1, np.array([1, 2, 1])) == 2
    assert steady(3, 1, np.array([4, 1, 1])) == 3
    assert steady(3, 1, np.array([1, 1])) == 1


observed = st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 500), st.integers(0, 3)), min_size=1, max_size=30)


@given(observed, st.integers(0, 2), st.integers(2, 9), st.integers(0, 3))
def test_decisions_keep_their_bounds(figures, least, most, predictor):
    some = rules(least=least, most=most, start=most, predictor=predictor, season=3)
    memory = begin(some)
    for i, (arrived, outstanding, held) in enumerate(figures):
        memory = decide(some, memory, seen(10.0 * (i + 1), arrived, outstanding, held))
        assert least <= memory.replicas <= most
        if held or outstanding or arrived:
            assert memory.replicas >= 1


def test_more_at_once_fewer_after_the_calm_and_none_when_idle():
    some, memory, path = rules(least=0, most=8, start=0), begin(rules(least=0, start=0)), []
    rate = load_of(ONE, SERVE, 500, 200, 0).requests_s
    for i in range(30):
        arrived = round(10 * 2.5 * rate) if 2 <= i < 6 else 0
        memory = decide(some, memory, seen(10.0 * (i + 1), arrived))
        path.append(memory.replicas)
    assert path[1] == 0  # nobody asks
    assert path[2] == 4  # 2.5 / 0.8
    assert path[2:12] == [4] * 10  # four looks with work, then a calm of six
    assert path[13] < 4
    assert path[-1] == 0


def test_a_cold_start_is_looked_over():
    """A line that rises is followed to where it will be when a replica started now takes requests."""
    quick, slow = rules(predictor=3, load_s=0.0, most=99), rules(predictor=3, load_s=200.0, most=99)
    ends = []
    for some in (quick, slow):
        memory = begin(some)
        for i in range(40):
            memory = decide(some, memory, seen(10.0 * (i + 1), 20 * i))
        ends.append(memory.replicas)
    assert ends[1] > ends[0]
