"""Residuals: the same predictions as `validate`, whose seconds are all accounted for, told apart by their inputs."""

import math
from dataclasses import replace

import numpy as np
import pytest

from tokenworks.accuracy.breakdown import GROUPS, IDLE, OPERATORS, SKEW, breakdown, memory_pressure
from tokenworks.accuracy.packed import load_measurements
from tokenworks.accuracy.residual_buckets import INPUTS, Buckets, Input, band, bands, buckets_of, groups
from tokenworks.accuracy.residual_columns import columns, share_name
from tokenworks.accuracy.residual_views import headline, logs_of, views
from tokenworks.accuracy.residuals import residuals
from tokenworks.accuracy.rows import Targets
from tokenworks.accuracy.slopes import schedule_of
from tokenworks.accuracy.tables import coverage, error_table
from tokenworks.accuracy.validate import rehearsed, validate
from tokenworks.physics.schedule import Points, step_costs
from tokenworks.physics.shares import CACHE, HOST, PROMPTS, THROTTLED, operator_seconds
from tokenworks.physics.step import Machine

SILENT = lambda _: None  # noqa: E731
ROW = {"gpu": "h100-sxm", "gpus": "8", "model": "llama-3.3-70b", "quantization": "fp8", "engine": "vllm", "tp": "8"}
ROW |= {"engine_version": "0.9", "isl": "512", "osl": "64", "concurrency": "16", "serving": "closed_loop"}
ROW |= {"spec_decoding": "none", "length_mode": "fixed"}


def row(**changes):
    from tokenworks.accuracy.rows import read_row

    return read_row(ROW | {key: str(value) for key, value in changes.items()})


@pytest.fixture(scope="module")
def measured():
    return load_measurements()[::220]


@pytest.fixture(scope="module")
def found(measured):
    return residuals(measured, 1, SILENT)


def test_the_predictions_are_those_of_validate(measured, found):
    assert [r.answer for r in found] == validate(measured, 1, SILENT)
    assert [r.number for r in found] == list(range(len(measured)))
    assert all((r.setting is None) == (r.answer.rate is None) for r in found)
    assert sum(r.setting is not None for r in found) > 25


def test_hidden_columns_decide_nothing(measured, found):
    nothing = Targets(1.0, 2.0, 3.0, 4.0, 5.0, 6.0, "per-GPU board")
    other = [replace(m, id="x", split="validation", targets=nothing) for m in measured]
    again = columns(residuals(other, 1, SILENT))
    shown = ("id", "split", "measured_", "log_residual_", "inside_")
    for name, values in columns(found).items():
        if not name.startswith(shown):
            assert again[name] == values, name


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"concurrency": "", "serving": "offline_max", "dataset": "trtllm_docs_throughput", "engine": "tensorrt-llm"},
        {"concurrency": "", "request_rate": 4, "serving": "open_loop"},
        {"concurrency": "", "batch_size": 4, "serving": "static_batch", "osl": 1},
        {"model": "deepseek-r1", "gpu": "b200", "tp": 1, "dp_attention": 8, "moe_ep": 8, "engine": "sglang"},
        {"model": "llama-3.1-8b", "tp": 1, "gpus": 1, "concurrency": 1},
        {"model": "deepseek-r1", "gpu": "b200", "engine": "sglang", "spec_decoding": "mtp"},
    ],
)
def test_operators_account_for_the_twins_time(changes):
    """The twin interpolates long steps on a grid, so busy seconds agree within 3%; the schedule's own sum to rounding."""
    done = rehearsed(row(**changes), record=True)
    machine, schedule = Machine.of(done.experiment.deployment, terms=done.terms), schedule_of(done.run.steps)
    seconds = operator_seconds(machine, schedule)
    each, _ = step_costs(machine, schedule, Points.of(schedule))
    assert sum(seconds.values()) == pytest.approx(float(schedule.steps @ each), rel=1e-9)
    assert sum(seconds.values()) == pytest.approx(done.run.busy_s, rel=0.03)
    assert min(seconds.values()) >= 0
    work = breakdown(done)
    assert sum(work.shares) == pytest.approx(1.0)
    assert work.worker_s * (1 - work.shares[OPERATORS.index(IDLE)]) == pytest.approx(done.run.busy_s, rel=0.03)
    assert 0 <= work.with_prefill <= 1
    assert work.shares[OPERATORS.index(SKEW)] == 0


def test_the_operators_of_an_explained_step():
    """One prompt alone, then one decode step: what `explain` prints of them."""
    from tokenworks.physics.explain import explain

    done = rehearsed(row(concurrency="", batch_size=4, serving="static_batch", osl=2), record=True)
    found = done.experiment.deployment
    seconds = operator_seconds(Machine.of(found, terms=done.terms), schedule_of(done.run.steps))
    decode = {o.name: o.seconds for o in explain(found, 4, 513, 512).decode.operators}
    prefill = operator_seconds(
        Machine.of(found, terms=done.terms),
        schedule_of(rehearsed(row(concurrency="", batch_size=4, serving="static_batch", osl=1), record=True).run.steps),
    )
    for name in ("qkv", "ffn up", "all-reduce", "kernel launches"):
        assert seconds[name] - prefill[name] == pytest.approx(decode[name], rel=1e-6)
    assert seconds[CACHE] == pytest.approx(decode["attention core"], rel=1e-6)
    assert seconds[PROMPTS] == pytest.approx(prefill[PROMPTS])


def test_what_a_step_waits_for():
    """On an engine that schedules ahead, a host slower than the device shows as the wait beyond it, and likewise a board
    whose limit stretches the step."""
    done = rehearsed(row(concurrency="", batch_size=4, serving="static_batch"), record=True)
    ahead = replace(done.experiment.deployment, async_scheduling=True)
    schedule = schedule_of(done.run.steps)
    fast = Machine.of(ahead, terms=replace(done.terms, step_s=0.0, seq_s=0.0, prompt_s=0.0))
    device = sum(operator_seconds(fast, replace(schedule, line=0 * schedule.line)).values())
    slow = Machine.of(ahead, terms=replace(done.terms, step_s=1.0, seq_s=0.0, prompt_s=0.0))
    waiting = operator_seconds(slow, replace(schedule, line=0 * schedule.line + 1))
    assert waiting[HOST] == pytest.approx(schedule.steps.sum() - device)
    assert waiting[THROTTLED] == 0
    hot = Machine.of(
        ahead, terms=replace(fast.terms, power_memory=50.0, seq_s=1e-3, power_seq=0.9)
    )  # full, and samples
    throttled = operator_seconds(hot, replace(schedule, line=0 * schedule.line + 2))
    assert throttled[THROTTLED] > 0
    assert throttled[HOST] == 0
    each, _ = step_costs(hot, replace(schedule, line=0 * schedule.line + 2), Points.of(schedule))
    assert sum(throttled.values()) == pytest.approx(float(schedule.steps @ each))


def test_pools_of_a_disaggregated_row():
    pools = {"disaggregated": "true", "prefill_workers": 2, "prefill_tp": 1, "decode_workers": 4, "decode_tp": 1}
    done = rehearsed(
        row(**pools, gpu="b200", model="gpt-oss-120b", quantization="mxfp4", engine="tensorrt-llm"), record=True
    )
    work = breakdown(done)
    assert sum(work.shares) == pytest.approx(1.0)
    assert work.worker_s == pytest.approx(6 * done.run.end_s, rel=1e-6)
    assert 0 < work.sequences <= 16 / 4 + 1


def test_memory_pressure_grows_with_what_is_asked_for():
    few, many = (rehearsed(row(concurrency=n, tp=2, gpus=2, osl=2048)) for n in (4, 256))
    pressure = [memory_pressure(done.experiment, done.terms, 1.0) for done in (few, many)]
    assert 0 < pressure[0] < 1 < pressure[1]


def test_headlines_are_those_that_validate_prints(measured, found):
    table = error_table(measured, [r.answer for r in found])
    known = {view.name: headline(found, view) for view in views(found)}
    datasets = {view.name for view in views(found) if view.dataset}
    assert datasets == {m.row.dataset for m in measured}
    printed = {"all rows": table["all"], **{k: table[k] for k in ("without assumptions", "with assumptions")}}
    for name, errors in (printed | {d: table["datasets"][d] for d in datasets}).items():
        lines = {line.metric: line for line in known[name]}
        assert list(lines) == list(errors)
        for metric, error in errors.items():
            line = lines[metric]
            assert (line.rows, line.median, line.p90, line.bias) == tuple(error.values())
    inside = coverage([(r.measured, r.answer) for r in found])
    assert [line.inside for line in known["all rows"] if line.metric == "throughput"] == [inside["throughput"]]


def test_columns_say_what_they_say(found):
    table = columns(found)
    assert len({len(values) for values in table.values()}) == 1
    for i, r in enumerate(found):
        truth, said, log = (table[f"{k}_output_tokens_s_gpu"][i] for k in ("measured", "predicted", "log_residual"))
        assert (log is None) == (truth is None or said is None)
        if log is not None:
            assert said == pytest.approx(truth * math.exp(log))
            low, high = table["p10_output_tokens_s_gpu"][i], table["p90_output_tokens_s_gpu"][i]
            assert table["inside_output_tokens_s_gpu"][i] == (low <= truth <= high)
        shares = [table[share_name(name)][i] for name in GROUPS]
        assert (shares[0] is None) == (r.setting is None)
        assert r.setting is None or sum(shares) == pytest.approx(1.0)


def test_every_row_is_in_one_bucket_of_every_input(found):
    for chosen in INPUTS:
        its = buckets_of(chosen, found)
        for r, at in zip(found, its.at, strict=True):
            assert (at == -1) == (r.setting is None)
            assert at < len(its.labels)
        assert len(set(its.labels)) == len(its.labels)


@pytest.mark.parametrize(
    ("value", "label"), [(1.0, "1"), (4, "2–4"), (5, "5–16"), (17, "over 16"), (None, "not stated"), ("open", "open")]
)
def test_ranges_end_with_their_edge(found, value, label):
    chosen = Input("made up", lambda r, s: value, (1, 4, 16))
    assert buckets_of(chosen, [r for r in found if r.setting]).labels == (label,)


def test_small_buckets_go_together(found):
    rows = [r for r in found if r.setting]
    number = {id(r.setting): i for i, r in enumerate(rows)}
    its = buckets_of(Input("made up", lambda r, s: f"v{number[id(s)]}", by_name=True), rows)
    assert its.labels[-1] == f"{len(rows) - 18} others"
    assert (its.at == 18).sum() == len(rows) - 18
    assert list(its.labels[:18]) == sorted(its.labels[:18], key=lambda label: int(label[1:]))


def test_bands_leave_out_what_was_not_measured():
    its = Buckets("x", ("a", "b", "c"), np.array([0, 0, 1, -1, 2]))
    found = bands(its, np.array([1.0, 3.0, np.nan, 7.0, -1.0]))
    assert set(found) == {0, 2}
    assert found[0] == band(np.array([1.0, 3.0]))
    assert (found[0].rows, found[0].median) == (2, 2.0)


def test_a_bias_is_told_from_noise():
    rng = np.random.default_rng(1)
    biased, noisy = ("g", "biased", "e"), ("g", "noisy", "e")
    logs = np.concatenate([0.3 + 0.05 * rng.normal(size=50), 0.3 * rng.normal(size=50), [np.nan, 9.0]])
    found = {g.key: g for g in groups([biased] * 50 + [noisy] * 51 + [("g", "lone", "e")], logs, 10)}
    assert [found[k].verdict for k in (biased, noisy, ("g", "lone", "e"))] == ["bias", "noise", "too few rows"]
    assert sum(g.weight for g in found.values()) == pytest.approx(1.0)
    assert found[biased].bias > 0.9 > 0.1 > found[noisy].bias
    assert [g.key for g in groups([biased] * 50 + [noisy] * 50, logs[:100], 1)] == [biased]


def test_logs_are_predicted_over_measured(found):
    logs = logs_of(found)["throughput"]
    for r, log in zip(found, logs, strict=True):
        truth = r.measured.targets.output_tokens_s_gpu
        if r.answer.rate and truth:
            assert log == pytest.approx(math.log(r.answer.rate[0] / truth))
        else:
            assert math.isnan(log)
