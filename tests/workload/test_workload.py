"""Traces, arrival processes and scaling against theory and published figures."""

from itertools import islice

import numpy as np
import pytest

from tokenworks.errors import TraceError
from tokenworks.spec.factory import Workload
from tokenworks.workload import arrivals, lengths
from tokenworks.workload.generate import from_trace, generate, merge, rng_of
from tokenworks.workload.trace_formats import load_trace
from tokenworks.workload.trace_names import trace_ids

N = 8 * arrivals.CHUNK


def gaps(process):
    return np.concatenate(list(islice(process, 8)))


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


@pytest.mark.parametrize("cv", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("kind", ["gamma", "weibull"])
def test_renewal_processes_have_their_rate_and_variation(kind, cv):
    drawn = gaps(getattr(arrivals, kind)(10.0, cv, rng_of(1)))
    assert abs(drawn.mean() - 0.1) < 2.576 * 0.1 * cv / np.sqrt(N)
    assert drawn.std() / drawn.mean() == pytest.approx(cv, rel=0.02)


def test_poisson_gaps():
    drawn = gaps(arrivals.poisson(10.0, rng_of(2)))
    assert abs(drawn.mean() - 0.1) < 2.576 * 0.1 / np.sqrt(N)
    assert (drawn > 0.1).mean() == pytest.approx(np.exp(-1), abs=0.003)


def test_mmpp_keeps_the_mean_and_bursts():
    drawn = np.concatenate(list(islice(arrivals.mmpp(50.0, 3.0, 2.0, rng_of(3)), 4)))
    assert 1 / drawn.mean() == pytest.approx(50.0, rel=0.05)
    assert drawn.std() / drawn.mean() > 1.05


def test_diurnal_peaks_at_three_in_the_afternoon():
    times = np.cumsum(np.concatenate(list(islice(arrivals.diurnal(5.0, 1.8, rng_of(4)), 8))))
    whole = times[times < 86_400]
    hours = np.bincount((whole // 3600).astype(int), minlength=24)
    assert 13 <= int(hours.argmax()) <= 16
    assert len(whole) / 86_400 == pytest.approx(5.0, rel=0.03)


def test_lengths():
    rng = rng_of(5)
    drawn = lengths.uniform(80, 100, 50_000, rng)
    assert (drawn.min(), drawn.max()) == (80, 100)
    assert drawn.mean() == pytest.approx(90, abs=0.1)
    assert lengths.lognormal(1000, 0.8, 200_000, rng).mean() == pytest.approx(1000, rel=0.02)


def test_scaling_keeps_structure():
    """Twelve-fold: rate exact on average, shape of the hour kept by no copy alone, reuse within copies alone."""
    trace = load_trace("mooncake-conversation")
    made = from_trace(trace, 3.5 * trace.rate_s, 3500, rng_of(6))
    assert len(made) / 3500 == pytest.approx(3.5 * trace.rate_s, rel=0.02)
    owners = made.block_hash >> np.uint64(40)
    assert set(owners.tolist()) == {0, 1, 2, 3}
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


BAD = [
    ("arrival_s,input_tokens,output_tokens\n0,10,5\n1,-3,5\n", "t.csv:3: input_tokens is -3; it must be a finite number of at least 1"),
    ("arrival_s,input_tokens,output_tokens\n0,nan,5\n", "t.csv:2: input_tokens is nan"),
    ("arrival_s,input_tokens,output_tokens\n0,x,5\n", "t.csv:2: input_tokens is 'x', not a number"),
    ("arrival_s,input_tokens,output_tokens\n", "the trace holds no requests"),
    ("arrival_s,input_token,output_tokens\n0,1,2\n", "no column 'input_tokens' among arrival_s, input_token, output_tokens. Did you mean 'input_token'?"),
    ("TIMESTAMP,ContextTokens,GeneratedTokens\nxx:yy,1,2\n", "t.csv:2: TIMESTAMP is 'xx:yy', neither a number nor a date and time"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), BAD, ids=range(len(BAD)))
def test_bad_traces_name_their_line(text, message, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(TraceError) as caught:
        load_trace(str(path))
    assert message in str(caught.value)


def test_public_formats(tmp_path):
    azure, mooncake = tmp_path / "a.csv", tmp_path / "m.jsonl"
    azure.write_text(
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,374,44\n2023-11-16 18:15:50.9951690,396,109\n"
    )
    mooncake.write_text(
        '{"timestamp": 0, "input_length": 1030, "output_length": 5, "hash_ids": [3, 9]}\n{"timestamp": 1500, "input_length": 512, "output_length": 1, "hash_ids": [3]}\n'
    )
    trace = load_trace(str(azure))
    assert trace.input_tokens.tolist() == [374, 396]
    assert trace.arrival_s[1] == pytest.approx(4.314579)
    trace = load_trace(str(mooncake))
    assert trace.arrival_s.tolist() == [0.0, 1.5]
    assert trace.block_hash.tolist() == [3, 9, 3]
    mooncake.write_text('{"timestamp": 0, "input_length": 10, "output_length": 5}\n{oops\n')
    with pytest.raises(TraceError, match=r"m\.jsonl:2: not valid JSON"):
        load_trace(str(mooncake))
    with pytest.raises(TraceError, match="Did you mean azure-2023-code"):
        load_trace("azure-2023-cod")


def test_parquet_is_read_like_csv(tmp_path):
    import pyarrow as pa
    from pyarrow import parquet

    columns = {"arrival_s": [0.5, 0.0, 2.0], "input_tokens": [10, 20, 30], "output_tokens": [1, 2, 3]}
    path, text = tmp_path / "t.parquet", tmp_path / "t.csv"
    parquet.write_table(pa.table(columns), path)
    text.write_text(
        "\n".join([",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True))])
    )
    a, b = load_trace(str(path)), load_trace(str(text))
    assert np.array_equal(a.arrival_s, b.arrival_s)
    assert np.array_equal(a.input_tokens, b.input_tokens)
    assert list(a.input_tokens) == [20, 10, 30]
    parquet.write_table(pa.table({**columns, "input_tokens": [10, None, 30]}), path)
    with pytest.raises(TraceError, match=r"t\.parquet:2: input_tokens is None"):
        load_trace(str(path))
    path.write_bytes(b"PAR1 nonsense")
    with pytest.raises(TraceError, match="not a Parquet file"):
        load_trace(str(path))
    parquet.write_table(pa.table({"arrival": [1.0]}), path)
    with pytest.raises(TraceError, match=r"no column 'arrival_s' among arrival\. Did you mean 'arrival'"):
        load_trace(str(path))


def test_burstgpt_columns(tmp_path):
    path = tmp_path / "burst.csv"
    path.write_text(
        "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n5,GPT-4,472,18,490,Conversation log\n45,ChatGPT,1087,230,1317,API log\n"
    )
    found = load_trace(str(path))
    assert (list(found.arrival_s), list(found.input_tokens), list(found.output_tokens)) == (
        [0.0, 40.0],
        [472, 1087],
        [18, 230],
    )
