"""Recipes of the InferenceX scripts: which apply, what they set, what waiting rules become."""

from dataclasses import replace

import pytest

from tokenworks.accuracy import recipes
from tokenworks.accuracy.experiments import experiment
from tokenworks.accuracy.loads import _range_ratio
from tokenworks.accuracy.packed import load_measurements
from tokenworks.accuracy.rows import Row
from tokenworks.accuracy.splits import suspicious
from tokenworks.accuracy.validate import answer

ROWS = [m.row for m in load_measurements()]


def first(**wanted: object) -> Row:
    return next(r for r in ROWS if all(getattr(r, k) == v for k, v in wanted.items()))


TRT = first(dataset="inferencex_fixture", gpu="b200", engine="tensorrt-llm", spec_decoding="none", dp_attention=1, tp=8)
RANKS = first(dataset="inferencex_fixture", gpu="h200-sxm", engine="tensorrt-llm", spec_decoding="none", dp_attention=8)
LLAMA = first(dataset="aic_silicon_inferencex", model="llama-3.1-70b", engine="tensorrt-llm", tp=4, isl=1024, osl=1024)
SPLIT = first(
    dataset="inferencex_fixture", engine="dynamo-tensorrt-llm", gpu="gb200", decode_tp=8, spec_decoding="none"
)


def test_later_recipes_change_only_what_they_name():
    early, late = (
        experiment(replace(TRT, isl=1024.0, osl=1024.0, concurrency=16, date=d)) for d in ("2025-12-01", "2026-02-01")
    )
    assert (early.deployment.token_budget, late.deployment.token_budget) == (1024 + 16 + 112, 8192)
    for found in (early, late):
        assert (found.deployment.kv_fraction_of_free, found.deployment.kv) == (0.8, "fp8")
        assert not found.deployment.chunked_prefill
        assert found.deployment.max_seqs == 16


def test_bounds_and_lengths_are_keys():
    assert experiment(LLAMA).deployment.receive_interval > 1
    assert experiment(replace(LLAMA, osl=8192.0)).deployment.receive_interval == 1
    assert experiment(replace(LLAMA, tp=8, gpus=8)).deployment.receive_interval == 1


def test_few_clients_wait_the_whole_time_and_many_less():
    few, many = (experiment(replace(RANKS, concurrency=c)).deployment for c in (8, 4096))
    assert 100 < few.receive_interval <= 120  # the mean age of a wait of 120 steps that company seldom ends
    assert 1 <= many.receive_interval < 12
    assert experiment(replace(RANKS, tp=8, dp_attention=1)).deployment.receive_interval == 1


def test_waiting_for_other_ranks_is_seen_in_the_time_to_first_token():
    row = replace(RANKS, isl=1024.0, osl=1024.0, concurrency=64, date="2025-12-10")
    model = first(
        dataset="inferencex_fixture", gpu="h200-sxm", engine="tensorrt-llm", spec_decoding="none", dp_attention=1
    )
    alone = answer(replace(model, isl=1024.0, osl=1024.0, concurrency=64, date="2025-12-10"))
    waiting = answer(row)
    assert waiting.ttft_median > 30 * waiting.tpot_median
    assert alone.ttft_median < 10 * alone.tpot_median


@pytest.mark.parametrize(
    ("shares", "drafts", "tokens"), [([0.8], 1, 1.8), ([0.5, 0.8], 3, 1 + 0.5 + 0.4 + 0.32), ([1.0], 3, 4.0)]
)
def test_accepted_tokens_of_a_step(shares, drafts, tokens):
    assert recipes.accepted(shares, drafts) == pytest.approx(tokens)


def test_long_answers_are_guessed_better():
    row = replace(TRT, spec_decoding="mtp", concurrency=8, date="2026-02-06")
    short, long = (experiment(replace(row, osl=osl)).deployment for osl in (1024.0, 8192.0))
    assert short.draft_tokens == long.draft_tokens == 3
    assert 1 < short.tokens_per_step < long.tokens_per_step < 4


def test_pools_of_one_role_have_speeds_of_their_own():
    found = experiment(SPLIT)
    assert found.split.decode_speed > 1
    one = replace(found.split, decode_speed=1.0)
    assert replace(found, split=one).split.divisor(found.deployment) == found.split.divisor(found.deployment)
    assert experiment(replace(SPLIT, gpu="h200-sxm", quantization="fp8")).split.decode_speed == 1


def test_versions_of_a_wrapper_are_not_the_engines():
    assert experiment(replace(SPLIT, engine_version="0.8.1.post2")).deployment.engine_version == ""
    assert experiment(replace(TRT, engine_version="1.2.0rc6")).deployment.engine_version == "1.2.0rc6"


def test_lengths_that_a_dataset_does_not_state():
    assert _range_ratio("together_inferencex_baseline") == 0.0
    assert _range_ratio("inferencex_fixture") == 0.8


def test_suspicious_rows_are_named_by_date():
    row = first(
        dataset="inferencex_fixture",
        gpu="b200",
        engine="sglang",
        quantization="nvfp4",
        isl=8192,
        osl=1024,
        concurrency=4,
    )
    assert suspicious(replace(row, date="2025-12-10"))
    assert not suspicious(replace(row, date="2026-05-18"))
