"""What a bench writes: text within 80 columns, JSON that `calibrate --with` reads, a CSV that is a trace, a page."""

import json
import re
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from benched import at, benched
from scripted_server import Scripted, steady

from tokenworks.accuracy.bench_formats.bench import Unused
from tokenworks.accuracy.bench_formats.read import read_results
from tokenworks.report.bench_files import bench_csv, bench_json
from tokenworks.report.bench_page import bench_page
from tokenworks.report.bench_text import bench_text
from tokenworks.serve.bench.demand import demand_of
from tokenworks.serve.bench.measures import Objectives
from tokenworks.spec.demand import Workload
from tokenworks.workload.trace_formats import load_trace


async def sometimes_full(server, body, say):
    if len(server.requests) == 25:
        await say((503, {"error": {"message": "full <b>& busy</b>"}}))
    else:
        await steady(server, body, say, tpot_s=0.002 + 0.001 * (len(server.requests) % 3))


@pytest.fixture(scope="module")
def result():
    load = Workload.model_validate(
        {
            "service": "x",
            "arrivals": {"kind": "poisson", "rate": 10},
            "input": {"mean": 200},
            "output": {"kind": "uniform", "low": 2, "high": 40},
        }
    )
    demand = demand_of(load, 10.0, 10.0, seed=3)
    return benched(Scripted(sometimes_full), demand, warmup_s=1.0, objectives=Objectives(ttft_s=0.5, tpot_s=0.0035))


def test_the_text_fits_and_says_what_matters(result):
    text = bench_text(result)
    assert max(map(len, text.splitlines())) <= 80
    assert re.search(r"TTFT +30 ms +30 ms", text)
    f = result.figures
    for said in (
        f"{f.done} of {f.done + 1} requests, 1 failed",
        "1 × HTTP 503: full",
        "counted by the server",
        "goodput",
        "behind its",
        "of the warm-up left out",
    ):
        assert said in re.sub(r"\s+", " ", text), said


def test_calibrate_reads_what_bench_writes(result, tmp_path):
    for name, text in (("profile_export_aiperf.json", bench_json(result)), ("requests.csv", bench_csv(result))):
        (tmp_path / name).write_text(text)
    table, profile = sorted(read_results([str(tmp_path)]), key=lambda s: len(s.runs))
    (run,) = profile.runs
    f = result.figures
    assert (run.clients, run.rate_s, run.requests) == (None, 10.0, f.done)
    assert run.ttft_s_mean == pytest.approx(f.ttft.mean)
    assert run.ttft_s_median == pytest.approx(f.ttft.p(50))
    assert run.tpot_s_mean == pytest.approx(f.tpot.mean)
    assert run.output_tokens_s == pytest.approx(f.output_tokens_s)
    assert run.input_tokens == pytest.approx(f.input_tokens.mean)
    assert run.facts["model"].value == "scripted-7b"
    assert [u.reason for u in table.unused] == ["no table of measurements"]  # what lies beside is named, not an error


def test_a_closed_loop_is_read_as_one(tmp_path):
    load = Workload.model_validate(
        {"service": "x", "arrivals": {"kind": "closed-loop", "clients": 4, "requests": 12}, "output": {"mean": 3}}
    )
    (tmp_path / "a.json").write_text(bench_json(benched(Scripted(), demand_of(load, 0.0, 60.0, 1))))
    (run,) = read_results([str(tmp_path / "a.json")])[0].runs
    assert (run.clients, run.rate_s, run.requests) == (4, None, 12)


def test_a_replayed_trace_teaches_no_calibration_and_says_so(tmp_path):
    demand = replace(at(0.0, 0.1, 5.0), steady=False, said="open loop, some-trace")
    (tmp_path / "a.json").write_text(bench_json(benched(Scripted(), demand)))
    assert read_results([str(tmp_path)])[0].unused == (
        Unused(str(tmp_path / "a.json"), "no steady load: open loop, some-trace"),
    )


def test_the_json_is_aiperfs_and_its_figures_are_those_of_the_requests(result):
    table = json.loads(bench_json(result))
    assert {
        "request_throughput",
        "time_to_first_token",
        "inter_token_latency",
        "request_latency",
        "input_config",
    } <= set(table)
    ttft = [a.ttft_s * 1e3 for a in result.answers if not a.error and a.at_s >= 1.0]
    for share in (1, 50, 99):
        assert table["time_to_first_token"][f"p{share}"] == pytest.approx(np.percentile(ttft, share))
    assert table["error_summary"] == [
        {"error_details": {"type": "HTTP 503", "message": "full <b>& busy</b>"}, "count": 1}
    ]
    assert table["goodput"]["avg"] == pytest.approx(result.figures.good / result.figures.span_s)


def test_the_requests_can_be_played_again(result, tmp_path):
    (tmp_path / "requests.csv").write_text(bench_csv(result))
    trace = load_trace(str(tmp_path / "requests.csv"))
    assert len(trace) == len(result.answers)
    assert trace.arrival_s == pytest.approx([a.at_s - result.answers[0].at_s for a in result.answers], abs=2e-6)
    assert trace.output_tokens.tolist() == [max(1, a.tokens) for a in result.answers]


def test_the_page_is_whole_and_escapes_the_servers_words(result):
    page = bench_page(result)
    assert page.count("<svg") == 6
    assert "<b>& busy" not in page
    assert "&lt;b&gt;&amp; busy" in page
    assert "http://" not in page.replace(result.url, "")  # nothing is loaded from anywhere


def test_one_token_answers_have_no_tpot_and_everything_is_still_written():
    result = benched(Scripted(partial(steady, ttft_s=0.1)), at(0.0, 1.0, outputs=1))
    assert result.figures.tpot.count == 0
    assert json.loads(bench_json(result))["inter_token_latency"]["avg"] is None
    assert re.search(r"TPOT +– +–", bench_text(result))
    assert bench_page(result)
