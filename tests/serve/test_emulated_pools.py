"""Emulated prefill and decode workers: the twin's ticks from pool to pool, and its latencies through a gateway."""

import asyncio
import json

import numpy as np
import pytest
from live_gateway import CHAT, Front, call, run
from pool_front import POOLS
from random_cases import random_model
from test_emulate import drawn, fast_machine  # noqa: F401

from tokenworks.api import load
from tokenworks.events.requests import Requests
from tokenworks.ledger import Ledger
from tokenworks.rehearsal.plant import plant
from tokenworks.serve.building import services_of
from tokenworks.serve.emulate.start import emulated
from tokenworks.serve.limits.bound import Bounded
from tokenworks.serve.limits.joules import ServiceJoules
from tokenworks.serve.start import gateway
from tokenworks.twin.cell import FINISHED, Cell, ServicePlan, TwinOptions
from tokenworks.twin.live import LiveWorker
from tokenworks.twin.simulate import simulate

ASK = {"model": "chat", "messages": [{"role": "user", "content": "hi"}]}


def played(models, asked):
    """(first, finish, made) by request, both workers, and whether two events fell into one tick: two live workers, event by event."""
    prefill, decode = LiveWorker(models[0], "prefill"), LiveWorker(models[1], "decode")
    first, finish, made, filling, going = {}, {}, {}, {}, {}
    coming = [(int(t), n) for n, t in enumerate(asked.arrival)]
    moving, ticks = [], []  # of steps that ended, of caches that came

    def next_tick():
        due = [t for t in (prefill.due, decode.due) if t is not None]
        return min([*due, *(t for t, _ in coming[:1]), *(t for t, _, _ in moving)], default=None)

    while (now := next_tick()) is not None:
        for tick, steps in prefill.advance(now):
            ticks.append(tick)
            for step in steps:
                number = filling[step.request.number]
                first[number], made[number] = tick, 1
                moving.append((prefill.fetchable(step.request), number, step.request))
        for tick, steps in decode.advance(now):
            ticks.append(tick)
            for step in steps:
                number = going[step.request.number]
                made[number] += step.tokens
                if step.finished:
                    finish[number] = tick
        for entry in sorted(e for e in moving if e[0] == now):
            moving.remove(entry)
            ticks.append(now)
            prefill.release(entry[2], now)
            going[decode.take_over(entry[2], int(asked.output_tokens[entry[1]]), now).number] = entry[1]
        while coming and coming[0][0] == now:
            number = coming.pop(0)[1]
            entered = prefill.fill(int(asked.input_tokens[number]), now)
            if entered is not None:
                filling[entered.number] = number
    return first, finish, made, prefill, decode, len(set(ticks)) < len(ticks)


@pytest.mark.parametrize("seed", range(60))
def test_workers_of_two_pools_end_every_request_at_the_tick_at_which_the_twin_ends_it(seed):
    """Against the compiled kernel, on nasty models."""
    dice = np.random.default_rng(seed)
    models = (random_model(dice, 0), random_model(dice, 1))
    asked = drawn(dice, models[0])
    asked.arrival[:] = np.sort(dice.choice(10**6, len(asked), replace=False))  # no two in one tick
    most = min(m.kv_blocks * m.block_tokens for m in models)
    asked.input_tokens[:] = np.minimum(asked.input_tokens, max(1, most // 2))  # none that never fits
    asked.output_tokens[:] = np.minimum(
        asked.output_tokens + 1, most + 1 - asked.input_tokens
    )  # the first one is not all
    cell = Cell(models, (0, 1), (ServicePlan("s", prefill=(0,), decode=(1,)),))
    log = simulate(cell, asked, TwinOptions(record=True)).log
    first, finish, made, prefill, decode, ties = played(models, asked)
    done = [i for i in range(len(asked)) if log.status[i] == FINISHED]
    assert done
    if not ties:  # the twin builds a step when all that comes in its tick is there
        assert {i: int(log.first_token[i]) for i in done} == first
        assert {i: int(log.finish[i]) for i in done} == finish
    assert {i: int(asked.output_tokens[i]) for i in done} == made
    for worker in (prefill, decode):
        assert worker.outstanding == 0
        assert [rank.free for rank in worker.ranks] == [worker.model.kv_blocks] * worker.model.ranks


def pooled(**more):
    return load("laptop").replace_all({**POOLS, **more})


def through(tmp_path, bodies, speed=2.0, factory=None):
    """(answers, usage events, prefill and decode upstreams' loads) of calls through a gateway, each a moment after the other."""

    async def case():
        made = factory or pooled()
        with Ledger.open(tmp_path / "ledger.db") as ledger:
            async with emulated(made, speed, 8) as upstreams:
                services = services_of(made, upstreams)
                async with gateway(made, services, ledger, None, "127.0.0.1", 0) as listening:
                    front = Front(listening, [], ledger)
                    answers = await asyncio.gather(*(front.post(body) for body in bodies))
                    rows = await front.events(len(bodies))
                    return answers, rows, [r.outstanding for r in services[0].routers]

    return run(case())


def asked(input_tokens, output_tokens, **more):
    return {**ASK, "emulate": {"input_tokens": input_tokens, "output_tokens": output_tokens}, **more}


@pytest.mark.usefixtures("fast_machine")
def test_a_disaggregated_factory_is_served_by_emulated_workers(tmp_path):
    bodies = [asked(500, 12, stream=k % 2 == 0, stream_options=None) for k in range(4)]
    bodies = [{k: v for k, v in b.items() if v is not None} for b in bodies]
    answers, rows, loads = through(tmp_path, bodies, 20.0)
    assert [a[0] for a in answers] == [200] * 4
    whole = json.loads(answers[1][2])
    assert len(whole["choices"][0]["message"]["content"].split()) == 12
    assert whole["usage"]["completion_tokens"] == 12
    assert len(rows) == 4
    prompts, each = ServiceJoules(plant(pooled()).models).most_uj(Bounded(500, 12, 1))
    bound = prompts + 12 * each
    for row in rows:
        assert (row["input_fresh"], row["output_visible"], row["usage_status"]) == (500, 12, "final")
        assert 0 < row["energy_uj"] <= bound
    assert loads == [[0, 0], [0, 0]]


@pytest.mark.usefixtures("fast_machine")
def test_latencies_through_the_gateway_are_the_twins(tmp_path):
    """One call alone, slow enough for the machine's own milliseconds to be few: TTFT, and TPOT with the transfer in it."""
    prompt, output = 2000, 16
    made = plant(pooled())
    one = Requests(
        **{n: np.zeros(1, np.int64) for n in ("arrival", "timeout", "think")}, session=np.full(1, -1),
        input_tokens=np.full(1, prompt, np.int32), output_tokens=np.full(1, output, np.int32),
        service=np.zeros(1, np.int16), tenant=np.zeros(1, np.int32), priority=np.zeros(1, np.int8),
        block_start=np.zeros(2, np.int64), block_hash=np.zeros(0, np.uint64), hash_block_tokens=1,
    )  # fmt: skip
    log = simulate(made.cell, one, TwinOptions(record=True)).log
    first_s, finish_s = int(log.first_token[0]) / 1e11, int(log.finish[0]) / 1e11
    _, (row,), _ = through(tmp_path, [asked(prompt, output, stream=True)], speed=0.5)
    ttft_s, e2e_s = row["ttft_us"] / 1e6 * 0.5, row["duration_us"] / 1e6 * 0.5
    assert ttft_s == pytest.approx(first_s, abs=0.02)
    assert e2e_s - ttft_s == pytest.approx(finish_s - first_s, rel=0.05)


@pytest.mark.usefixtures("fast_machine")
def test_what_such_workers_are_not_asked_they_refuse():
    async def case():
        async with emulated(pooled(), 50.0, 4) as upstreams:
            found = []
            for upstream, params in (
                (upstreams["chat"][0], None),
                (upstreams["chat"][2], None),
                (
                    upstreams["chat"][2],
                    {"do_remote_prefill": True, "remote_engine_id": "worker-0", "remote_request_id": "7"},
                ),
            ):
                body = json.dumps({**ASK, "max_tokens": 1, "kv_transfer_params": params}).encode()
                found.append(await call(upstream._address.port, "POST", upstream._address.base + CHAT, body))
            return found

    answers = run(case())
    assert [a[0] for a in answers] == [400] * 3
    assert all(json.loads(a[2])["error"]["code"] == "kv_transfer_params" for a in answers)
