"""An emulated worker's metrics page: read as a real engine's, its joules those of the twin."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hand_clock import worker_by_hand
from live_gateway import CHAT, call, run
from random_cases import random_model
from test_emulate import drawn, fast_machine  # noqa: F401 - a fixture

from tokenworks.api import load
from tokenworks.physics.worker_model import TICKS_PER_S
from tokenworks.rehearsal.plant import plant
from tokenworks.serve.emulate.loaded import Loaded, loaded_of
from tokenworks.serve.emulate.page import page_of
from tokenworks.serve.emulate.start import emulated
from tokenworks.serve.telemetry.samples import samples
from tokenworks.serve.upstreams.engine_page import state_of
from tokenworks.twin.cell import Cell, ServicePlan, TwinOptions
from tokenworks.twin.simulate import simulate


def nothing(tokens, last, energy_uj): ...


@pytest.mark.parametrize("seed", range(40))
def test_the_joules_are_those_of_the_twin(seed):
    """To the microjoule, dynamic and static, whenever the page is looked at meanwhile; then 3 s of doing nothing."""
    dice = np.random.default_rng(seed)
    model = random_model(dice, 0)
    asked = drawn(dice, model)
    asked.arrival[:] = np.sort(dice.choice(10**12, len(asked), replace=False))
    end = 10**12 + 10**16  # long enough for the slowest tables
    twin = simulate(
        Cell((model,), (0,), (ServicePlan("s", workers=(0,)),)), asked, TwinOptions(horizon_ticks=end)
    ).workers
    worker, clock = worker_by_hand(model)
    for arrival, prompt, output in zip(asked.arrival, asked.input_tokens, asked.output_tokens, strict=True):
        clock.tick = max(clock.tick, int(arrival) - int(dice.integers(1, 1000)))
        before = worker.energy().total_uj
        clock.tick = int(arrival)
        assert worker.energy().total_uj >= before
        worker.ask(int(prompt), int(output), nothing)
    while worker._worker.due is not None:
        clock.tick = worker._worker.due
        worker.energy()
    assert clock.tick < end
    clock.tick = end
    found = worker.energy()
    assert found.dynamic_uj == twin.dynamic_uj[0]
    assert found.static_uj + found.idle_uj == twin.static_uj[0]
    assert worker.counts.generation_tokens == sum(
        int(n) for n in asked.output_tokens[: len(asked)][_taken(model, asked)]
    )


def _taken(model, asked):
    """Requests that fit the worker."""
    blocks = -(-(asked.input_tokens.astype(np.int64) + asked.output_tokens - 1) // model.block_tokens)
    return blocks <= model.kv_blocks


def test_the_lookout_reads_what_the_worker_does():
    """Of laptop's worker, in the middle of 100 requests, of which 64 may be in a batch."""
    made = plant(load("laptop"))
    model = replace(made.models[0], max_seqs=64)
    worker, clock = worker_by_hand(model, loaded_of(made)[0])
    idle = state_of(page_of(worker).decode())
    assert (idle.running, idle.waiting, idle.kv_used, idle.watts, idle.joules) == (0, 0, 0.0, model.idle_w, 0.0)
    requests = [worker.ask(100, 200, nothing) for _ in range(100)]
    clock.tick = 2 * TICKS_PER_S
    text = page_of(worker).decode()
    state, page = state_of(text), samples(text)
    assert (state.running, state.waiting) == (64, 36)
    used = sum(r.held for r in requests) / model.kv_blocks
    assert 0 < used < 1
    assert state.kv_used == pytest.approx(used, rel=1e-5)
    assert state.speed == 1.0
    made_tokens = sum(r.produced for r in requests)
    assert page.total("vllm:generation_tokens_total", model_name="llama-3.1-8b") == made_tokens
    assert page.total("vllm:prompt_tokens_total") == 100 * 64
    assert page.total("vllm:time_to_first_token_seconds_count") == 64
    assert page.total("vllm:e2e_request_latency_seconds_count") == 0
    assert page.total("DCGM_FI_DEV_POWER_USAGE", modelName="rtx-4090") == state.watts
    joules = [page.total(f"tokenworks_worker_{kind}_joules_total") for kind in ("dynamic", "static", "idle")]
    assert state.joules == pytest.approx(sum(joules), abs=0.002)
    assert state.static_joules == pytest.approx(joules[1] + joules[2])
    assert joules[1] == pytest.approx(model.levels[0].active_w * 2.0)  # it never paused


def test_latencies_are_those_of_the_requests():
    model = plant(load("laptop")).models[0]
    worker, clock = worker_by_hand(model)
    request = worker.ask(64, 11, nothing)
    clock.tick = 10 * TICKS_PER_S
    page = samples(page_of(worker).decode())
    seconds = lambda ticks: pytest.approx(ticks / TICKS_PER_S, abs=1e-6)  # noqa: E731
    assert page.total("vllm:time_to_first_token_seconds_sum") == seconds(request.first)
    assert page.total("vllm:request_time_per_output_token_seconds_sum") == seconds(
        (request.finish - request.first) / 10
    )
    assert page.total("vllm:e2e_request_latency_seconds_sum") == seconds(request.finish)


def test_watts_are_the_mean_of_the_last_second():
    model = plant(load("laptop")).models[0]
    worker, clock = worker_by_hand(model)
    for _ in range(8):
        worker.ask(64, 2000, nothing)
    clock.tick = 4 * TICKS_PER_S
    before = worker.energy().total_uj
    assert worker.watts() > model.levels[0].active_w
    clock.tick = 5 * TICKS_PER_S
    drawn_w = (worker.energy().total_uj - before) / 1e6
    assert worker.watts() == pytest.approx(drawn_w, rel=0.02)  # readings are kept every 0.1 s
    clock.tick = 1000 * TICKS_PER_S
    worker.watts()
    clock.tick = 1002 * TICKS_PER_S
    assert worker.watts() == pytest.approx(model.idle_w)


def test_preempted_requests_are_counted_once_for_each_time():
    """A cache of few blocks: two long answers cannot both stay."""
    model = replace(plant(load("laptop")).models[0], kv_blocks=40)
    worker, clock = worker_by_hand(model)
    requests = [worker.ask(16, 500, nothing) for _ in range(2)]
    clock.tick = 60 * TICKS_PER_S
    page = samples(page_of(worker).decode())
    assert sum(r.preemptions for r in requests) > 0
    assert page.total("vllm:num_preemptions_total") == sum(r.preemptions for r in requests)
    assert page.total("vllm:generation_tokens_total") == 1000
    assert page.total("vllm:prompt_tokens_total") == 32


def test_boards_and_ranks_have_lines_of_their_own_that_add_up():
    model = replace(random_model(np.random.default_rng(2), 0), ranks=1, gpus=3)
    model = replace(model, levels=tuple(replace(level, active_w=301.0) for level in model.levels))
    worker, clock = worker_by_hand(model, Loaded('a"b', "b200"))
    clock.tick = 7 * TICKS_PER_S + 12345678
    page = samples(page_of(worker).decode())
    energy = [mj for _, mj in page.having("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", modelName="b200")]
    assert len(energy) == 3
    assert sum(energy) == worker.energy().total_uj // 1000
    assert max(energy) - min(energy) <= 1
    assert [watts for _, watts in page.having("DCGM_FI_DEV_POWER_USAGE")] == pytest.approx([50 / 3] * 3, abs=1e-3)
    assert page.values("vllm:num_requests_running", "model_name") == ['a"b']


def test_a_worker_that_is_off_draws_nothing():
    model = plant(load("laptop")).models[0]
    worker, clock = worker_by_hand(model)
    clock.tick = 10 * TICKS_PER_S
    worker.turn(False)
    worker.turn(False)
    clock.tick = 60 * TICKS_PER_S
    assert worker.energy().total_uj == pytest.approx(10e6 * model.idle_w)
    worker.turn(True)
    clock.tick = 65 * TICKS_PER_S
    assert worker.energy().total_uj == pytest.approx(15e6 * model.idle_w)


@pytest.mark.usefixtures("fast_machine")
def test_pages_are_served_by_worker_and_named_to_the_gateway():
    async def case():
        async with emulated(load("laptop"), 50.0, 0) as upstreams:
            (upstream,) = upstreams["chat"]
            address = upstream._address
            body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5}).encode()
            await call(address.port, "POST", address.base + CHAT, body)
            assert upstream.metrics == f"http://127.0.0.1:{address.port}/0/metrics"
            found = await call(address.port, "GET", "/0/metrics")
            return found, (await call(address.port, "GET", "/1/metrics"))[0]

    (status, headers, body), other = run(case())
    assert (status, other) == (200, 404)
    assert headers["content-type"].startswith("text/plain; version=0.0.4")
    page = samples(body.decode())
    assert page.total("vllm:generation_tokens_total") == 5
    assert page.total("tokenworks_worker_speed") == 50
    assert b"# TYPE vllm:num_requests_running gauge" in body
    assert b"# TYPE DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION counter" in body
