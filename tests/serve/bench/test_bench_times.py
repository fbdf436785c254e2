"""What the bench measures is what the server did, to the microsecond of a clock that both share."""

import asyncio
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from benched import EXACT, at, benched
from scripted_server import Scripted, chunk, steady, usage

from tokenworks.errors import InputError
from tokenworks.serve.bench.demand import demand_of
from tokenworks.serve.bench.measures import Objectives
from tokenworks.spec.demand import Workload


def test_an_open_loop_measures_what_the_server_did():
    found = benched(Scripted(), at(0.0, 0.1, 0.5)).figures
    assert (found.done, found.failed) == (3, 0)
    for ttft in (found.ttft.least, found.ttft.most):
        assert ttft == pytest.approx(0.03, abs=EXACT)
    for gap in (found.itl.least, found.itl.most, found.tpot.least, found.tpot.most):
        assert gap == pytest.approx(0.005, abs=EXACT)
    assert found.itl.count == 9
    assert found.e2e.p(50) == pytest.approx(0.045, abs=EXACT)
    assert found.span_s == pytest.approx(0.545, abs=EXACT)
    assert found.output_tokens_s == pytest.approx(12 / 0.545, rel=1e-5)
    assert found.lateness.most < EXACT


def test_requests_leave_at_their_times_and_do_not_wait_for_each_other():
    server = Scripted(partial(steady, ttft_s=10.0))
    benched(server, at(0.0, 0.25, 0.25, 1.0))
    times = [asked[0] for asked in server.requests]
    assert np.diff(times) == pytest.approx([0.25, 0.0, 0.75], abs=EXACT)


def test_a_stall_counts_for_all_who_should_have_come():
    """One worker of 0.1 s, callers every 0.05 s: the k-th waits k × 0.05 s longer, by Lindley's recursion."""
    turn = asyncio.Lock()

    async def one_by_one(server, body, say):
        async with turn:
            await asyncio.sleep(0.1)
            await say(chunk(finish="stop"))
            await say("[DONE]")

    result = benched(Scripted(one_by_one), at(*(0.05 * k for k in range(10)), outputs=1))
    waits = [answer.ttft_s for answer in result.answers]
    assert waits == pytest.approx([0.1 + 0.05 * k for k in range(10)], abs=EXACT)


def test_a_closed_loop_keeps_its_clients_busy_and_lets_them_think():
    load = Workload.model_validate(
        {
            "service": "x",
            "arrivals": {"kind": "closed-loop", "clients": 2, "requests": 6},
            "input": {"mean": 20},
            "output": {"mean": 4},
        }
    )
    demand = demand_of(load, 0.0, 60.0, seed=1)
    demand = replace(demand, requests=replace(demand.requests, think=np.full(6, 2 * 10**10)))  # 0.2 s each
    server = Scripted()
    result = benched(server, demand)
    begins = [asked[0] - server.requests[0][0] for asked in server.requests]
    assert begins == pytest.approx([0, 0, 0.245, 0.245, 0.49, 0.49], abs=1e-5)
    assert result.figures.ttft.most == pytest.approx(0.03, abs=EXACT)
    assert result.demand.clients == 2


def test_a_call_of_an_agent_waits_for_those_before_it_and_thinks():
    demand = at(0.0, 0.0, 0.0, 0.0)  # 1 and 2 follow 0; 3 follows both
    linked = replace(
        demand.requests,
        output_tokens=np.array([2, 3, 5, 1], np.int32),
        think=np.array([0, 10, 20, 30]) * 10**9,  # 0, 10, 20, 30 … × 10 ms
        after_start=np.array([0, 0, 1, 2, 4]),
        after=np.array([0, 0, 1, 2]),
    )
    server = Scripted()
    benched(server, replace(demand, requests=linked))
    begins = {asked[2]["max_tokens"]: asked[0] - server.requests[0][0] for asked in server.requests}
    ends = {2: 0.035, 3: 0.035 + 0.1 + 0.04, 5: 0.035 + 0.2 + 0.05}
    assert begins[3] == pytest.approx(ends[2] + 0.1, abs=1e-5)
    assert begins[5] == pytest.approx(ends[2] + 0.2, abs=1e-5)
    assert begins[1] == pytest.approx(max(ends[3], ends[5]) + 0.3, abs=1e-5)


def test_what_follows_a_failed_call_is_never_sent():
    async def refuses(server, body, say):
        await say((503, {"error": {"message": "full"}})) if body["max_tokens"] == 2 else await steady(server, body, say)

    demand = at(0.0, 0.0, 0.3)
    linked = replace(
        demand.requests,
        output_tokens=np.array([2, 3, 4], np.int32),
        after_start=np.array([0, 0, 1, 1]),
        after=np.array([0]),
    )
    result = benched(Scripted(refuses), replace(demand, requests=linked))
    assert (result.figures.done, result.figures.failed, result.never_sent) == (1, 1, 1)


def test_requests_of_the_warm_up_are_sent_and_not_counted():
    async def slow_first(server, body, say):
        await steady(server, body, say, ttft_s=5.0 if len(server.requests) == 1 else 0.03)

    found = benched(Scripted(slow_first), at(0.0, 1.0, 2.0), warmup_s=0.5).figures
    assert (found.done, found.warmup) == (2, 1)
    assert found.ttft.most == pytest.approx(0.03, abs=EXACT)


def test_goodput_counts_requests_that_keep_every_objective():
    async def slower_and_slower(server, body, say):
        number = len(server.requests) - 1
        await steady(server, body, say, ttft_s=0.02 + 0.02 * number, tpot_s=0.01 if number == 0 else 0.001)

    demand = at(*range(5))
    for objectives, good in (
        (Objectives(ttft_s=0.07), 3),
        (Objectives(tpot_s=0.005), 4),
        (Objectives(ttft_s=0.07, tpot_s=0.005), 2),
        (Objectives(e2e_s=0.0435), 1),
    ):
        assert benched(Scripted(slower_and_slower), demand, objectives=objectives).figures.good == good, objectives


def test_a_generator_that_cannot_keep_up_refuses_to_report():
    async def blocks(server, body, say):
        asyncio.get_running_loop().busy(0.2)  # the generator's own loop does something else
        await steady(server, body, say)

    demand = at(*(0.01 * k for k in range(20)))
    with pytest.raises(InputError, match=r"generator was the limit.*nothing is reported"):
        benched(Scripted(blocks), demand)
    found = benched(Scripted(blocks), demand, most_late_s=60.0).figures
    assert found.lateness.most > 0.1  # said where it is allowed
    assert found.ttft.most > found.lateness.most  # and part of the latency: nothing is omitted


def test_latency_counts_from_the_schedule_not_from_the_late_start():
    """One request is sent, by a busy loop, 0.2 s late: its TTFT has these 0.2 s."""

    async def blocks_once(server, body, say):
        if len(server.requests) == 1:
            asyncio.get_running_loop().busy(0.2)
        await steady(server, body, say)

    result = benched(Scripted(blocks_once), at(0.0, 0.1), most_late_s=1.0)
    late = result.answers[1]
    assert late.sent_s - late.at_s == pytest.approx(0.1, abs=1e-5)
    assert late.ttft_s == pytest.approx(0.1 + 0.03, abs=1e-5)


def test_tokens_are_the_servers_own_count_and_chunks_are_checked_against_it():
    async def two_in_a_chunk(server, body, say):
        await asyncio.sleep(0.1)
        for number in range(3):
            await say(chunk("two words "))
            await asyncio.sleep(0.02 if number < 2 else 0)
        await say(chunk("", finish="length"))
        await say(usage(40, 6, cached=30))
        await say("[DONE]")

    found = benched(Scripted(two_in_a_chunk), at(0.0, 1.0)).figures
    assert found.counting == replace(found.counting, told=2, tokens=12, chunks=6, odd=0, untold=0)
    assert found.tpot.mean == pytest.approx(0.04 / 5, abs=EXACT)
    assert found.itl.mean == pytest.approx(0.02, abs=EXACT)
    assert found.cached_share == pytest.approx(0.75)

    async def untold(server, body, say):
        await asyncio.sleep(0.1)
        await say(chunk())
        await say(chunk(finish="stop"))
        await say("[DONE]")

    counting = benched(Scripted(untold), at(0.0)).figures.counting
    assert (counting.told, counting.untold) == (0, 1)

    async def fewer_than_seen(server, body, say):
        await asyncio.sleep(0.1)
        for _ in range(5):
            await say(chunk(finish="stop"))
        await say(usage(40, 3))
        await say("[DONE]")

    assert benched(Scripted(fewer_than_seen), at(0.0)).figures.counting.odd == 1
