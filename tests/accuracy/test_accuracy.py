"""Rows, experiments, intervals and error tables."""

import csv
import io
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenworks.accuracy import intervals
from tokenworks.accuracy.experiments import experiment
from tokenworks.accuracy.fit import METRICS
from tokenworks.accuracy.packed import PACKED, load_measurements
from tokenworks.accuracy.rows import parse, read_csv
from tokenworks.accuracy.splits import configuration, distinct, fold, suspicious, validation_twins
from tokenworks.accuracy.tables import error_table, errors_of, fully_specified, table_text
from tokenworks.accuracy.validate import COLUMNS, Answer, answer, predictions_csv, validate
from tokenworks.errors import InputError, UnsupportedError

ROWS = load_measurements()
TARGETS = ("output_tokens_s_gpu", "tpot_ms_mean", "ttft_ms_mean")
BASE = {
    "id": "x", "split": "validation", "dataset": "inferencex_fixture", "gpu": "h200-sxm", "gpus": "8", "model": "deepseek-r1",
    "quantization": "fp8", "engine": "sglang", "serving": "closed_loop", "disaggregated": "false", "spec_decoding": "none",
    "tp": "8", "pp": "1", "dp_attention": "1", "moe_ep": "1", "isl": "1024", "osl": "1024", "concurrency": "16",
    "length_mode": "max_of_random_range", "random_range_ratio": "0.8", "date": "2025-12-31",
}  # fmt: skip


def row(**changes: str):
    return parse(table([{**BASE, **changes}]), "t")[0].row


def table(lines: list[dict[str, str]]):
    out = io.StringIO()
    writer = csv.DictWriter(out, list(lines[0]))
    writer.writeheader()
    writer.writerows(lines)
    return io.StringIO(out.getvalue())


def test_packed_measurements_are_whole_and_small():
    assert len(ROWS) == 9_889
    assert sum(m.split == "validation" for m in ROWS) == 125
    assert sum(fully_specified(m) for m in ROWS) == 6_970
    assert PACKED.stat().st_size < 1_000_000


def test_coverage_of_fully_specified_rows():
    full = [m for m in ROWS if fully_specified(m)]
    missed = {}
    for m in full:
        try:
            experiment(m.row)
        except InputError as error:
            missed.setdefault(str(error)[:60], []).append(m.id)
    assert sum(map(len, missed.values())) <= 0.05 * len(full), missed.keys()


def test_inferencex_by_hand():
    """Ten prompts a client, lengths uniform in [819, 1024], the recipe of that script."""
    found = experiment(row())
    load = found.load
    assert (len(load.arrival_s), load.clients, load.skip) == (160, 16, 0)
    assert load.input_tokens.min() >= 819
    assert load.input_tokens.max() <= 1024
    assert not load.arrival_s.any()
    assert (found.deployment.token_budget, found.deployment.memory_fraction) == (32_768, 0.82)
    assert found.deployment.weights == "fp8_block"


@pytest.mark.parametrize(
    ("model", "osl", "isl"),
    [
        ("qwen3-8b", "640", 250),
        ("qwen3-8b", "8200", 250),
        ("qwen3-vl-8b", "940", 900),
        ("qwen3-vl-8b", "270", 2000),
        ("qwen3-vl-32b", "550", 2000),
        ("gemma-3-27b", "715", 250),
        ("gemma-3-27b", "520", 700),
    ],
)
def test_the_task_behind_a_row_follows_from_its_model_and_answers(model, osl, isl):
    """ML.ENERGY prints no prompt lengths: they are assumed by task, and the row says so."""
    changes = {"dataset": "mlenergy_v3", "gpu": "h100-sxm", "model": model, "osl": osl, "isl": "", "engine": "vllm"}
    changes |= {"quantization": "bf16", "tp": "2", "gpus": "2", "length_mode": "mean", "random_range_ratio": ""}
    found = experiment(row(**changes))
    assert (found.load.input_tokens == isl).all()
    assert f"input length {isl} by task" in found.assumed


def test_trtllm_offline_by_hand():
    changes = {
        "dataset": "trtllm_docs_throughput",
        "engine": "tensorrt-llm",
        "serving": "offline_max",
        "concurrency": "",
    }
    changes |= {"model": "llama-3.3-70b", "tp": "2", "gpus": "2", "isl": "2048", "osl": "128", "length_mode": "fixed"}
    found = experiment(row(**changes, engine_version="1.0"))
    assert len(found.load.arrival_s) == 3000
    assert found.deployment.reserve_output
    assert (found.deployment.kv, found.deployment.kv_fraction_of_free) == ("fp8", 0.9)
    assert experiment(row(**changes, engine_version="0.13.0")).deployment.kv_fraction_of_free == 0.99
    assert "number of requests" in experiment(row(**{**changes, "isl": "777"})).assumed


def test_static_batch_is_one_prefill():
    changes = {
        "dataset": "splitwise_profile",
        "engine": "vllm",
        "serving": "static_batch",
        "concurrency": "",
        "batch_size": "4",
    }
    changes |= {"model": "llama-2-70b", "quantization": "fp16", "isl": "512", "osl": "128", "length_mode": "fixed"}
    found = experiment(row(**changes))
    assert len(found.load.arrival_s) == 4
    assert found.deployment.token_budget == 4 * 512


def test_replicas_share_the_concurrency():
    found = experiment(row(model="llama-3.1-8b", tp="1", gpus="8", quantization="bf16", concurrency="64"))
    assert found.replicas == 8
    assert found.load.clients == 8


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"gpu": "mixed-amd"}, "not one accelerator"),
        ({"model": ""}, "model is not stated"),
        ({"model": "gpt-9"}, 'no model "gpt-9"'),
        ({"osl": ""}, "length is not stated"),
        ({"concurrency": ""}, "the load is not stated"),
        ({"tp": "", "dp_attention": ""}, "parallel degrees are not stated"),
        ({"disaggregated": "true"}, "degrees of the prefill and decode workers are not stated"),
        ({"model": "llama-3.1-405b", "quantization": "bf16", "tp": "2", "gpus": "2"}, "does not fit"),
    ],
)
def test_what_cannot_be_predicted_says_why(changes, reason):
    with pytest.raises((UnsupportedError, InputError), match=reason.replace('"', ".")):
        experiment(row(**changes))
    assert answer(row(**changes)).status == "unsupported"


SPLIT = {
    "disaggregated": "true", "tp": "", "dp_attention": "", "gpus": "24", "gpu": "b200", "quantization": "nvfp4", "concurrency": "32",
    "prefill_workers": "1", "prefill_tp": "8", "prefill_ep": "8", "decode_workers": "2", "decode_tp": "8", "decode_ep": "8",
}  # fmt: skip


def test_disaggregated_rows_run_in_the_twin():
    found = experiment(row(**SPLIT))
    assert (found.split.prefill_workers, found.split.decode_workers) == (1, 2)
    assert found.split.divisor(found.deployment) == 16
    assert experiment(row(**SPLIT, dataset="other")).split.divisor(found.deployment) == 24
    predicted = answer(row(**SPLIT))
    assert predicted.status == "ok"
    assert predicted.rate[0] > 0


def test_speculation_is_an_assumption_that_helps():
    plain, mtp = answer(row()), answer(row(spec_decoding="mtp"))
    assert (plain.status, mtp.status) == ("ok", "assumed")
    assert "acceptance of mtp" in mtp.reason
    assert mtp.tpot_mean < plain.tpot_mean


def test_targets_cannot_influence_predictions():
    lines = [{**BASE, "concurrency": c, "output_tokens_s_gpu": v} for c, v in (("4", "10"), ("16", "99"))]
    swapped = [
        {**a, "output_tokens_s_gpu": b["output_tokens_s_gpu"], "split": "calibration", "id": a["id"]}
        for a, b in zip(lines, lines[::-1], strict=True)
    ]
    texts = []
    for rows in (lines, swapped):
        measured = parse(table(rows), "t")
        texts.append(predictions_csv(measured, validate(measured, 1, lambda _: None)))
    assert texts[0] == texts[1]
    assert texts[0].splitlines()[0] == ",".join(COLUMNS)
    assert ",ok,," in texts[0]


def test_same_answers_on_one_and_two_processes():
    some = ROWS[::150]
    assert len(some) > 64
    one, two = (predictions_csv(some, validate(some, n, lambda _: None)) for n in (1, 2))
    assert one == two


def test_columns_of_the_predictions_are_ordered_bands():
    found = answer(row())
    assert found.rate[1] < found.rate[0] < found.rate[2]
    assert found.tpot_band[0] < found.tpot_mean < found.tpot_band[1]


@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    cells=st.dictionaries(
        st.sampled_from(sorted(BASE)),
        st.one_of(st.sampled_from(["", "nan", "-1", "1e99", "0", "x", "3.5"]), st.text(max_size=6)),
        max_size=6,
    )
)
def test_no_row_raises(cells):
    cells = {k: v.replace("\r", "").replace("\n", "") for k, v in cells.items()}
    measured = parse(table([{**BASE, "concurrency": "2", "osl": "8", **cells}]), "t")
    answers = validate(measured, 1, lambda _: None)
    assert len(predictions_csv(measured, answers).splitlines()) == 2
    assert table_text(error_table(measured, answers))


def test_tables_that_are_none(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_csv(tmp_path / "none.csv")
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="no column 'id'"):
        read_csv(path)


def test_error_figures_by_hand():
    def pair(predicted: float, truth: str):
        measured = parse(table([{**BASE, "output_tokens_s_gpu": truth}]), "t")[0]
        return measured, Answer("ok", "", (predicted, predicted, predicted))

    found = errors_of([pair(110, "100"), pair(80, "100"), pair(105, "100")])["throughput"]
    assert found == {"rows": 3, "median": 10.0, "p90": 18.0, "bias": 5.0}


def test_splits():
    twins = validation_twins(ROWS)
    assert all(configuration(m.row) in twins for m in ROWS if m.split == "validation")
    assert sum(configuration(m.row) in twins for m in ROWS) > 125
    online = [m for m in ROWS if m.row.dataset == "trtllm_docs_online_0.14"]
    assert sum(distinct(online)) == len(online) / 2
    assert fold(("a", "b", "c")) == fold(("a", "b", "c"))
    assert {fold((str(i),)) for i in range(50)} == set(range(5))
    assert any(suspicious(m.row) for m in ROWS)


def test_conformal_bounds_by_hand():
    low, high = intervals.bounds(list(np.arange(1, 100) / 100))
    assert (low, high) == (0.10, 0.90)


def test_conformal_coverage():
    """Of fresh errors of the same law, 80% fall inside, within three standard errors."""
    rng = np.random.default_rng(0)
    inside = []
    for _ in range(200):
        low, high = intervals.bounds(list(rng.standard_t(4, 80)))
        inside.append(np.mean((fresh := rng.standard_t(4, 400)) >= low) - np.mean(fresh > high))
    assert abs(np.mean(inside) - 0.8) < 0.02


def test_thin_strata_are_pooled():
    built = intervals.build({("tpot", "closed", "known"): [0.1] * 60, ("tpot", "open", "known"): [0.5] * 3})
    assert built["tpot|closed|known"]["pooled"] == ""
    assert built["tpot|open|known"]["pooled"] == "modes"


def test_shipped_calibration_is_physical():
    from tokenworks.physics.terms import priors, resolve

    for m in ROWS[::200]:
        try:
            found = experiment(m.row)
        except InputError:
            continue
        terms = resolve(found.deployment, client=found.harness)
        for name, prior in priors().items():
            assert prior.low <= getattr(terms, name) <= prior.high
    assert len(METRICS) == 6
    assert math.isfinite(intervals.interval("tpot", "closed", "known", 1.0)[0])
