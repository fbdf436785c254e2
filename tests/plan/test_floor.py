"""Who stands where: every worker once, no system overfull, none cut that fits, spares empty."""

from collections import Counter
from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenworks.errors import CapacityError
from tokenworks.plan.floor import stands
from tokenworks.plan.result import Option, Setup, Systems
from tokenworks.report.plan_floor import floor_svg


def setup(
    service: str, gpus: int, workers: int, prefill_gpus: int = 0, prefill_workers: int = 0, pay: str = "own"
) -> Setup:
    total = gpus * workers + prefill_gpus * prefill_workers
    return Setup(
        service, "llama-3.3-70b", "disaggregated" if prefill_workers else "aggregated", "vllm", "fp8", "fp8", "hgx-h200",
        pay, "tp", "tp" if prefill_workers else "", workers, prefill_workers, 64, total, 1.0, 1.0, gpus, prefill_gpus,
    )  # fmt: skip


def option(setups: list[Setup], count: int, spares: int = 0, size: int = 8) -> Option:
    systems = (Systems("hgx-h200", "own", count, spares, 0, count * size),)
    return Option(tuple(setups), systems, {}, {}, (), (), 1.0, 1.0, 1.0, 1, 1, True)


def needed(setups: list[Setup], size: int) -> int:
    """As the planner counts: each worker takes 1 ÷ (workers of its size that fit) of a system."""
    share = Fraction(0)
    for s in setups:
        for gpus, workers in ((s.worker_gpus, s.workers), (s.prefill_worker_gpus, s.prefill_workers)):
            if workers:
                share += Fraction(workers, size // gpus) if gpus <= size else Fraction(workers * ceil(gpus / size))
    return ceil(share)


pool = st.tuples(st.sampled_from([1, 2, 4, 8, 16, 24]), st.integers(1, 9))


@given(st.lists(st.tuples(pool, st.none() | pool), min_size=1, max_size=4), st.integers(0, 3))
def test_every_worker_stands_once_and_nothing_is_overfull(asked, spares):
    setups = [setup(f"s{i}", *main, *(apart or (0, 0))) for i, (main, apart) in enumerate(asked)]
    count = needed(setups, 8) + spares
    found = stands(option(setups, count, spares))
    assert [(s.number, s.spare) for s in found] == [(i + 1, i >= count - spares) for i in range(count)]
    assert all(s.idle_gpus >= 0 and not (s.spare and s.seats) for s in found)
    got: Counter[tuple[int, str, int]] = Counter()
    parts: Counter[tuple[int, str, int]] = Counter()
    for stand in found:
        for seat in stand.seats:
            got[seat.setup, seat.role, seat.number] += seat.gpus
            parts[seat.setup, seat.role, seat.number] += 1
    want = {}
    for i, s in enumerate(setups):
        main = "decode" if s.prefill_workers else "worker"
        want |= {(i, main, n): s.worker_gpus for n in range(1, s.workers + 1)}
        want |= {(i, "prefill", n): s.prefill_worker_gpus for n in range(1, s.prefill_workers + 1)}
    assert got == want
    assert all(parts[key] == max(1, ceil(gpus / 8)) for key, gpus in want.items())


def test_pairs_stand_side_by_side():
    (first, second) = stands(option([setup("chat", 4, 2, 4, 2)], 2))
    assert [seat.role for seat in first.seats] == ["decode", "prefill"] == [seat.role for seat in second.seats]


def test_what_does_not_fit_is_no_plan():
    with pytest.raises(CapacityError, match="a worker of 8 GPUs finds no room"):
        stands(option([setup("chat", 8, 3)], 2))


def test_a_square_for_each_gpu_and_each_worker_says_who_it_is():
    plan = option([setup("chat", 2, 7)], 3, 1)
    drawn = floor_svg(plan, stands(plan))
    assert drawn.count('class="bar c0"') == 1 + 14  # the legend's, and 7 workers of 2
    assert "chat, worker 7: 2 GPUs here" in drawn
    assert drawn.count("stroke-dasharray") == 1
    assert drawn.count('width="10" height="10"') == 1 + 10  # idle: 2 of the second system, 8 of the spare one


def test_many_racks_are_not_all_drawn():
    plan = option([setup("chat", 8, 900)], 900)
    drawn = floor_svg(plan, stands(plan))
    assert "more racks are filled the same way" in drawn
    assert len(drawn) < 200_000
