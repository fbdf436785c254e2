"""Joules from emulated workers to the ledger: what the calls used, and nothing twice."""

import asyncio
import json

import numpy as np
import pytest
from live_gateway import CHAT, call, run, several

from tokenworks.api import load
from tokenworks.events.requests import Requests
from tokenworks.ledger import Ledger
from tokenworks.rehearsal.plant import plant
from tokenworks.serve.body.usage import told
from tokenworks.serve.building import services_of, upstreams_of
from tokenworks.serve.emulate.application import EmulatedEngines
from tokenworks.serve.emulate.clock import Clock
from tokenworks.serve.emulate.loaded import loaded_of
from tokenworks.serve.emulate.worker import EmulatedWorker
from tokenworks.serve.start import gateway
from tokenworks.serve.telemetry.samples import samples
from tokenworks.serve.top.reach import reading
from tokenworks.serve.top.window import now
from tokenworks.twin.cell import TwinOptions
from tokenworks.twin.reference import FINE
from tokenworks.twin.simulate import simulate

BODY = {"model": "chat", "messages": [{"role": "user", "content": "x" * 400}], "max_tokens": 12}


def test_the_events_of_all_calls_hold_the_joules_of_the_worker(tmp_path):
    """But for less than a microjoule that waits for the next call."""
    factory = load("laptop")

    async def calls():
        worker = EmulatedWorker(plant(factory).models[0], Clock(50.0), asyncio.get_running_loop())
        entered, stated = worker.ask, {}  # microjoules by tokens, of which each call has its own number

        def ask(prompt, output, tell):
            def hear(tokens, last, energy_uj):
                stated[output] = energy_uj
                tell(tokens, last, energy_uj)

            return entered(prompt, output, hear)

        worker.ask = ask
        async with several([EmulatedEngines([worker], 0)]) as (port,):
            rows = [{"service": "chat", "url": f"http://127.0.0.1:{port}/0"}]
            shop = factory.replace_all({"serve": {"upstreams": rows}})
            with Ledger.open(tmp_path / "ledger.db") as ledger:
                async with gateway(shop, services_of(shop, upstreams_of(shop)), ledger, None, "127.0.0.1", 0) as front:
                    bodies = [{**BODY, "max_tokens": n, "stream": n % 2 == 0} for n in range(5, 17)]
                    asked = (call(front.port, "POST", CHAT, json.dumps(body).encode()) for body in bodies)
                    assert [status for status, _, _ in await asyncio.gather(*asked)] == [200] * 12
                return ledger.usage_table().to_pylist(), worker._worker, stated

    rows, worker, stated = run(calls())
    inner = worker._worker
    energies = [row["energy_uj"] for row in rows]
    assert min(energies) > 0
    assert (
        sum(energies) + worker.shares.lost_uj
    ) * FINE + worker.shares.carried == inner.joules * FINE + inner.joule_carry
    assert {row["output_visible"]: row["energy_uj"] for row in rows} == stated


def test_only_a_stated_and_sane_energy_is_believed():
    usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    said = {None: None, 12: 12, 0: 0, -1: None, "7": None, 1.5: None, 2**70: None}
    for stated, found in said.items():
        more = {} if stated is None else {"energy_uj": stated}
        known = told(json.dumps({**usage, **more}).encode(), 0, True)
        assert known.energy_uj == found, stated
        assert (known.buckets.input_fresh, known.buckets.output_visible) == (5, 2)


def test_the_gateways_joules_are_those_of_the_twin_under_the_same_load(tmp_path):
    """A worker at 20 times the speed, calls now and then: its joules by the gateway's page against a rehearsal of the same
    calls to the same tick; events hold all but the static draw."""
    factory, speed = load("laptop"), 20.0
    made = plant(factory)
    sizes = [(40 * k % 700 + 16, 9 * k % 120 + 4) for k in range(1, 31)]

    async def calls():
        clock = Clock(speed)
        worker, arrivals = EmulatedWorker(made.models[0], clock, asyncio.get_running_loop(), loaded_of(made)[0]), []
        asked = worker.ask

        def ask(prompt, output, tell):
            request = asked(prompt, output, tell)
            arrivals.append((request.arrival, prompt, output))
            return request

        worker.ask = ask
        async with several([EmulatedEngines([worker], 0)]) as (port,):
            url = f"http://127.0.0.1:{port}/0"
            serve = {"upstreams": [{"service": "chat", "url": url, "metrics": f"{url}/metrics"}], "look": "20 ms"}
            shop = factory.replace_all({"serve": serve})
            with Ledger.open(tmp_path / "ledger.db") as ledger:
                async with gateway(shop, services_of(shop, upstreams_of(shop)), ledger, None, "127.0.0.1", 0) as front:

                    async def one(k, prompt, output):
                        await asyncio.sleep(0.05 * k)
                        stated = {"input_tokens": prompt, "output_tokens": output}
                        body = {"model": "chat", "messages": BODY["messages"], "emulate": stated}
                        return (await call(front.port, "POST", CHAT, json.dumps(body).encode()))[0]

                    statuses = await asyncio.gather(*(one(k, *size) for k, size in enumerate(sizes)))
                    assert statuses == [200] * len(sizes)
                    await asyncio.sleep(0.1)  # a few looks
                    page = (await call(front.port, "GET", "/v1/metrics"))[2].decode()
                    until = clock.now()
                    top = await asyncio.to_thread(reading, f"http://127.0.0.1:{front.port}")
                return ledger.usage_table().to_pylist(), samples(page), until, arrivals, now(top, top)

    rows, page, until, arrivals, top = run(calls())
    twin = simulate(made.cell, as_requests(arrivals), TwinOptions(horizon_ticks=until)).workers
    joules = page.total("tokenworks_upstream_energy_joules_total", service="chat")
    static = page.total("tokenworks_upstream_static_joules_total", service="chat")
    assert joules == pytest.approx((twin.dynamic_uj[0] + twin.static_uj[0]) / 1e6, rel=0.03)
    assert static == pytest.approx(twin.static_uj[0] / 1e6, rel=0.03)
    assert sum(row["energy_uj"] for row in rows) / 1e6 == pytest.approx(joules - static, abs=0.003)
    assert min(static, joules - static) > 0.05 * joules  # neither is a rounding error of the other
    assert top.joules >= joules
    assert top.watts > 0
    assert top.speed == speed


def as_requests(rows):
    """(arrival, prompt, output), for the twin."""
    arrival, prompt, output = (np.array(column) for column in zip(*sorted(rows), strict=True))
    n = len(rows)
    return Requests(
        arrival=arrival.astype(np.int64), input_tokens=prompt.astype(np.int32), output_tokens=output.astype(np.int32),
        service=np.zeros(n, np.int16), tenant=np.zeros(n, np.int32), session=np.full(n, -1), priority=np.zeros(n, np.int8),
        timeout=np.zeros(n, np.int64), think=np.zeros(n, np.int64), block_start=np.zeros(n + 1, np.int64),
        block_hash=np.zeros(0, np.uint64), hash_block_tokens=1,
    )  # fmt: skip
