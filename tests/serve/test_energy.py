"""Joules from emulated workers to the ledger: what the calls used, and nothing twice."""

import asyncio
import json

from live_gateway import CHAT, call, run, several

from tokenworks.api import load
from tokenworks.ledger import Ledger
from tokenworks.rehearsal.plant import plant
from tokenworks.serve.body.usage import told
from tokenworks.serve.building import services_of, upstreams_of
from tokenworks.serve.emulate.application import EmulatedEngines
from tokenworks.serve.emulate.clock import Clock
from tokenworks.serve.emulate.worker import EmulatedWorker
from tokenworks.serve.start import gateway
from tokenworks.twin.reference import FINE

BODY = {"model": "chat", "messages": [{"role": "user", "content": "x" * 400}], "max_tokens": 12}


def test_the_events_of_all_calls_hold_the_joules_of_the_worker(tmp_path):
    """But for less than a microjoule that waits for the next call."""
    factory = load("laptop")

    async def calls():
        worker = EmulatedWorker(plant(factory).models[0], Clock(50.0), asyncio.get_running_loop())
        async with several([EmulatedEngines([worker], 0)]) as (port,):
            rows = [{"service": "chat", "url": f"http://127.0.0.1:{port}/0"}]
            shop = factory.replace_all({"serve": {"upstreams": rows}})
            with Ledger.open(tmp_path / "ledger.db") as ledger:
                async with gateway(shop, services_of(shop, upstreams_of(shop)), ledger, None, "127.0.0.1", 0) as front:
                    bodies = [{**BODY, "max_tokens": n, "stream": n % 2 == 0} for n in range(5, 17)]
                    asked = (call(front.port, "POST", CHAT, json.dumps(body).encode()) for body in bodies)
                    assert [status for status, _, _ in await asyncio.gather(*asked)] == [200] * 12
                return ledger.usage_table().to_pylist(), worker._worker

    rows, worker = run(calls())
    inner = worker._worker
    energies = [row["energy_uj"] for row in rows]
    assert min(energies) > 0
    assert (
        sum(energies) + worker.shares.lost_uj
    ) * FINE + worker.shares.carried == inner.joules * FINE + inner.joule_carry
    longest = max(rows, key=lambda row: row["output_visible"])
    assert longest["energy_uj"] == max(energies)


def test_only_a_stated_and_sane_energy_is_believed():
    usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    said = {None: None, 12: 12, 0: 0, -1: None, "7": None, 1.5: None, 2**70: None}
    for stated, found in said.items():
        more = {} if stated is None else {"energy_uj": stated}
        known = told(json.dumps({**usage, **more}).encode(), 0, True)
        assert known.energy_uj == found, stated
        assert (known.buckets.input_fresh, known.buckets.output_visible) == (5, 2)
