"""Traces and their scaling against published figures."""

import numpy as np
import pytest

from tokenworks.spec.factory import Workload
from tokenworks.workload.copies import SPACE_BITS
from tokenworks.workload.generate import from_trace, generate, merge, rng_of
from tokenworks.workload.trace_formats import load_trace
from tokenworks.workload.trace_names import trace_ids


@pytest.mark.parametrize(
    ("name", "count", "mean_in", "mean_out"),
    [
        ("azure-2023-conversation", 19_366, 1154.7, 211.1),
        ("azure-2023-code", 8_819, 2047.8, 27.9),
        ("mooncake-conversation", 12_031, 12_035.1, 342.6),
        ("mooncake-synthetic", 3_993, 15_325.5, 149.1),
    ],
)
def test_shipped_traces_have_the_published_figures(name, count, mean_in, mean_out):
    trace = load_trace(name)
    assert len(trace) == count
    assert trace.input_tokens.mean() == pytest.approx(mean_in, abs=0.05)
    assert trace.output_tokens.mean() == pytest.approx(mean_out, abs=0.05)
    assert (np.diff(trace.arrival_s) >= 0).all()
    assert trace.block_start[-1] == len(trace.block_hash)
    assert name in trace_ids()


def test_scaling_keeps_structure():
    """Twelve-fold: rate exact on average, shape of the hour kept by no copy alone, reuse within copies alone."""
    trace = load_trace("mooncake-conversation")
    made = from_trace(trace, 3.5 * trace.rate_s, 3500, rng_of(6))
    assert len(made) / 3500 == pytest.approx(3.5 * trace.rate_s, rel=0.02)
    owners = made.block_hash >> np.uint64(SPACE_BITS)
    assert {int(o) % 4 for o in set(owners.tolist())} == {0, 1, 2, 3}
    alone = from_trace(trace, trace.rate_s, trace.span_s, rng_of(6))
    reuse = lambda r: 1 - len(np.unique(r.block_hash)) / len(r.block_hash)  # noqa: E731
    assert reuse(alone) == pytest.approx(reuse(trace), abs=1e-9)
    # Copies share nothing: pooled reuse cannot exceed that of one copy by more than repeats at the horizon.
    assert reuse(made) == pytest.approx(reuse(alone), abs=0.05)


def test_same_seed_same_bytes_and_other_seed_other_bytes():
    load = Workload(service="a", trace="azure-2023-code", scale="1x")
    a, b, c = (generate(load, 0, 5.0, 600, seed, 0) for seed in (1, 1, 2))
    assert a.arrival.tobytes() == b.arrival.tobytes()
    assert a.arrival.tobytes() != c.arrival.tobytes()


def test_merge_is_sorted_and_keeps_hashes():
    trace = load_trace("mooncake-synthetic")
    a, b = from_trace(trace, 2.0, 60, rng_of(1)), from_trace(trace, 1.0, 60, rng_of(2))
    both = merge([a, b])
    assert (np.diff(both.arrival) >= 0).all()
    assert len(both) == len(a) + len(b)
    assert sorted(both.block_hash.tolist()) == sorted(a.block_hash.tolist() + b.block_hash.tolist())
    first = int(np.flatnonzero(both.arrival == a.arrival[0])[0])
    assert both.block_start[first + 1] - both.block_start[first] == a.block_start[1]
