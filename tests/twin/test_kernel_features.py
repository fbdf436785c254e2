"""Prefix caches, tiers, pools, caps, timelines: leaps equal single steps, chunks and processes change nothing."""

from functools import partial

import pytest
from agreement import disagreements
from feature_cases import feature_case, routing_case
from feature_comparison import feature_differences
from feature_coverage import coverage
from random_cases import random_case

from tokenworks.errors import InputError
from tokenworks.twin import feeding
from tokenworks.twin.processes import merge, simulate_cells
from tokenworks.twin.simulate import simulate


@pytest.mark.parametrize("block", range(4))
def test_kernel_equals_reference_with_all_features(block):
    """400 random small cells: every request, counter, histogram bin and bucket, by ==."""
    assert not {s: found for s in range(block * 100, block * 100 + 100) if (found := feature_differences(s))}


def test_kv_aware_routing_equals_the_reference_in_wide_pools():
    """The kernel asks few caches, the reference all: 300 cells of up to 12 workers, every request by ==."""
    assert not {s: found for s in range(300) if (found := feature_differences(s, routing_case))}


@pytest.mark.parametrize(
    ("seed", "case"),
    [(10642, feature_case), (12026, feature_case), (12108, feature_case), (10891, routing_case), (10899, routing_case)],
)
def test_a_horizon_inside_a_leap_leaves_whole_books(seed, case):
    """Steps of the leap that end before it count; buckets after it hold the state that it found."""
    assert feature_differences(seed, case) == []


def test_the_two_references_agree_through_the_kernel():
    """Cells of the plain reference's kind, played by the one with all features."""
    assert not {s: found for s in range(200) if (found := feature_differences(s, random_case))}


@pytest.mark.prove
def test_kernel_equals_reference_with_all_features_at_full_size(record_property):
    assert not [s for s in range(10_000, 14_000) if feature_differences(s)]
    assert not [s for s in range(10_000, 12_000) if feature_differences(s, routing_case)]
    record_property("figure", "6,000 random cells, every figure by ==")


@pytest.mark.parametrize("block", range(4))
def test_leaps_equal_single_steps_and_chunks_change_nothing(block, monkeypatch):
    for seed in range(block * 50, block * 50 + 50):
        case = feature_case(seed)
        whole = simulate(*case)
        assert disagreements(whole, simulate(*case, max_leap=1)) == [], seed
        with monkeypatch.context() as patch:
            patch.setattr(feeding, "CHUNK", 3)
            assert disagreements(whole, simulate(*case)) == [], seed


@pytest.mark.prove
def test_leaps_equal_single_steps_at_full_size(record_property):
    assert not [
        s
        for s in range(1000, 4000)
        if disagreements(simulate(*feature_case(s)), simulate(*feature_case(s), max_leap=1))
    ]
    record_property("figure", "3,000 random cells, every figure by ==")


def test_every_feature_decides_something_in_the_cases():
    """The random cases do reach what they are for; the suite cannot thin out unseen."""
    found = coverage(feature_case, range(400))
    assert not {name: count for name, count in found.items() if count < 5}


def test_timeline_adds_up():
    """What the buckets hold is what the counters hold, where the timeline covers the run."""
    seen = 0
    for seed in range(120):
        cell, load, options = feature_case(seed)
        result = simulate(cell, load, options)
        line = result.timeline
        if line is None or result.end_ticks >= options.bucket_ticks * options.buckets:
            continue
        seen += 1
        assert line.arrived.sum(axis=1).tolist() == [s.arrived for s in result.services]
        assert line.finished.sum(axis=1).tolist() == [s.finished for s in result.services]
        assert line.output_tokens.sum(axis=1).tolist() == [s.output_tokens for s in result.services]
        joules = (result.workers.dynamic_uj.sum() + result.workers.static_uj.sum()) / 1e6
        assert line.joules.sum() == pytest.approx(joules, abs=1e-6 * (1 + len(cell.workers)))
        calm = line.static_joules.sum() + line.idle_joules.sum()
        assert calm == pytest.approx(result.workers.static_uj.sum() / 1e6, abs=1e-6 * (1 + len(cell.workers)))
    assert seen > 10


def _load_of(seed):
    return feature_case(seed)[1]


def test_processes_change_nothing():
    seeds = [3, 5, 9]
    cells = [feature_case(s)[0] for s in seeds]
    streams = [partial(_load_of, s) for s in seeds]
    options = feature_case(3)[2]
    one = simulate_cells(cells, streams, options, processes=1)
    two = simulate_cells(cells, streams, options, processes=2)
    assert disagreements(one, two) == []
    with pytest.raises(InputError, match="streams"):
        simulate_cells(cells, streams[:1], options)


def test_merge_adds_cells():
    parts = [simulate(*feature_case(s)) for s in range(40)]
    same = [r for r in parts if len(r.services) == 1]
    both = merge(same[:2])
    assert both.services[0].arrived == same[0].services[0].arrived + same[1].services[0].arrived
    assert both.end_ticks == max(r.end_ticks for r in same[:2])
    assert len(both.workers.steps) == len(same[0].workers.steps) + len(same[1].workers.steps)
