"""Results of benchmark clients: hand-made files of each format, and what is wrong with a file."""

import json
import shutil
from pathlib import Path

import pytest

from tokenworks.accuracy.bench_formats.bench import Bench
from tokenworks.accuracy.bench_formats.read import read_results
from tokenworks.errors import InputError

FOLDER = Path(__file__).parent / "site_results"


def runs_of(name):
    return read_results([str(FOLDER / name)])[0].runs


def changed(tmp_path, name, **changes):
    """A copy of a hand-made file with some keys changed (None: taken out)."""
    table = json.loads((FOLDER / name).read_text())
    table = {key: value for key, value in {**table, **changes}.items() if value is not None}
    path = tmp_path / name
    path.write_text(json.dumps(table))
    return str(path)


def test_vllm():
    (run,) = runs_of("vllm.json")
    assert (run.kind, run.date, run.clients, run.rate_s, run.requests) == (
        "vLLM bench serve",
        "2026-10-17",
        8,
        None,
        80,
    )
    assert (run.input_tokens, run.output_tokens, run.lowest_share) == (1000.0, 200.0, None)
    assert (run.output_tokens_s, run.tpot_s_mean, run.ttft_s_median) == (952.4, 0.0079, 0.07)
    assert run.facts["model"].value == "meta-llama/Llama-3.1-8B-Instruct"


def test_sglang_states_its_range_of_lengths_its_degrees_and_a_rate():
    closed, opened = runs_of("sglang.jsonl")
    assert (closed.clients, closed.rate_s, closed.requests) == (16, None, 160)
    assert (closed.input_tokens, closed.output_tokens, closed.lowest_share) == (1024.0, 256.0, 0.5)
    assert (opened.clients, opened.rate_s) == (None, 2.0)
    assert {name: stated.value for name, stated in closed.facts.items()} == {
        "model": "meta-llama/Llama-3.1-8B-Instruct", "tp": 1, "engine": "sglang", "engine_version": "0.5.3.post1",
    }  # fmt: skip
    assert opened.place.endswith("sglang.jsonl:2")


def test_aiperf_counts_failures_and_reads_units():
    (run,) = runs_of("profile_export_aiperf.json")
    assert (run.clients, run.requests, run.date) == (8, 80, "2026-10-17")
    assert (run.tpot_s_mean, run.ttft_s_mean, run.output_tokens_s) == pytest.approx((0.00795, 0.115, 940.0))


def test_genai_perf_in_nanoseconds():
    (run,) = runs_of("profile_export_genai_perf.json")
    assert (run.clients, run.requests) == (1, None)
    assert (run.tpot_s_mean, run.tpot_s_median) == pytest.approx((0.0072, 0.00719))


def test_inferencex_rows_are_per_gpu_and_in_seconds():
    light, heavy = runs_of("agg_inferencex.json")
    assert (light.clients, heavy.clients, heavy.requests) == (4, 64, 640)
    assert (heavy.output_tokens_s, heavy.output_tokens_s_gpu, heavy.tpot_s_mean) == (None, 5600.0, 0.011)
    stated = {name: fact.value for name, fact in heavy.facts.items()}
    assert stated | {"model": ""} == {
        "accelerator": "h100", "engine": "vllm", "engine_version": "0.11.0", "model": "", "weights": "bf16", "tp": 1, "dp": 1, "ep": 1,
    }  # fmt: skip


def test_csv():
    (source,) = read_results([str(FOLDER / "mine.csv")])
    assert [row.row.concurrency for row in source.rows] == [8, 64]


def test_a_folder_is_read_in_order_and_strangers_in_it_are_named(tmp_path):
    shutil.copytree(FOLDER, tmp_path / "r")
    (tmp_path / "r" / "inputs.json").write_text('{"data": []}')
    sources = read_results([str(tmp_path / "r")])
    assert [Path(s.path).name for s in sources] == sorted(p.name for p in (tmp_path / "r").iterdir())
    assert [Path(u.place).name for s in sources for u in s.unused] == ["inputs.json"]
    assert len(sources[0].sha256) == 64


def test_the_same_file_counts_once(tmp_path):
    assert len(read_results([str(FOLDER / "vllm.json"), str(FOLDER / "vllm.json")])) == 1


UNUSED = {
    "requests failed": ("vllm.json", {"completed": 40}, "only 40 of 80 requests were done"),
    "nothing was done": ("vllm.json", {"completed": 0}, "no request was completed"),
    "ramp": ("vllm.json", {"ramp_up_strategy": "linear"}, "its rate ramps up"),
    "cancelled": ("profile_export_aiperf.json", {"was_cancelled": True}, "cancelled"),
    "prefix": (
        "profile_export_aiperf.json",
        {"input_config": {"input": {"prompt": {"prefix_prompt": {"length": 128}}}, "loadgen": {"concurrency": 8}}},
        "prefix_prompt.length",
    ),
}


@pytest.mark.parametrize("case", UNUSED)
def test_runs_that_measured_something_else_are_left_out_and_named(tmp_path, case):
    name, changes, reason = UNUSED[case]
    (source,) = read_results([changed(tmp_path, name, **changes)])
    assert source.runs == ()
    assert reason in source.unused[0].reason


WRONG = {
    "text": ("vllm.json", {"output_throughput": "fast"}, "output_throughput is 'fast'"),
    "negative": ("vllm.json", {"mean_tpot_ms": -1}, "mean_tpot_ms is -1"),
    "half a request": ("vllm.json", {"completed": 1.5}, "completed is 1.5"),
    "no length": ("vllm.json", {"total_input_tokens": None}, "no total_input_tokens"),
    "trace": ("vllm.json", {"request_rate": "trace"}, 'request_rate is "trace"'),
    "unit": (
        "profile_export_aiperf.json",
        {"time_to_first_token": {"unit": "weeks", "avg": 1}},
        "time_to_first_token.unit is 'weeks'",
    ),
    "two loads": (
        "profile_export_aiperf.json",
        {"input_config": {"a": {"concurrency": 8}, "b": {"concurrency": 16}}},
        "input_config.concurrency is 8, 16",
    ),
    "no load": ("profile_export_aiperf.json", {"input_config": {}}, "names neither concurrency nor request_rate"),
}


@pytest.mark.parametrize("case", WRONG)
def test_errors_name_file_and_key(tmp_path, case):
    name, changes, said = WRONG[case]
    path = changed(tmp_path, name, **changes)
    with pytest.raises(InputError) as caught:
        read_results([path])
    assert said in str(caught.value)
    assert name in str(caught.value)


def test_files_that_are_no_results(tmp_path):
    (tmp_path / "a.json").write_text('{"x": 1}')
    (tmp_path / "b.json").write_text("{")
    (tmp_path / "c.json").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "d").mkdir()
    for name, said in (
        ("a.json", "known are"),
        ("b.json", "not JSON"),
        ("c.json", "not text"),
        ("d", "no .json"),
        ("e", "no such file"),
    ):
        with pytest.raises(InputError, match=said):
            read_results([str(tmp_path / name)])


def test_warm_up_phases_do_not_count():
    from tokenworks.accuracy.bench_formats.aiperf import read_aiperf

    table = json.loads((FOLDER / "profile_export_aiperf.json").read_text())
    phases = [{"name": "warmup", "concurrency": 2}, {"name": "profiling", "concurrency": 32, "prefill_concurrency": 4}]
    run = read_aiperf("f", {**table, "input_config": {"phases": phases}})
    assert isinstance(run, Bench)
    assert run.clients == 32
