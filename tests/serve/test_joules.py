"""Budgets in joules: no call costs an emulated worker more than was reserved for it, and what it did not use comes back."""

import asyncio
import json
import subprocess
import sys
from contextlib import AsyncExitStack

import numpy as np
import pytest
from live_gateway import CHAT, call, run, several
from random_cases import random_model
from test_live_energy import drawn, played

from tokenworks.api import load
from tokenworks.errors import InputError
from tokenworks.events.requests import Requests
from tokenworks.ledger import GroupCommit, Ledger
from tokenworks.rehearsal.plant import plant
from tokenworks.serve.building import services_of
from tokenworks.serve.emulate.application import EmulatedEngines
from tokenworks.serve.emulate.clock import Clock
from tokenworks.serve.emulate.worker import EmulatedWorker
from tokenworks.serve.limits.bound import Bounded
from tokenworks.serve.limits.joules import ServiceJoules
from tokenworks.serve.limits.start import beside
from tokenworks.serve.start import Door, front
from tokenworks.serve.upstreams.upstream import Upstream
from tokenworks.twin.live import LiveWorker

BOUNDS = [{"service": "chat", "template_tokens": 64}]


def bound_uj(model, prompt, output):
    fixed, each = ServiceJoules([model]).most_uj(Bounded(prompt, output, 1))
    return fixed + each * output


def most_used(model, asked, dice=None):
    """The largest part of its bound that a call used."""
    _, ended = played(model, asked, dice)
    shares = [uj / bound_uj(model, int(asked.input_tokens[n]), int(asked.output_tokens[n])) for n, uj in ended.items()]
    return max(shares, default=0.0)


@pytest.mark.parametrize("leaving", [False, True], ids=["all stay", "some leave"])
def test_no_call_of_any_worker_costs_more_than_its_bound(leaving):
    """Batches, ranks, chunks, windows, preemption, speculation, tables that go up and down."""
    used = []
    for seed in range(300):
        dice = np.random.default_rng(seed)
        model = random_model(dice, 0)
        used.append(most_used(model, drawn(dice), dice if leaving else None))
    assert max(used) <= 1
    assert max(used) > 0.9  # and some get near it


def burst(inputs, outputs, gap_ticks):
    n = len(inputs)
    return Requests(
        arrival=np.arange(n, dtype=np.int64) * gap_ticks, input_tokens=np.array(inputs, np.int32),
        output_tokens=np.array(outputs, np.int32), service=np.zeros(n, np.int16), tenant=np.zeros(n, np.int32),
        session=np.full(n, -1), priority=np.zeros(n, np.int8), timeout=np.zeros(n, np.int64), think=np.zeros(n, np.int64),
        block_start=np.zeros(n + 1, np.int64), block_hash=np.zeros(0, np.uint64), hash_block_tokens=1,
    )  # fmt: skip


@pytest.mark.parametrize("gap_ticks", [0, 10**9, 10**11], ids=["at once", "10 ms apart", "alone"])
def test_no_call_of_a_compiled_worker_costs_more_and_one_alone_costs_most_of_it(gap_ticks):
    model = plant(load("laptop")).models[0]
    dice = np.random.default_rng(7)
    used = most_used(model, burst(dice.integers(1, 6000, 24), dice.integers(1, 40, 24), gap_ticks))
    assert used <= 1
    assert used > 0.6 or gap_ticks < 10**11


def test_who_leaves_in_the_middle_of_a_step_leaves_nothing_to_others_to_pay():
    model = plant(load("laptop")).models[0]
    worker, ended = LiveWorker(model), {}
    worker.enter(10, 5, 0)
    long = worker.enter(8000, 5, 0)
    list(worker.advance(worker.due))  # the first step ends, the second holds both
    assert long.chunk
    worker.drop(long)
    for _, steps in worker.advance(10**14):
        ended |= {step.request.number: step.energy_uj for step in steps if step.finished}
    assert set(ended) == {0}
    assert ended[0] <= bound_uj(model, 10, 5) < worker.shares.lost_uj


@pytest.mark.parametrize(("tokens", "prompts"), [(5, 1), (900, 3), (20_000, 7)])
def test_several_prompts_are_bounded_together(tokens, prompts):
    """As engines take the texts of one call apart."""
    model = plant(load("laptop")).models[0]
    joules = ServiceJoules([model])
    dice = np.random.default_rng(tokens)
    cuts = np.sort(dice.choice(np.arange(1, tokens), prompts - 1, replace=False))
    parts = np.diff([0, *cuts, tokens])
    apart = sum(joules.most_uj(Bounded(int(part), 0, 1))[0] for part in parts)
    assert apart <= joules.most_uj(Bounded(tokens, 0, 1, prompts))[0] or prompts == 1


async def asked_until_refused(tmp_path, joules, callers):
    """(statuses, headers of the last answers, events, what the books say) of callers who ask until they are refused."""
    factory = load("laptop").replace_all(
        {"serve": {"budgets": [{"name": "j", "per": "tenant", "joules": joules}], "bounds": BOUNDS}}
    )
    statuses, seen = [], []

    async def caller(port, number):
        for i in range(40):
            body = {"model": "chat", "messages": [{"role": "user", "content": f"{number} {i} " + "x" * 40 * number}]}
            body |= {"max_tokens": 5 + number, "stream": number % 3 == 0}
            if number % 3 == 0 and number % 2:
                body |= {"stream_options": {"include_usage": True}}
            status, headers, _ = await call(port, "POST", CHAT, json.dumps(body).encode())
            statuses.append(status)
            seen.append(headers)
            if status == 429:
                return

    worker = EmulatedWorker(plant(factory).models[0], Clock(50.0), asyncio.get_running_loop())
    with Ledger.open(tmp_path / "ledger.db") as ledger:
        async with AsyncExitStack() as stack:
            (engines,) = await stack.enter_async_context(several([EmulatedEngines([worker], 0)]))
            upstreams = {"chat": [Upstream(f"http://127.0.0.1:{engines}/0")]}
            group = await stack.enter_async_context(GroupCommit(ledger))
            door = Door(budgets=beside(ledger.store.place), emulated=True)
            services = services_of(factory, upstreams)
            listening = await stack.enter_async_context(front(factory, services, group, None, door))
            await asyncio.gather(*(caller(listening.port, n) for n in range(callers)))
            await asyncio.sleep(0.1)
            spent = dict(listening.app.limits.desk.spent)
        return statuses, seen, ledger.usage_table().to_pylist(), spent


def test_callers_together_never_exceed_it_and_it_settles_to_the_microjoule(tmp_path):
    statuses, seen, rows, spent = run(asked_until_refused(tmp_path, 3000, 12))
    assert set(statuses) == {200, 429}
    told = [row["energy_uj"] for row in rows]
    assert None not in told
    assert spent == {"j|local|total": sum(told)}
    assert 0.8 * 3000e6 < sum(told) <= 3000e6
    left = [headers["x-tokenworks-budget-remaining"] for headers in seen if "x-tokenworks-budget-remaining" in headers]
    assert all(said.startswith("j=") and said.endswith(" J") for said in left)


def test_a_real_upstream_under_joules_is_refused_at_the_start(tmp_path):
    factory = load("laptop").replace_all(
        {
            "serve": {
                "upstreams": [{"service": "chat", "url": "http://127.0.0.1:9"}],
                "budgets": [{"name": "j", "joules": 5000}],
                "bounds": BOUNDS,
            }
        }
    )
    (tmp_path / "desk.yaml").write_text(factory.to_yaml())
    command = [sys.executable, "-m", "tokenworks", "serve", "desk.yaml", "--port", "0", "--processes", "1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2, done.stderr
    assert "the budget j counts joules" in done.stderr
    assert "--emulate" in done.stderr


@pytest.mark.parametrize(
    "budget", [{"joules": 5000, "tokens": 3}, {"joules": 0}, {"joules": 10**13}, {"joules": "5 kJ"}, {}]
)
def test_a_budget_has_one_amount(budget):
    with pytest.raises(InputError, match="budgets"):
        load("laptop").replace_all({"serve": {"budgets": [{"name": "j", **budget}]}})
