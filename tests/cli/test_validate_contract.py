"""What `validate --predictions` promises to whoever scores it."""

import csv
import os
import random
import signal
import subprocess
import sys

import pyarrow.parquet as parquet
import pytest

from tokenworks.accuracy import validate
from tokenworks.accuracy.packed import PACKED, _text
from tokenworks.accuracy.rows import Row, Targets, measurement
from tokenworks.cli.main import main

HEADER = (
    "id,status,reason,output_tokens_s_gpu,output_tokens_s_gpu_p10,output_tokens_s_gpu_p90,tpot_ms_mean,tpot_ms_median,"
    "tpot_ms_p10,tpot_ms_p90,ttft_ms_mean,ttft_ms_median,ttft_ms_p10,ttft_ms_p90,joules_per_output_token,joules_p10,joules_p90"
)
INPUTS = tuple(Row.__dataclass_fields__)
HIDDEN = (*Targets.__dataclass_fields__, "split", "block", "notes", "source")
JUNK = (
    "", "0", "-1", "1", "3", "7", "0.5", "1e-300", "1e6", "1e9", "1e30", "1e308", "nan", "inf", "x", "None", "true", " ",
    "\0", "é", "🦀", '"', ";", "1,000", "١٢", "a" * 300, "\n", "=1+1", "2025-99", "mtp", "offline_max", "max_of_random_range",
)  # fmt: skip


@pytest.fixture(scope="module")
def rows():
    every = parquet.read_table(PACKED).to_pylist()
    return [{key: _text(value) for key, value in row.items()} for row in every[::230]]


def write(path, columns, rows):
    with open(path, "w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, columns, extrasaction="ignore", restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


def predict(folder, columns, rows):
    table = write(folder / "table.csv", columns, rows)
    assert main(["validate", str(table), "--quiet", "--processes", "1", "--predictions", str(folder / "p.csv")]) == 0
    return (folder / "p.csv").read_text()


def test_only_inputs_decide_whatever_the_order_and_the_number_of_columns(tmp_path, rows):
    rng = random.Random(1)
    columns = ["id", *INPUTS, *HIDDEN]
    said = predict(tmp_path, columns, rows)
    lines = said.splitlines()
    assert lines[0] == HEADER
    assert [line.split(",")[0] for line in lines[1:]] == [r["id"] for r in rows]
    statuses = {line.split(",")[1] for line in lines[1:]}
    assert statuses <= {"ok", "assumed", "unsupported"}
    assert statuses >= {"ok", "assumed"}
    shuffled = rng.sample(columns, len(columns))
    assert predict(tmp_path, shuffled, rows) == said
    assert predict(tmp_path, [c for c in shuffled if c not in HIDDEN], rows) == said
    other = [{**r, **{c: rng.choice(["", "1", "x", "validation"]) for c in HIDDEN}, "mine": "?"} for r in rows]
    assert predict(tmp_path, [*shuffled, "mine"], other) == said
    renamed = predict(tmp_path, columns, [{**r, "id": f"new {i}"} for i, r in enumerate(rows)])
    after_id = lambda text: [line.partition(",")[2] for line in text.splitlines()[1:]]  # noqa: E731
    assert after_id(renamed) == after_id(said)


def test_no_junk_raises_and_the_fence_is_not_needed(rows, monkeypatch):
    """One to four cells of 500 rows are spoilt. Without the fence, so that what it would hide is seen here."""
    monkeypatch.setattr(validate, "UNFORESEEN", ())
    rng = random.Random(2)
    for _ in range(500):
        spoilt = dict(rng.choice(rows))
        spoilt |= {c: rng.choice([*JUNK, rng.choice(rows)[c]]) for c in rng.sample(INPUTS, rng.choice((1, 1, 2, 4)))}
        answer = validate._measured(measurement(spoilt))
        assert answer.status in ("ok", "assumed", "unsupported")
        assert bool(answer.reason) == (answer.status != "ok")
        assert (answer.rate is None) == (answer.status == "unsupported")
        assert "\n" not in answer.reason


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("isl", "1e30", "isl: 1e+30 is more than can be rehearsed, at most 10,000,000"),
        ("concurrency", "1000000000", "concurrency: 1e+09 is more than can be rehearsed, at most 32,768"),
        ("random_range_ratio", "2", "random_range_ratio: 2 is more than can be rehearsed, at most 1"),
        ("isl", "9000000", "does not fit the KV cache of"),
        ("model", "llama-3.3-71b", 'no model "llama-3.3-71b" in the catalogue. Did you mean llama-3.3-70b'),
        ("gpu", "h2000", 'no accelerator "h2000" in the catalogue'),
        ("tp", "", "parallel degrees are not stated"),
        ("concurrency", "", "the load is not stated"),
        ("isl", "١٢x", "isl: '١٢x' is not a number"),
    ],
)
def test_what_cannot_be_predicted_is_named(column, value, reason, monkeypatch):
    monkeypatch.setattr(validate, "UNFORESEEN", ())
    given = {
        "gpu": "h100-sxm",
        "gpus": "4",
        "model": "llama-3.3-70b",
        "quantization": "fp8",
        "engine": "vllm",
        "tp": "4",
    }
    given |= {"isl": "1000", "osl": "100", "concurrency": "8", "serving": "closed_loop", "spec_decoding": "none"}
    assert validate._measured(measurement(given)).status == "ok"
    answer = validate._measured(measurement({**given, column: value}))
    assert answer.status == "unsupported"
    assert reason in answer.reason


def test_a_batch_that_no_step_table_holds(monkeypatch):
    monkeypatch.setattr(validate, "UNFORESEEN", ())
    given = {"gpu": "b200", "gpus": "8", "model": "llama-3.1-8b", "quantization": "fp8", "engine": "vllm", "tp": "1"}
    given |= {"isl": "30000", "osl": "10", "batch_size": "30000", "serving": "static_batch"}
    assert "is more than a step table holds" in validate._measured(measurement(given)).reason


def test_an_unknown_date_is_no_obstacle(rows):
    row = next(r for r in rows if r["date"] and validate._measured(measurement(r)).status == "ok")
    for date in ("2025-Q3", "March 2026", "aaaaaaaaaaaa", ""):
        assert validate._measured(measurement({**row, "date": date})).status == "ok"


def test_an_unknown_dataset_divides_by_all_gpus():
    """2 prefill and 4 decode workers of one GPU each: a dataset that shows decode GPUs alone prints 6/4 of the rate."""
    from tokenworks import catalog

    decode_only = catalog.load("harnesses", "inferencex").extra["per_decode_gpu"][0]
    given = {
        "gpu": "b200",
        "model": "gpt-oss-120b",
        "quantization": "mxfp4",
        "engine": "tensorrt-llm",
        "disaggregated": "true",
    }
    given |= {
        "prefill_workers": "2",
        "prefill_tp": "1",
        "decode_workers": "4",
        "decode_tp": "1",
        "isl": "1024",
        "osl": "512",
    }
    given |= {"concurrency": "16", "serving": "closed_loop", "length_mode": "fixed"}
    shown = [
        validate._measured(measurement({**given, "dataset": d})).rate[0] for d in ("somebody-s own", "", decode_only)
    ]
    assert shown[0] == shown[1]
    assert shown[2] / shown[0] == pytest.approx(6 / 4, rel=0.15)  # the harnesses also differ in their burst


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "\ufeffid;gpu\n1;h100\n"])
def test_what_is_no_table_is_said(tmp_path, capsys, text):
    path = tmp_path / "t.csv"
    path.write_text(text)
    assert main(["validate", str(path), "--predictions", str(tmp_path / "p.csv")]) == 2
    assert "no column 'id' in the first line" in capsys.readouterr().err
    assert not (tmp_path / "p.csv").exists()


def test_cells_of_any_length_and_headers_with_blanks(tmp_path):
    said = predict(tmp_path, ["id", " gpu ", "model"], [{"id": "a", " gpu ": "g" * 200_000}, {"id": "b"}])
    assert [line.split(",")[:2] for line in said.splitlines()[1:]] == [["a", "unsupported"], ["b", "unsupported"]]
    assert said.splitlines()[2] == "b,unsupported,gpu is not stated" + 14 * ","


def test_the_table_is_not_overwritten(tmp_path, rows, capsys):
    table = write(tmp_path / "t.csv", ["id", *INPUTS], rows)
    before = table.read_bytes()
    assert main(["validate", str(table), "--predictions", str(table)]) == 2
    assert "is the table itself" in capsys.readouterr().err
    assert table.read_bytes() == before


# Ctrl-C in a terminal reaches the whole group: the parent and the workers that it forked.
PRESS = """
import os, signal, sys
from tokenworks.accuracy import validate
from tokenworks.cli.main import main
def pressed(row):
    os.killpg(0, signal.SIGINT)
    signal.pause()
validate.answer = pressed
sys.exit(main(["validate", "--predictions", sys.argv[1]]))
"""


def test_ctrl_c_is_answered_by_one_process(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", PRESS, str(tmp_path / "p.csv")],
        capture_output=True, text=True, timeout=240, start_new_session=True, env={**os.environ},
    )  # fmt: skip
    assert done.returncode in (130, -signal.SIGINT)
    assert done.stderr == "interrupted\n"
    assert list(tmp_path.iterdir()) == []
