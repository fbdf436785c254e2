"""What engines say of themselves as measurements: their own names read right, unfit windows named, and a worker that is not what
the plan says found out, by its metrics page alone."""

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hand_clock import worker_by_hand

from tokenworks.accuracy.bench_formats.bench import Bench, Unused
from tokenworks.accuracy.bench_formats.read import read_results
from tokenworks.accuracy.bench_formats.window import read_window
from tokenworks.api import load
from tokenworks.cli.main import main
from tokenworks.errors import InputError
from tokenworks.physics.worker_model import TICKS_PER_S
from tokenworks.rehearsal.plant import plant
from tokenworks.serve.emulate.loaded import loaded_of
from tokenworks.serve.emulate.page import page_of
from tokenworks.serve.telemetry.samples import samples
from tokenworks.serve.watch import watch as watching
from tokenworks.serve.watch.page import page_at, page_url
from tokenworks.serve.watch.watch import Schedule, watch
from tokenworks.serve.watch.window import Look, window_of

VLLM = """\
vllm:num_requests_running{{engine="0",model_name="meta-llama/Llama-3.1-8B-Instruct"}} {running}
vllm:num_requests_running{{engine="1",model_name="meta-llama/Llama-3.1-8B-Instruct"}} 1
vllm:num_requests_waiting{{engine="0"}} {waiting}
vllm:prompt_tokens_total{{engine="0"}} {read}
vllm:prefix_cache_hits_total{{engine="0"}} {cached}
vllm:generation_tokens_total{{engine="0"}} {made}
vllm:time_to_first_token_seconds_sum{{engine="0"}} {ttft}
vllm:time_to_first_token_seconds_count{{engine="0"}} {first}
vllm:inter_token_latency_seconds_sum 999
vllm:inter_token_latency_seconds_count {made}
vllm:request_time_per_output_token_seconds_sum{{engine="0"}} {tpot}
vllm:request_time_per_output_token_seconds_count{{engine="0"}} {done}
vllm:e2e_request_latency_seconds_count{{engine="0"}} {done}
DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{{gpu="0"}} {mj}
DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{{gpu="1"}} {mj}
"""
SGLANG = """\
sglang:num_running_reqs{{model_name="m"}} {running}
sglang:num_queue_reqs{{model_name="m"}} {waiting}
sglang:prompt_tokens_total{{model_name="m"}} {read}
sglang:cached_tokens_total{{model_name="m",cache_source="device"}} {cached}
sglang:generation_tokens_total{{model_name="m"}} {made}
sglang:time_to_first_token_seconds_sum{{model_name="m"}} {ttft}
sglang:time_to_first_token_seconds_count{{model_name="m"}} {first}
sglang:inter_token_latency_seconds_sum{{model_name="m"}} {tpot}
sglang:inter_token_latency_seconds_count{{model_name="m"}} {done}
sglang:e2e_request_latency_seconds_count{{model_name="m"}} {done}
"""
TRTLLM = SGLANG.replace("sglang:num_running_reqs", "trtllm_num_requests_running").replace(
    "sglang:num_queue_reqs", "trtllm_num_requests_waiting"
).replace("sglang:cached_tokens_total", "trtllm_prompt_cached_tokens_total").replace(
    "sglang:inter_token_latency", "trtllm_time_per_output_token"
).replace("sglang:", "trtllm_")  # fmt: skip
BEFORE = {"running": 3, "waiting": 0, "read": 1000, "cached": 10, "made": 500, "ttft": 1, "first": 10, "tpot": 0.1,
          "done": 8, "mj": 5_000_000}  # fmt: skip
AFTER = {"running": 5, "waiting": 2, "read": 41_000, "cached": 110, "made": 8500, "ttft": 5, "first": 50, "tpot": 0.5,
         "done": 48, "mj": 8_000_000}  # fmt: skip


def looks(text, *states):
    return [Look(100.0 + 20 * number, samples(text.format(**state))) for number, state in enumerate(states)]


@pytest.mark.parametrize(
    ("text", "engine", "ranks"), [(VLLM, "vllm", 2), (SGLANG, "sglang", 1), (TRTLLM, "tensorrt-llm", 1)]
)
def test_each_engine_by_its_own_names(text, engine, ranks):
    found = window_of("u", "2026-11-27T10:00:00+00:00", looks(text, BEFORE, AFTER))
    idle = ranks - 1  # the other rank of the hand-made page always works on one
    assert (found.engine, found.seconds, found.looks, found.idle_looks) == (engine, 20.0, 2, 0)
    assert (found.running, found.waiting) == (4.0 + idle, 1.0)
    assert (found.in_flight_first_half, found.in_flight_second_half) == (3.0 + idle, 7.0 + idle)
    assert (found.requests, found.first_tokens, found.output_tokens) == (40, 40, 8000)
    assert (found.input_tokens, found.cached_tokens) == (40_000, 100)
    assert (found.ttft_s_mean, found.tpot_s_mean) == pytest.approx((0.1, 0.01))
    assert (found.joules, found.gpus) == ((6000.0, 2) if engine == "vllm" else (None, 0))
    assert found.model == ("meta-llama/Llama-3.1-8B-Instruct" if engine == "vllm" else "m")


def test_an_engine_that_began_anew_gives_no_window():
    assert window_of("u", "", looks(VLLM, AFTER, BEFORE)) is None


def test_a_page_of_nobody():
    with pytest.raises(InputError, match="not with the metrics page of vLLM"):
        window_of("u", "", looks("up 1\n", {}, {}))


WINDOW = {
    "format": "tokenworks engine window 1", "url": "u", "engine": "vllm", "model": "meta-llama/Llama-3.1-8B-Instruct",
    "date": "2026-11-27T10:00:00+00:00", "seconds": 60.0, "running": 8.0, "waiting": 0.0, "in_flight_first_half": 9.0,
    "in_flight_second_half": 7.0, "idle_looks": 0, "looks": 61, "requests": 120, "first_tokens": 125, "input_tokens": 125_000,
    "cached_tokens": 0, "output_tokens": 24_000, "ttft_s_mean": 0.05, "tpot_s_mean": 0.01, "joules": 36_000.0, "gpus": 1,
}  # fmt: skip


def test_an_engine_with_room_is_rehearsed_at_its_rate():
    run = read_window("here", WINDOW)
    assert isinstance(run, Bench)
    assert (run.clients, run.rate_s, run.requests, run.output_tokens_s) == (None, 2.0, 160, None)
    assert (run.input_tokens, run.output_tokens) == (1000.0, 200.0)
    assert (run.tpot_s_mean, run.ttft_s_mean, run.joules_per_output_token, run.boards) == (0.01, 0.05, 1.5, 1)
    assert (run.facts["engine"].value, run.date) == ("vllm", "2026-11-27")


def test_a_full_engine_is_rehearsed_with_its_requests():
    run = read_window(
        "here", WINDOW | {"running": 64.0, "waiting": 6.4, "in_flight_first_half": 70.0, "in_flight_second_half": 71.0}
    )
    assert (run.clients, run.rate_s, run.output_tokens_s) == (70, None, 400.0)


def test_joules_of_a_board_that_sometimes_idled_are_not_those_of_its_tokens():
    assert read_window("here", WINDOW | {"idle_looks": 1}).joules_per_output_token is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"requests": 19}, "only 19 requests ended in it, with 8 in flight: take a longer --window"),
        ({"running": 200.0}, "only 120 requests ended in it, with 200 in flight"),
        ({"output_tokens": 0}, "its engine counts no tokens"),
        ({"in_flight_first_half": 4.0, "in_flight_second_half": 12.0}, "no steady load: 4 requests in flight, then 12"),
        ({"cached_tokens": 25_000}, "20% of its prompts' tokens came from the prefix cache"),
    ],
)
def test_windows_that_say_nothing(change, said):
    found = read_window("here", WINDOW | change)
    assert isinstance(found, Unused)
    assert found.reason.startswith(said)


FACTORY = """\
factory: one
systems:
  - {{id: a, system: {system}, count: 1, rent: {{}}}}
services:
  - {{name: chat, model: llama-3.1-8b, engine: vllm, engine_version: 0.11.0, tp: 1, workers: 1}}
workload:
  - {{service: chat, trace: azure-2023-conversation, scale: 20% of sustainable}}
run: {{horizon: 20 s, warmup: 4 s}}
"""
RATES = (2.0, 8.0, 20.0)  # requests per second of 600 tokens and 150


def pages(worker, clock, rate_s, seconds, dice):
    """Of every second, while requests come at random."""
    end = clock.tick + seconds * TICKS_PER_S
    due, look = clock.tick, clock.tick
    while clock.tick < end:
        if look <= due:
            clock.tick = look
            yield look / TICKS_PER_S, samples(page_of(worker).decode())
            look += TICKS_PER_S
        else:
            clock.tick = due
            worker.ask(600, 150, lambda tokens, last, energy_uj: None)
            due += int(dice.exponential(1 / rate_s) * TICKS_PER_S)


def watched(path, place):
    """Windows of a worker of the factory at ``path``, by three loads."""
    made = plant(load(str(path)))
    worker, clock = worker_by_hand(made.models[0], loaded_of(made)[0])
    dice = np.random.default_rng(5)
    with Path(place).open("w") as out:
        for rate_s in RATES:
            for warm in (True, False):
                seen = [Look(at_s, page) for at_s, page in pages(worker, clock, rate_s, 10 if warm else 60, dice)]
                if not warm:
                    window = window_of("http://e/metrics", "2026-11-27", seen)
                    out.write(msgspec.json.encode(window).decode() + "\n")


def test_a_worker_that_is_not_what_the_plan_says_is_found_out(tmp_path, monkeypatch, capsys):
    """It runs on an H200, the factory has H100: its tokens come sooner than planned."""
    monkeypatch.chdir(tmp_path)
    for name, system in (("true", "hgx-h200"), ("planned", "hgx-h100")):
        (tmp_path / f"{name}.yaml").write_text(FACTORY.format(system=system))
    watched("true.yaml", "windows.jsonl")
    assert len(read_results(["windows.jsonl"])[0].runs) == len(RATES)
    assert main(["calibrate", "--with", "windows.jsonl", "--factory", "planned.yaml", "--out", "site.json"]) == 0
    (found,) = json.loads((tmp_path / "site.json").read_text())["deployments"]
    before, after = ([abs(p[f"error_{when}"]["tpot_s_mean"]) for p in found["points"]] for when in ("before", "after"))
    assert np.median(before) > 0.1
    assert max(after) < 0.03
    assert "energy" in capsys.readouterr().out


def test_watching_writes_each_window_as_it_ends_and_gives_up_on_silence(monkeypatch, tmp_path):
    monkeypatch.setattr(watching.time, "sleep", lambda seconds: None)
    answers = iter([BEFORE, AFTER, AFTER, AFTER] + [None] * 20)

    def read(url):
        state = next(answers)
        if state is None:
            raise InputError(f"{url} does not answer: refused")
        return samples(VLLM.format(**state))

    with (
        (tmp_path / "w").open("w") as out,
        pytest.raises(InputError, match="does not answer: refused; 5 looks in a row"),
    ):
        watch(["http://e/metrics"], Schedule(60.0, 2.0, 1.0), out, lambda stage: None, read)
    (line,) = (tmp_path / "w").read_text().splitlines()
    assert json.loads(line)["requests"] == 40


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--watch", "10.0.0.7:8000"], "'10.0.0.7:8000' is no address of an engine"),
        (["--watch", "http://127.0.0.1:1"], "http://127.0.0.1:1/metrics does not answer"),
        (["--watch"], "--watch needs an engine's URL, or --factory"),
        (["--watch", "--factory", "f.yaml"], "f.yaml: no upstream of chat names its metrics page"),
        (["--watch", "http://e", "--window", "5 s", "--look", "3 s"], "at most half of --window"),
        (["--watch", "http://e", "--for", "5 s"], "--window at most --for"),
        (["--watch", "http://e", "--workers", "2"], "a watched engine is one replica"),
        (["--for", "5 s"], "--for belongs to --watch"),
    ],
)
def test_mistakes_are_said_before_anything_is_watched(words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "f.yaml").write_text(FACTORY.format(system="hgx-h100"))
    assert main(["calibrate", *words]) == 2
    assert said in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["f.yaml"]


def test_where_a_page_is():
    assert page_url("http://10.0.0.7:8000/v1/") == "http://10.0.0.7:8000/metrics"
    with pytest.raises(InputError, match="does not answer"):
        page_at("http://127.0.0.1:1/metrics")
