"""Replicas under a power budget: never more watts than there are, the least urgent go first, all come back."""

import math
import random

import pytest

from tokenworks.control.scaling.power import (
    DAY_S,
    Budget,
    Pool,
    allowed,
    corrected,
    grant,
    least_w,
    standing_of,
    watts_of,
)

ALWAYS = ((0.0, 1000.0),)


def budget(*pools, day=ALWAYS, fixed_w=0.0):
    return Budget(day, 0.0, fixed_w, tuple(Pool(*pool) for pool in pools))


def drawn_w(of, counts):
    return of.fixed_w + sum(n * pool.replica_w for n, pool in zip(counts, of.pools, strict=True))


@pytest.mark.parametrize(
    ("limit_w", "counts"),
    [(math.inf, (4, 4)), (800.0, (4, 4)), (799.0, (4, 3)), (500.0, (4, 1)), (250.0, (1, 1)), (199.0, (1, 1)), (0.0, (1, 1))],
)  # fmt: skip
def test_the_least_urgent_go_first_and_never_below_their_minimum(limit_w, counts):
    of = budget((0, 1, 100.0), (1, 1, 100.0))
    assert allowed(of, (4, 4), limit_w, watts_of(of)) == counts


def test_ranks_decide_and_not_places():
    of = budget((1, 0, 100.0), (0, 0, 100.0))
    assert allowed(of, (4, 4), 500.0, watts_of(of)) == (1, 4)


def test_what_an_urgent_one_is_too_large_for_feeds_another():
    of = budget((0, 0, 400.0), (1, 0, 100.0))
    assert allowed(of, (3, 9), 1000.0, watts_of(of)) == (2, 2)


def test_pools_of_one_service_keep_their_ratio():
    of = budget((0, 1, 100.0), (0, 1, 100.0))
    assert allowed(of, (8, 4), 600.0, watts_of(of)) == (4, 2)


def test_pools_that_are_not_scaled_are_fed_before_all():
    of = budget((0, 0, 100.0), fixed_w=450.0)
    assert allowed(of, (9,), 1000.0, watts_of(of)) == (5,)


def test_one_starts_only_when_another_has_left_its_watts():
    of = budget((0, 0, 100.0), (1, 0, 100.0))
    standing = standing_of((2, 8))
    standing = grant(of, standing, 0, 6, 1000.0, watts_of(of))
    assert standing.told == (2, 8)  # six are its share, but the other has not looked yet
    standing = grant(of, standing, 1, 8, 1000.0, watts_of(of))
    assert standing.told == (2, 4)
    standing = grant(of, standing, 0, 6, 1000.0, watts_of(of))
    assert standing.told == (6, 4)


def test_all_come_back_when_the_budget_does():
    of, standing = budget((0, 1, 100.0), (1, 0, 100.0)), standing_of((4, 4))
    told = []
    for limit_w in (800.0, 300.0, 300.0, 800.0):
        for pool in (0, 1):
            standing = grant(of, standing, pool, 4, limit_w, watts_of(of))
        told.append(standing.told)
    assert told == [(4, 4), (3, 0), (3, 0), (4, 4)]


def test_no_start_ever_breaks_the_budget():
    """Any wishes, any order of looks, any change of the budget: after a start all that has been told is within it."""
    starts = held = 0
    for seed in range(100):
        rng, of = random.Random(seed), pools_by(seed)
        standing, limit_w = standing_of([p.least for p in of.pools]), 2000.0
        for _ in range(60):
            if rng.random() < 0.1:
                limit_w = rng.choice([0.0, 900.0, 2000.0, math.inf])
            pool, wanted = rng.randrange(len(of.pools)), rng.randint(0, 8)
            before, least = standing.told[pool], of.pools[pool].least
            standing = grant(of, standing, pool, wanted, limit_w, watts_of(of))
            assert least <= standing.told[pool] <= max(least, wanted)
            if standing.told[pool] > max(before, least):
                starts += 1
                assert drawn_w(of, standing.told) <= limit_w * (1 + 1e-9)
            held += standing.told[pool] < wanted
    assert starts > 500
    assert held > 500


def test_pools_settle_on_their_shares():
    """Whatever was up before: within two rounds of looks all is within the budget, within three each has its share."""
    tight = 0
    for seed in range(100):
        rng, of = random.Random(seed), pools_by(seed)
        places = range(len(of.pools))
        standing = standing_of([rng.randint(p.least, 8) for p in of.pools])
        wishes, limit_w = [rng.randint(0, 8) for _ in places], rng.choice([900.0, 2000.0, math.inf])
        share = allowed(of, wishes, limit_w, watts_of(of))
        for turn in range(3):
            for pool in rng.sample(places, len(places)):
                standing = grant(of, standing, pool, wishes[pool], limit_w, watts_of(of))
            if turn and drawn_w(of, [p.least for p in of.pools]) <= limit_w:
                assert drawn_w(of, standing.told) <= limit_w * (1 + 1e-9)
        assert standing.told == share
        tight += any(n < w for n, w in zip(share, wishes, strict=True))
    assert tight > 30


def pools_by(seed):
    rng = random.Random(f"pools {seed}")
    pools = ((rng.randint(0, 2), rng.randint(0, 1), rng.uniform(50, 500)) for _ in range(rng.randint(1, 4)))
    return budget(*pools, fixed_w=rng.choice([0.0, 300.0]))


def test_the_lowest_budget_until_the_next_look():
    day = ((0.0, math.inf), (61200.0, 500.0), (64800.0, 300.0), (75600.0, math.inf))
    for seed in range(300):
        rng = random.Random(seed)
        time_s, ahead_s = rng.randrange(0, 3 * 86400, 60) + 30.0, rng.choice([0.0, 60.0, 7200.0, DAY_S])
        minutes = [time_s + 60.0 * i for i in range(int(ahead_s // 60) + 1)]
        at = [max((d for d in day if d[0] <= t % DAY_S), key=lambda d: d[0])[1] for t in minutes]
        assert least_w(day, time_s, ahead_s) == min(at)
    assert least_w(day, 61190.0, 10.0) == 500.0
    assert least_w(day, 61190.0, 9.0) == math.inf
    assert least_w(day, 75600.0, 0.0) == math.inf


def test_measured_watts_move_a_model_and_never_far():
    factor = 1.0
    for _ in range(100):
        factor = corrected(factor, 390.0, 300.0)
    assert factor == pytest.approx(1.3, rel=1e-3)
    for _ in range(100):
        factor = corrected(factor, 9000.0, 300.0)
    assert factor == pytest.approx(2.0, rel=1e-3)
