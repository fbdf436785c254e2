"""A service in a closed loop: Little's law, and the most callers within limits."""

import math

import pytest
from closed_loop import ClosedLoop, Lengths, Limits

from tokenworks.errors import InputError

SERVICE = {"model": "llama-3.1-8b", "precision": "fp8", "kv_precision": "fp8", "engine": "vllm", "max_seqs": 512}
LENGTHS = Lengths(400, 200)


@pytest.fixture(scope="module")
def loop() -> ClosedLoop:
    return ClosedLoop("hgx-h100", SERVICE, LENGTHS, 4.0)


@pytest.mark.parametrize("clients", [1, 8, 60])
def test_callers_times_answers_is_throughput_times_life(loop, clients):
    """Little's law ties three figures that are measured apart; the rest is what starts before and ends after the horizon."""
    found = loop.at(clients)
    life_s = found.ttft_s + found.tpot_s * (LENGTHS.output_tokens - 1)
    assert found.tokens_s_gpu * life_s / LENGTHS.output_tokens == pytest.approx(clients, rel=0.12)
    assert found.gpus == 1
    assert 50 < found.board_w < 1000


def test_more_callers_are_slower_and_give_more(loop):
    few, many = loop.at(4), loop.at(64)
    assert many.tokens_s_gpu > few.tokens_s_gpu
    assert many.tpot_s > few.tpot_s


@pytest.mark.parametrize("start", [1, 40, 900])
def test_the_most_callers_keep_the_limits_and_a_twentieth_more_do_not(loop, start):
    limits = Limits(1.0, loop.at(50).tpot_s)
    found = loop.most(limits, start)
    assert found.keeps(limits)
    assert not loop.at(math.ceil(found.clients * 1.05) + 1).keeps(limits)


def test_limits_that_one_caller_breaks_have_no_answer(loop):
    assert loop.most(Limits(1.0, 1e-5), 50) is None


def test_pools_count_all_their_gpus_on_as_many_systems_as_they_need():
    pools = {"prefill": {"tp": 2, "workers": 3}, "decode": {"tp": 4, "workers": 2, "max_seqs": 256}}
    split = {k: v for k, v in SERVICE.items() if k != "max_seqs"} | pools
    loop = ClosedLoop("hgx-h100", split, LENGTHS, 4.0)
    assert loop.gpus == 14
    assert loop.made.factory.systems[0].count == 2
    assert loop.at(20).tokens_s_gpu > 0


@pytest.mark.parametrize("life_s", [0.0, -1.0, math.inf])
def test_a_life_that_is_none_is_refused(life_s):
    with pytest.raises(InputError, match="life"):
        ClosedLoop("hgx-h100", SERVICE, LENGTHS, life_s)
