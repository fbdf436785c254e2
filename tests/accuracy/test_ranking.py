"""Ranking against reality: groups, choices and Kendall's τ by hand, and the shipped figures."""

import math

import numpy as np
import pytest
from scipy.stats import kendalltau

from tokenworks.accuracy.left_out import left_out
from tokenworks.accuracy.packed import load_measurements
from tokenworks.accuracy.ranking import (
    Figures,
    Group,
    choice,
    config_of,
    degrees_key,
    groups,
    kendall,
    limits_key,
    per_gpu,
    throughput,
)
from tokenworks.accuracy.rows import measurement
from tokenworks.accuracy.validate import OK, Answer

PLAIN = {
    "id": "1", "dataset": "made-up", "gpu": "h100-sxm", "gpus": "2", "model": "llama-3.1-8b", "quantization": "fp8",
    "engine": "vllm", "engine_version": "0.9", "serving": "closed_loop", "tp": "2", "isl": "1000", "osl": "101",
    "concurrency": "20", "date": "2026-01-01", "ttft_ms_mean": "500", "tpot_ms_mean": "20",
}  # fmt: skip


def row(**cells: str):
    return measurement({**PLAIN, **cells})


def answer(rate: float | None = None, tpot: float | None = None, ttft: float | None = None) -> Answer:
    return Answer(OK, rate=rate and (rate, rate, rate), tpot_mean=tpot, ttft_mean=ttft)


def figures(config: str, measured: float, predicted: float, tpot: tuple[float, float] | None = None, gpus: int = 1):
    return Figures(config, gpus, (measured, predicted), tpot)


def group(*of: Figures) -> Group:
    return Group(("k",), "made-up", of)


@pytest.mark.parametrize("seed", range(20))
def test_kendall_equals_scipy(seed):
    rng = np.random.default_rng(seed)
    points = [(float(a), float(b)) for a, b in rng.integers(0, 6, (12, 2))]
    assert kendall(points) == pytest.approx(kendalltau(*zip(*points, strict=True)).statistic, abs=1e-12)


def test_kendall_of_one_value_is_none():
    assert math.isnan(kendall([(1.0, 2.0), (1.0, 3.0)]))


def test_the_choice_is_what_is_believed_and_its_worth_what_was_measured():
    found = choice(group(figures("tp1", 100, 90), figures("tp2", 80, 120), figures("tp4", 60, 50)))
    assert (found.chosen.config, found.best.config, found.share) == ("tp2", "tp1", 0.8)


def test_within_a_limit_only_what_keeps_it_counts():
    fast, good, most = (
        figures("a", 50, 60, (10, 11)),
        figures("b", 80, 85, (18, 19)),
        figures("c", 120, 130, (30, 19.5)),
    )
    found = choice(group(fast, good, most), 20.0)
    assert found.chosen is most  # believed to keep the limit, and does not
    assert found.best is good
    assert not found.kept
    assert found.share == 0.0
    right = choice(group(fast, good, figures("c", 120, 130, (30, 31))), 20.0)
    assert right.chosen is good
    assert right.share == 1.0


def test_a_limit_that_asks_nothing_is_no_question():
    some = [figures(str(i), 10 * i, 10 * i, (10.0 * i, 10.0 * i)) for i in (1, 2, 3)]
    assert choice(group(*some), 100.0) is None  # all keep it
    assert choice(group(*some), 15.0) is None  # one alone keeps it


def test_where_none_is_believed_to_keep_the_limit_the_nearest_is_taken():
    found = choice(
        group(figures("a", 5, 9, (10, 40)), figures("b", 9, 5, (15, 25)), figures("c", 20, 30, (90, 90))), 20.0
    )
    assert (found.chosen.config, found.share) == ("b", 1.0)


def test_latencies_give_throughput_by_littles_law():
    measured, predicted = throughput(row(), answer(rate=1.0, tpot=10.0, ttft=1000.0))
    # 20 callers, each 0.5 + 100 · 0.02 s for 101 tokens, on two GPUs
    assert measured == pytest.approx(20 * 101 / 2.5 / 2)
    assert predicted == pytest.approx(20 * 101 / 2.0 / 2)
    assert throughput(row(output_tokens_s_gpu="300"), answer(rate=330.0)) == (300.0, 330.0)
    assert throughput(row(ttft_ms_mean=""), answer(tpot=10.0, ttft=1.0)) is None


def test_of_pools_whose_source_counts_decode_gpus_all_are_counted():
    pools = {"disaggregated": "true", "prefill_workers": "3", "prefill_tp": "1", "prefill_dp": "4", "decode_workers": "1",
             "decode_tp": "8"}  # fmt: skip
    assert per_gpu(row(dataset="inferencex_fixture", **pools).row) == 8 / 20
    assert per_gpu(row(**pools).row) == 1.0
    assert config_of(row(**pools).row, load=False) == "3×tp1 dp4 + 1×tp8"


@pytest.mark.parametrize("key_of", [degrees_key, limits_key])
@pytest.mark.parametrize(
    "other",
    [{"gpu": "h200-sxm"}, {"model": "qwen3-8b"}, {"quantization": "bf16"}, {"engine": "sglang"}, {"engine_version": "0.10"},
     {"isl": "2000"}, {"osl": "900"}, {"dataset": "another"}, {"spec_decoding": "mtp"}],
)  # fmt: skip
def test_what_a_planner_is_given_keeps_rows_apart(key_of, other):
    assert key_of(row().row) != key_of(row(**other).row)
    assert key_of(row(**other).row) is not None


def test_degrees_are_compared_at_the_same_load_for_every_gpu():
    wider = row(gpus="4", tp="4", concurrency="40").row
    assert degrees_key(wider) == degrees_key(row().row)
    assert degrees_key(row(gpus="4", tp="4").row) != degrees_key(row().row)
    assert limits_key(row(gpus="4", tp="4", concurrency="7").row) == limits_key(row().row)
    assert degrees_key(row(tp="").row) is None


def test_figures_that_stand_twice_count_once():
    rows = [(row(output_tokens_s_gpu=v), answer(rate=p, tpot=1.0)) for v, p in (("100", 90.0), ("200", 110.0))]
    rows.append((row(output_tokens_s_gpu="60", tp="1", gpus="1", concurrency="10"), answer(rate=50.0)))
    (found,) = groups(rows, degrees_key)
    assert [f.tokens_s_gpu for f in found.figures] == [(150.0, 100.0), (60.0, 50.0)]


def test_what_is_chosen_without_having_seen_the_group_measured_95_percent_of_the_best():
    """The goal, on the groups of printed throughput with every (accelerator, model, engine) left out."""
    rows = left_out().answered("groups", [m for m in load_measurements() if m.row.serving == "offline_max"])
    choices = [choice(g) for g in groups(rows, degrees_key)]
    shares = np.array([c.share for c in choices])
    blind = np.mean([np.mean([f.tokens_s_gpu[0] for f in c.group.figures]) / c.best.tokens_s_gpu[0] for c in choices])
    assert len(choices) > 600
    assert np.median(shares) >= 0.95
    assert shares.mean() > 0.95 > 0.9 > blind  # which most groups do not give away
