"""Streams of requests: chunks, horizons, merging and scaling change no request; every workload kind."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenworks.errors import InputError
from tokenworks.spec.demand import Workload
from tokenworks.workload.copies import scaled
from tokenworks.workload.generate import base_rate_s, generate, rng_of, stream
from tokenworks.workload.streams import COLUMNS, TICKS_PER_S, head, joined, merged, part, regrouped, requests
from tokenworks.workload.trace_formats import load_trace

LOGNORMAL = {"kind": "lognormal", "mean": 300, "sigma": 1.0}
LOADS = {
    "poisson": {"arrivals": {"kind": "poisson", "rate": 4}, "input": LOGNORMAL, "output": LOGNORMAL, "tenants": 3},
    "gamma": {"arrivals": {"kind": "gamma", "rate": 4, "cv": 3}, "input": {"kind": "uniform", "low": 5, "high": 900}},
    "mmpp": {"arrivals": {"kind": "mmpp", "rate": 4}, "input": {"kind": "empirical", "values": [5, 9], "weights": [1, 3]}},
    "weekly": {"arrivals": {"kind": "weekly", "rate": 4, "first_day": "saturday"}},
    "offline": {"arrivals": {"kind": "offline", "requests": 700}, "output": LOGNORMAL},
    "closed": {"arrivals": {"kind": "closed-loop", "clients": 30, "think": "2 s"}, "tenants": 2},
    "trace": {"trace": "mooncake-synthetic", "scale": "3.4x", "offset": "5 min"},
    "mix": {"mix": "servegen-deepseek-r1", "offset": "6 h"},
    "sessions": {
        "arrivals": {"kind": "poisson", "rate": 4}, "tenants": 5,
        "sessions": {"turns": 3, "gap": "20 s", "system_prompt": 200, "prompts": 2, "max_context": 2000},
        "input": LOGNORMAL, "output": LOGNORMAL,
    },
    "pairs": {
        "arrivals": {"kind": "poisson", "rate": 4},
        "input": {"kind": "empirical", "trace": "azure-2023-code"}, "output": {"kind": "empirical", "trace": "azure-2023-code"},
    },
}  # fmt: skip


def load_of(kind):
    return Workload.model_validate({"service": "a", **LOADS[kind]})


def rate_of(load):
    return (base_rate_s(load) or 1.0) * load.scale.value


def same(a, b):
    return all(
        getattr(a, name).tobytes() == getattr(b, name).tobytes() for name in (*COLUMNS, "block_start", "block_hash")
    )


@settings(derandomize=True, max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(sorted(LOADS)),
    chunk=st.integers(1, 3000),
    seed=st.integers(0, 9),
    horizon_s=st.integers(20, 300),
)
def test_chunks_do_not_change_a_stream(kind, chunk, seed, horizon_s):
    load = load_of(kind)
    whole = generate(load, 2, rate_of(load), horizon_s, seed, 3)
    parts = list(stream(load, 2, rate_of(load), horizon_s, seed, 3, chunk=chunk))
    if not len(whole):
        assert not parts
        return
    assert same(joined(parts), whole)
    assert whole.arrival[-1] < horizon_s * TICKS_PER_S
    assert (np.diff(whole.arrival) >= 0).all()
    assert min(whole.input_tokens.min(), whole.output_tokens.min(), whole.tenant.min()) >= 0
    assert (np.diff(whole.block_start) <= whole.input_tokens // max(1, whole.hash_block_tokens)).all()


@pytest.mark.parametrize("kind", sorted(LOADS))
def test_a_longer_horizon_only_adds(kind):
    load = load_of(kind)
    short, long = (generate(load, 0, rate_of(load), horizon_s, 1, 0) for horizon_s in (150, 400))
    assert len(short)
    assert same(part(long, 0, len(short)), short)


@pytest.mark.parametrize("kind", sorted(set(LOADS) - {"weekly", "mix", "offline", "closed", "trace"}))
def test_the_mean_rate_is_kept(kind):
    """Counts of 40 windows, inside a 99.9% interval of their own spread."""
    load = load_of(kind)
    made = generate(load, 0, 4.0, 8000, 5, 0)
    counts = np.bincount((made.arrival // (200 * TICKS_PER_S)).astype(int), minlength=40)
    assert abs(counts.mean() - 800) < 3.55 * counts.std() / np.sqrt(39)


@pytest.mark.parametrize("kind", sorted(LOADS))
def test_seeds_and_numbers_of_workloads_are_independent(kind):
    load = load_of(kind)
    made = [generate(load, 0, rate_of(load), 400, seed, number) for seed, number in ((1, 0), (1, 1), (2, 0))]
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert not same(made[a], made[b])
    if len(made[0].block_hash):
        assert not set(made[0].block_hash.tolist()) & set(made[1].block_hash.tolist())


def test_pairs_of_a_trace_stay_together():
    made, trace = generate(load_of("pairs"), 0, 4.0, 500, 1, 0), load_trace("azure-2023-code")
    known = set(zip(trace.input_tokens.tolist(), trace.output_tokens.tolist(), strict=True))
    assert set(zip(made.input_tokens.tolist(), made.output_tokens.tolist(), strict=True)) <= known


def test_copies_keep_gaps_lengths_and_sharing():
    """Every whole copy is the trace, rotated: same gaps, same lengths, same sharing within it, none between copies."""
    recorded = load_trace("mooncake-synthetic")
    n = len(recorded)
    trace = replace(recorded, session=np.arange(n))  # so that every request of a copy can be told
    made = joined(list(scaled(trace, 3 * trace.rate_s, trace.span_s, rng_of(8), 500)))
    span, whole = round(trace.span_s * TICKS_PER_S), np.rint(trace.arrival_s * TICKS_PER_S).astype(np.int64)
    owner = np.repeat(made.session // n, np.diff(made.block_start))
    assert np.array_equal(made.block_hash >> np.uint64(32), owner.astype(np.uint64))
    for copy in range(3):
        rows = np.flatnonzero(made.session // n % 3 == copy)
        place = made.session[rows] % n
        assert np.array_equal(place, np.roll(np.arange(n), -place[0]))
        assert np.array_equal(made.input_tokens[rows], trace.input_tokens[place])
        assert np.array_equal(made.output_tokens[rows], trace.output_tokens[place])
        gaps, own = np.diff(made.arrival[rows]), np.diff(whole, append=whole[0] + span)
        assert np.array_equal(gaps, own[place[:-1]])
        ids = made.block_hash[owner % 3 == copy] & np.uint64(2**32 - 1)
        assert np.array_equal(np.unique(ids), np.unique(trace.block_hash))


@settings(derandomize=True, max_examples=25, deadline=None)
@given(factor=st.floats(0.05, 7.0), seed=st.integers(0, 20))
def test_a_scaled_trace_has_its_rate(factor, seed):
    trace = load_trace("azure-2023-code")
    made = joined(list(scaled(trace, factor * trace.rate_s, trace.span_s, rng_of(seed), 4000)))
    share = factor - int(factor)
    assert abs(len(made) - factor * len(trace)) < 4 * np.sqrt(len(trace) * share * (1 - share)) + 1


def test_a_thinned_copy_keeps_whole_sessions():
    load = load_of("sessions")
    recorded = generate(load, 0, 4.0, 2000, 1, 0)
    _, session = np.unique(recorded.session, return_inverse=True)
    trace = load_trace("azure-2023-code")
    n = len(session)
    trace = replace(trace, arrival_s=recorded.arrival / TICKS_PER_S, input_tokens=recorded.input_tokens, output_tokens=recorded.output_tokens,
                    session=session, tenant=np.full(n, -1, np.int32), block_start=np.zeros(n + 1, np.int64))  # fmt: skip
    made = joined(list(scaled(trace, 0.5 * trace.rate_s, trace.span_s, rng_of(3), 1000)))
    turns = np.bincount(session)
    of = made.session % trace.sessions
    assert np.array_equal(np.bincount(of, minlength=len(turns))[np.unique(of)], turns[np.unique(of)])


def plain(arrivals, mark):
    n = len(arrivals)
    return requests(np.array(arrivals, float), np.full(n, mark, np.int32), np.arange(1, n + 1, dtype=np.int32))


@settings(derandomize=True, max_examples=150)
@given(
    streams=st.lists(st.lists(st.integers(0, 12), max_size=15).map(sorted), min_size=1, max_size=4),
    size=st.integers(1, 5),
)
def test_merging_is_stable_by_arrival_stream_and_index(streams, size):
    made = [plain(times, mark) for mark, times in enumerate(streams)]
    chunks = [iter([part(m, i, min(len(m), i + size)) for i in range(0, len(m), size)]) for m in made]
    found = [
        (int(t), int(m), int(i))
        for chunk in merged(chunks)
        for t, m, i in zip(chunk.arrival, chunk.input_tokens, chunk.output_tokens, strict=True)
    ]
    expected = [(t * TICKS_PER_S, m, i) for m, times in enumerate(streams) for i, t in enumerate(times, 1)]
    assert found == sorted(expected)


@settings(derandomize=True, max_examples=60)
@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=8), size=st.integers(1, 7), count=st.integers(1, 30))
def test_regrouping_and_heads(sizes, size, count):
    whole = plain(range(sum(sizes)), 1)
    edges = np.cumsum([0, *sizes])
    chunks = [part(whole, a, b) for a, b in itertools.pairwise(edges)]
    made = list(regrouped(chunks, size))
    assert [len(m) for m in made[:-1]] == [size] * (len(made) - 1)
    assert same(joined(made), whole)
    taken = head(chunks, count)
    assert taken is not None
    assert same(taken, part(whole, 0, min(count, len(whole))))
    assert head([], 3) is None


def test_hashes_of_different_sizes_cannot_be_merged():
    sessions, trace = load_of("sessions"), load_of("trace")
    with pytest.raises(InputError, match="must cover the same number of tokens, not 64 and 512"):
        list(merged([stream(sessions, 0, 4.0, 100, 1, 0), stream(trace, 0, 4.0, 100, 1, 1)]))


def test_rates_and_gaps_beyond_every_run_leave_it_empty():
    """A request in thirty years, and sessions as rare: times beyond 63 bits of ticks are put after the run."""
    for more in ({}, {"sessions": {"turns": 5, "gap": "1 d"}}):
        for rate_s in (1e-9, 1e-300):
            load = Workload(service="a", arrivals={"kind": "poisson", "rate": rate_s}, **more)
            made = generate(load, 0, rate_s, 2 * 31_557_600.0, 1, 0)
            assert len(made) < 10
            assert (np.diff(made.arrival) >= 0).all()
            assert made.arrival.min(initial=0) >= 0


def test_a_trace_is_not_copied_without_end(tmp_path):
    path = tmp_path / "rare.csv"
    path.write_text("arrival_s,input_tokens,output_tokens\n0,5,5\n8000000,5,5\n")
    load = Workload(service="a", trace=str(path))
    with pytest.raises(InputError, match=r"has 1\.25e-07 requests a second, and 2 are asked for: more than 1,000"):
        generate(load, 0, 2.0, 60.0, 1, 0)
    assert len(generate(load, 0, 1e-4, 1e6, 1, 0)) == pytest.approx(100, rel=0.3)
