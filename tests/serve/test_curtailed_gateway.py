"""A gateway over emulated workers through a curtailment: the least urgent service gives replicas up, and gets them back."""

import asyncio

import pytest
from live_gateway import call, run
from test_emulate import fast_machine  # noqa: F401 - a fixture

from tokenworks.api import load
from tokenworks.errors import InputError
from tokenworks.ledger import Ledger
from tokenworks.rehearsal.plant import idle_w
from tokenworks.serve.building import services_of
from tokenworks.serve.emulate.start import emulated
from tokenworks.serve.start import gateway
from tokenworks.serve.steer import steering
from tokenworks.serve.steer.start import scaled_plant, steered

FILE = """
factory: evening
site:
  power: {scope: board}
  curtailment: [{from: "17:00", to: "17:01", budget: BUDGET W}]
systems: [{id: box, system: hgx-h100}]
services:
  - name: batch
    model: llama-3.1-8b
    precision: fp8
    workers: 3
    scaling: {min: 0, every: 2 s, start_up: 1 s, predictor: constant}
  - name: chat
    model: llama-3.1-8b
    precision: fp8
    workers: 2
    scaling: {min: 1, every: 2 s, start_up: 1 s, predictor: constant}
workload:
  - {service: batch, priority: 5, arrivals: {kind: poisson}, scale: 2 req/s}
  - {service: chat, arrivals: {kind: poisson}, scale: 2 req/s}
run: {horizon: 60 s, seed: 1, start: "16:59"}
"""
SPEED = 20.0  # the curtailment lasts three seconds


def factory(tmp_path, watts):
    file = tmp_path / "evening.yaml"
    file.write_text(FILE.replace("BUDGET", str(watts)))
    return load(str(file))


def budget_of(tmp_path, replicas):
    """Watts of the site that feed so many replicas of either service at their load, and the GPUs that nobody uses."""
    first, last = (draw.replica_w for draw in scaled_plant(factory(tmp_path, 5000)).draws)
    assert first == pytest.approx(last, rel=0.05)
    return round(replicas * max(first, last) + 3 * idle_w("hgx-h100"))


@pytest.mark.usefixtures("fast_machine")
def test_through_a_curtailment(tmp_path, monkeypatch):
    monkeypatch.setattr(steering, "decide", lambda rules, memory, seen: memory._replace(replicas=rules.most))
    made = factory(tmp_path, budget_of(tmp_path, 3.5))

    async def main():
        async with emulated(made, SPEED, 8) as upstreams:
            services = services_of(made, upstreams)
            with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
                async with (
                    steered(made, services, SPEED),
                    gateway(made, services, ledger, None, "127.0.0.1", 0) as front,
                ):
                    batch, chat = (s.router for s in services)
                    assert (batch.up, chat.up) == ([True] * 3, [True] * 2)
                    await until(lambda: batch.up == [True, False, False])
                    assert chat.up == [True, True]
                    page = (await call(front.port, "GET", "/v1/metrics"))[2].decode()
                    await until(lambda: batch.up == [True] * 3)
                    assert chat.up == [True, True]
                    return page

    page = run(main())
    assert 'tokenworks_scaling_replicas{service="batch",kind="wanted"} 3' in page
    assert 'tokenworks_scaling_replicas{service="batch",kind="granted"} 1' in page
    assert 'tokenworks_scaling_held_total{service="chat",reason="power"} 0' in page
    held = next(line for line in page.splitlines() if line.startswith('tokenworks_scaling_held_total{service="batch"'))
    assert int(held.split()[-1]) >= 1


def test_a_service_that_could_never_start_is_named(tmp_path):
    file = tmp_path / "never.yaml"
    small = FILE.replace("{scope: board}", "{scope: board, budget: BUDGET W}").replace(
        'curtailment: [{from: "17:00", to: "17:01", budget: BUDGET W}]', "curtailment: []"
    )
    file.write_text(small.replace("BUDGET", str(budget_of(tmp_path, 1.5))))
    with pytest.raises(InputError, match=r"service batch: a replica draws .* it could never start"):
        scaled_plant(load(str(file)))


async def until(true):
    while not true():
        await asyncio.sleep(0.005)
