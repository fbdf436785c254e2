"""Prefix caches, tiers, pools, caps, timelines: leaps equal single steps, chunks and processes change nothing."""

from functools import partial

import numpy as np
import pytest
from agreement import disagreements
from feature_cases import feature_case, routing_case
from feature_comparison import feature_differences

from tokenworks.errors import InputError
from tokenworks.twin import feeding
from tokenworks.twin.processes import merge, simulate_cells
from tokenworks.twin.simulate import simulate


@pytest.mark.parametrize("block", range(4))
def test_kernel_equals_reference_with_all_features(block):
    """400 random small cells, every request and counter, by ==."""
    assert not {s: found for s in range(block * 100, block * 100 + 100) if (found := feature_differences(s))}


def test_kv_aware_routing_equals_the_reference_in_wide_pools():
    """The kernel asks few caches, the reference all: 300 cells of up to 12 workers, every request by ==."""
    assert not {s: found for s in range(300) if (found := feature_differences(s, routing_case))}


@pytest.mark.prove
def test_kernel_equals_reference_with_all_features_at_full_size():
    assert not [s for s in range(10_000, 14_000) if feature_differences(s)]


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
def test_leaps_equal_single_steps_at_full_size():
    assert not [
        s
        for s in range(1000, 4000)
        if disagreements(simulate(*feature_case(s)), simulate(*feature_case(s), max_leap=1))
    ]


def test_the_cases_are_nasty():
    """The random cases do reach what they are for: hits, preemptions, lower clock levels, transfers."""
    results = [(feature_case(s)[0], simulate(*feature_case(s))) for s in range(150)]
    assert sum(x.cached_tokens for _, r in results for x in r.services) > 500
    assert sum(x.preemptions for _, r in results for x in r.services) > 5
    assert sum(r.workers.level_ticks[:, 1:].sum() > 0 for _, r in results) > 5
    split = [r.workers.decode_tokens[list(p.decode)].sum() for cell, r in results for p in cell.services if p.decode]
    assert sum(np.array(split) > 0) > 20


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
