"""Trace files: public formats, optional columns, and every message with its line."""

import csv

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenworks.errors import SpecError, TraceError
from tokenworks.spec.demand import Workload
from tokenworks.workload.generate import generate
from tokenworks.workload.trace import trace_of
from tokenworks.workload.trace_formats import load_trace
from tokenworks.workload.trace_rows import Rows, match
from tokenworks.workload.trace_table import read_table

HEAD = "arrival_s,input_tokens,output_tokens\n"
HASHED = "arrival_s,input_tokens,output_tokens,hash_ids\n"
BAD = [
    (f"{HEAD}0,10,5\n1,-3,5\n", "t.csv:3: input_tokens is -3; it must be a finite number of at least 1"),
    (f"{HEAD}0,nan,5\n", "t.csv:2: input_tokens is nan"),
    (f"{HEAD}0,inf,5\n", "t.csv:2: input_tokens is inf"),
    (f"{HEAD}0,x,5\n", "t.csv:2: input_tokens is 'x', not a number"),
    (f"{HEAD}0,1.5,5\n", "t.csv:2: input_tokens is 1.5; it must be a whole number of at most 100,000,000 tokens"),
    (f"{HEAD}0,1e12,5\n", "t.csv:2: input_tokens is 1e12; it must be a whole number"),
    (f"{HEAD}-1,1,5\n", "t.csv:2: arrival_s is -1"),
    (f"{HEAD}1,1\n", "t.csv:2: output_tokens is None, not a number"),
    (HEAD, "the trace holds no requests"),
    ("", "no column 'arrival_s' among no columns"),
    ("arrival_s,input_token,output_tokens\n0,1,2\n", "t.csv:1: no column 'input_tokens' among arrival_s, input_token, output_tokens. Did you mean 'input_token'?"),
    ("a,input_token,output_token\n0,1,2\n", "t.csv:1: no column 'output_tokens' among a, input_token, output_token. Did you mean 'output_token'?"),
    ("TIMESTAMP,ContextTokens,GeneratedTokens\nxx:yy,1,2\n", "t.csv:2: TIMESTAMP is 'xx:yy', neither a number nor a date and time"),
    (f"{HEAD}0,1,1\n1,-1,1\n2,x,1\n", "t.csv:4: input_tokens is 'x', not a number"),
    (f"{HEAD}" + "0,-1,1\n" * 9, "t.csv:6: input_tokens is -1; it must be a finite number of at least 1\nthe first 5 errors; there may be more"),
    ("arrival_s,input_tokens,output_tokens,hash_ids,block_size\n0,99,1,1 2,16\n1,99,1,3,32\n", "hashes of one trace must cover the same number of tokens"),
    ("\0\1\2garbage\n", "no column 'arrival_s'"),
    ("arrival_s;input_tokens;output_tokens\n0;5;5\n", "t.csv:1: columns are separated by ';': write commas between them"),
    (f"{HEAD}0,5,5\n1e30,5,5\n", "t.csv:3: arrival_s is 1e30; in seconds that is no time"),
    (f"{HEAD}0,5,5\n3,5,5\n1e9,5,5\n", "t.csv:4: arrival_s is 1e9, 11,574 days from other rows; a trace lasts 250 at most"),
    (f"{HEAD}0,5,5\n2e7,5,5\n", "t.csv: 2 requests in 463 days are too few for a trace"),
    (f"{HEAD}2020-01-01 00:00:00,5,5\n2120-01-01 00:00:00,5,5\n", "t.csv:3: arrival_s is 2120-01-01 00:00:00, 36,524 days"),
    (f"{HEAD}0,2147483648,5\n", "t.csv:2: input_tokens is 2147483648; it must be a whole number of at most 100,000,000"),
    (f"{HEAD}0,18446744073709551617,5\n", "t.csv:2: input_tokens is 18446744073709551617; it must be"),
    (f"{HEAD}0,5,5,{'x' * 10_000_001}\n", "t.csv:2: not a CSV file: field larger than field limit"),
    (f"{HASHED}0,99,1,12 xyz\n", "t.csv:2: hash_ids[1] is 'xyz'; a hash is a whole number from 0 to 2^64 − 1"),
    (f"{HASHED}0,99,1,[1 2 -3]\n", "t.csv:2: hash_ids[2] is '-3'; a hash is"),
    (f"{HASHED}0,99,1,18446744073709551616\n", "t.csv:2: hash_ids[0] is '18446744073709551616'; a hash is"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), BAD, ids=range(len(BAD)))
def test_bad_traces_name_their_lines(text, message, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(TraceError) as caught:
        load_trace(str(path))
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 6


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        *((f'"hash_ids": {given}', f"hash_ids[0] is '{shown}'; a hash is a whole number") for given, shown in (
            ("[null]", "None"), ("[-1]", "-1"), (f"[{2**64}]", str(2**64)), ("[1.5]", "1.5"), ("[[1]]", "[1]"),
            ("[true]", "True"), ("[Infinity]", "inf"), ("[NaN]", "nan"), ('"hello"', "hello"),
        )),
        ('"hash_ids": 7', "hash_ids is 7, not a list"),
        ('"timestamp": 1e30', "timestamp is 1e+30; in milliseconds that is no time"),
        ('"timestamp": ' + "9" * 5000, "not valid JSON: a number of too many digits"),
        ('"x": ' + "[" * 100_000, "not valid JSON: nested too deep"),
    ],
    ids=range(13),
)  # fmt: skip
def test_bad_lines_of_json_are_named(fields, message, tmp_path):
    path = tmp_path / "t.jsonl"
    good = (
        '{"timestamp": 0, "input_length": 2000, "output_length": 5, "hash_ids": ["0xff", 18446744073709551615, 3.0]}\n'
    )
    path.write_text(good + good.rstrip("}\n") + f", {fields}}}\n")
    with pytest.raises(TraceError) as caught:
        load_trace(str(path))
    assert str(caught.value).startswith(f"{path}:2: {message}")
    path.write_text(good)
    assert load_trace(str(path)).block_hash.tolist() == [0, 1, 2]


def test_hashes_of_a_long_prompt_are_read(tmp_path):
    path, limit = tmp_path / "t.csv", csv.field_size_limit()
    path.write_text(f"{HASHED}0,{40_000 * 512},5,{' '.join(map(str, range(40_000)))}\n")
    assert path.stat().st_size > 131_072
    assert len(load_trace(str(path)).block_hash) == 40_000
    assert csv.field_size_limit() == limit


@settings(derandomize=True, max_examples=60, deadline=None)
@given(body=st.binary(max_size=80), suffix=st.sampled_from(["csv", "jsonl", "parquet"]))
def test_any_file_is_a_trace_or_a_trace_error(body, suffix, tmp_path_factory):
    path = tmp_path_factory.mktemp("any") / f"t.{suffix}"
    path.write_bytes(HEAD.encode() + body if suffix == "csv" else body)
    try:
        assert len(load_trace(str(path)))
    except TraceError as error:
        assert str(path) in str(error)


def test_azure_of_both_years(tmp_path):
    path = tmp_path / "a.csv"
    for stamps in (
        ("2023-11-16 18:15:46.6805900", "2023-11-16 18:15:50.9951690"),
        ("2024-05-10 00:00:00.009930+00:00", "2024-05-10 00:00:04.324509+00:00"),
        ("2024-05-10 00:00:00+00:00", "2024-05-10 02:00:04.314579+02:00"),
    ):
        path.write_text(
            "TIMESTAMP,ContextTokens,GeneratedTokens\n" + "".join(f"{s},{n},{n}\n" for n, s in enumerate(stamps, 7))
        )
        trace = load_trace(str(path))
        assert trace.input_tokens.tolist() == [7, 8]
        assert trace.arrival_s.tolist() == [0.0, pytest.approx(4.314579)]


def test_mooncake(tmp_path):
    path = tmp_path / "m.jsonl"
    path.write_text(
        '{"timestamp": 0, "input_length": 1030, "output_length": 5, "hash_ids": [3, 9, 77]}\n\n'
        '{"timestamp": 1500, "input_length": 512, "output_length": 1, "hash_ids": [3], "session_id": "x"}\n'
    )
    trace = load_trace(str(path))
    assert trace.arrival_s.tolist() == [0.0, 1.5]
    assert trace.block_hash.tolist() == [0, 1, 0]  # the third block of the first prompt is not full
    assert (trace.session.tolist(), trace.hash_block_tokens) == ([-1, 0], 512)
    path.write_text('{"timestamp": 0, "input_length": 10, "output_length": 5}\n{oops\n[1]\n{"timestamp": 1}\n')
    with pytest.raises(TraceError) as caught:
        load_trace(str(path))
    lines = str(caught.value).splitlines()
    assert "m.jsonl:2: not valid JSON" in lines[0]
    assert "m.jsonl:3: a line must be a JSON object" in lines[1]
    assert "m.jsonl:4: input_length is None" in lines[2]


def test_burstgpt_without_its_failures(tmp_path):
    path = tmp_path / "b.csv"
    path.write_text(
        "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
        "5,1,3.2,GPT-4,472,18,490,Conversation log\n45,,1,ChatGPT,1087,230,1317,API log\n"
        "50,1,0,GPT-4,30,0,30,Conversation log\n62,7,2,GPT-4,31,4,35,Conversation log\n"
    )
    trace = load_trace(str(path))
    assert trace.arrival_s.tolist() == [0.0, 40.0, 57.0]
    assert trace.input_tokens.tolist() == [472, 1087, 31]
    assert trace.session.tolist() == [0, -1, 1]
    assert trace.left_out == 1
    path.write_text(
        "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n5,GPT-4,472,18,490,x\n45,y,1087,230,1317,x\n"
    )
    assert load_trace(str(path)).output_tokens.tolist() == [18, 230]


PLAIN = {
    "arrival_s": [2.0, 0.0, 1.0],
    "input_tokens": [40, 33, 100],
    "output_tokens": [3, 1, 0],
    "session": ["b", "a", None],
    "tenant": ["acme", "zeta", "acme"],
    "hash_ids": [[8, 9], [7, 6], [8]],
    "block_size": [16, 16, 16],
}


def test_optional_columns_in_csv_and_parquet(tmp_path):
    import pyarrow as pa
    from pyarrow import parquet

    path, text = tmp_path / "t.parquet", tmp_path / "t.csv"
    parquet.write_table(pa.table(PLAIN), path)
    rows = zip(*PLAIN.values(), strict=True)
    cell = lambda v: " ".join(map(str, v)) if isinstance(v, list) else "" if v is None else str(v)  # noqa: E731
    text.write_text("\n".join([",".join(PLAIN), *(",".join(map(cell, row)) for row in rows)]))
    for trace in (load_trace(str(path)), load_trace(str(text))):
        assert trace.arrival_s.tolist() == [0.0, 1.0, 2.0]
        assert trace.input_tokens.tolist() == [33, 100, 40]
        assert trace.output_tokens.tolist() == [1, 1, 3]
        assert (trace.session.tolist(), trace.tenant.tolist()) == ([1, -1, 0], [1, 0, 0])
        assert (trace.block_start.tolist(), trace.hash_block_tokens) == ([0, 2, 3, 5], 16)
        assert trace.block_hash[2] == trace.block_hash[3]
        assert len(set(trace.block_hash.tolist())) == 4
    load = Workload(service="a", trace=str(text), scale="2x")
    made = generate(load, 0, 2 * trace.rate_s, 3.0, 1, 0)
    assert set(made.tenant.tolist()) == {0, 1}
    assert len(np.unique(made.session[made.session >= 0])) >= 4


@settings(derandomize=True, max_examples=60, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from(
                ["0", "1.5", " 2", "-1", "nan", "7e2", "2024-05-10 00:00:01", "2024-05-10 00:00:01.25+00:00", ""]
            ),
            st.sampled_from(["5", "5.0", "0", "-2", "1_0", "x", "1e3"]),
            st.sampled_from(["0", "7", ""]),
            st.sampled_from(["", "a", " a", "-1", "3"]),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_reading_by_columns_is_reading_by_rows(rows, tmp_path_factory):
    path = tmp_path_factory.mktemp("both") / "t.csv"
    path.write_text(f"{HEAD.strip()},user\n" + "".join(",".join(row) + "\n" for row in rows))
    names = match(path, [*HEAD.strip().split(","), "user"])
    found = read_table(path, names)
    if found is None:
        return
    slow = Rows(path, names).read(
        (n, dict(zip([*HEAD.strip().split(","), "user"], row, strict=True))) for n, row in enumerate(rows, 2)
    )
    a, b = trace_of("t", found, ""), trace_of("t", slow, "")
    for name in ("input_tokens", "output_tokens", "tenant", "session", "block_start"):
        assert np.array_equal(getattr(a, name), getattr(b, name))
    assert np.allclose(a.arrival_s, b.arrival_s, atol=1e-6)


def test_right_files_are_read_by_columns(tmp_path):
    path = tmp_path / "a.csv"
    for text in (
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,374,44\n",
        f"{HEAD}0.5,1,2\n",
        f"{HEAD.strip()},user\n0,1,2,b\n",
    ):
        path.write_text(text)
        assert read_table(path, match(path, text.split("\n")[0].split(","))) is not None


def test_a_changed_file_is_read_again(tmp_path):
    path = tmp_path / "a.csv"
    for tokens in (7, 88):
        path.write_text(f"{HEAD}0,{tokens},2\n")
        assert load_trace(str(path)).input_tokens.tolist() == [tokens]


def test_parquet_messages(tmp_path):
    import pyarrow as pa
    from pyarrow import parquet

    path = tmp_path / "t.parquet"
    parquet.write_table(pa.table({**PLAIN, "input_tokens": [10, None, -30]}), path)
    with pytest.raises(TraceError, match=r"(?s)t\.parquet:2: input_tokens is None.*t\.parquet:3: input_tokens is -30"):
        load_trace(str(path))
    path.write_bytes(b"PAR1 nonsense")
    with pytest.raises(TraceError, match="not a Parquet file"):
        load_trace(str(path))
    parquet.write_table(pa.table({"arrival": [1.0]}), path)
    with pytest.raises(TraceError, match=r"no column 'arrival_s' among arrival\. Did you mean 'arrival'"):
        load_trace(str(path))


def test_every_unknown_trace_of_a_factory_is_said_with_its_place(tmp_path):
    from tokenworks.api import load

    path = tmp_path / "f.yaml"
    path.write_text("""factory: f
systems: [{id: box, system: hgx-h200}]
services: [{name: a, model: llama-3.1-8b, workers: 1}]
workload:
  - {service: a, trace: azure-2023}
  - {service: a, mix: servegen-m}
  - {service: a, arrivals: {kind: poisson, rate: 1}, input: {kind: empirical, trace: none.csv}}
""")
    with pytest.raises(SpecError) as caught:
        load(path)
    lines = str(caught.value).splitlines()
    assert "f.yaml:5:25  workload[0].trace: no trace or file 'azure-2023'. Did you mean azure-2023-code" in lines[0]
    assert (
        "f.yaml:6:23  workload[1].mix: no client mix or folder 'servegen-m'. Did you mean servegen-m-large" in lines[1]
    )
    assert "f.yaml:7:86  workload[2].input.trace: no trace or file 'none.csv'" in lines[2]


def test_names_that_do_not_exist():
    with pytest.raises(TraceError, match="Did you mean azure-2023-code"):
        load_trace("azure-2023-cod")
    with pytest.raises(TraceError, match="Client mixes stand under mix"):
        load_trace("servegen-m-large")
