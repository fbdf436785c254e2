"""Errors of predictions that no fit had seen: signs, halves, and what bounds are made of."""

import math

import pytest

from tokenworks.accuracy.held_out import as_residuals, errors, unseen
from tokenworks.accuracy.intervals import NOVELTIES
from tokenworks.accuracy.rows import measurement
from tokenworks.accuracy.validate import OK, Answer

ROW = {
    "id": "1", "gpu": "h100-sxm", "gpus": "1", "model": "llama-3.1-8b", "engine": "vllm", "serving": "closed_loop", "osl": "100",
    "concurrency": "8", "output_tokens_s_gpu": "90", "ttft_ms_mean": "300", "tpot_ms_median": "22",
}  # fmt: skip
ANSWER = Answer(OK, rate=(100.0, 1.0, 1.0), ttft_mean=200.0, tpot_median=20.0)


def test_an_error_is_the_log_of_measured_over_predicted():
    (found,) = errors([(measurement(ROW), ANSWER)])
    assert found.mode == "closed"
    assert (found.ttft, found.tpot, found.throughput) == pytest.approx((math.log(1.5), math.log(1.1), math.log(0.9)))


def test_a_row_without_one_of_the_three_is_left_out():
    assert errors([(measurement({**ROW, "ttft_ms_mean": ""}), ANSWER)]) == []


def test_an_open_loop_gives_what_it_is_asked_for():
    one = measurement(
        {**ROW, "serving": "open_loop", "concurrency": "", "request_rate": "2", "output_tokens_s_gpu": ""}
    )
    (found,) = errors([(one, ANSWER)])
    assert (found.mode, found.throughput) == ("open", 0.0)
    assert {metric for metric, _, _ in as_residuals([found])} == {"ttft", "tpot"}


def test_a_group_is_never_in_both_halves():
    engines = [errors([(measurement({**ROW, "engine": e, "concurrency": c}), ANSWER)])[0].half
               for e in ("vllm", "sglang", "tensorrt-llm") for c in ("4", "8", "16")]  # fmt: skip
    assert [engines[i : i + 3] for i in (0, 3, 6)] == [[engines[i]] * 3 for i in (0, 3, 6)]


def test_both_halves_hold_hundreds_of_shipped_errors():
    found = unseen()
    counts = [sum(e.half == h and e.mode == "closed" for e in found) for h in (0, 1)]
    assert min(counts) > 500
    table = as_residuals(found)
    assert all(table["tpot", "closed", n] == table["tpot", "closed", NOVELTIES[0]] for n in NOVELTIES)
