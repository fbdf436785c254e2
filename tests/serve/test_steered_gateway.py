"""A gateway over emulated workers that scales from nothing and back, on real sockets."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest
from live_gateway import CHAT, call, run
from test_emulate import fast_machine  # noqa: F401 - a fixture

from tokenworks.api import load
from tokenworks.ledger import Ledger
from tokenworks.serve.building import services_of
from tokenworks.serve.emulate.start import emulated
from tokenworks.serve.start import gateway
from tokenworks.serve.steer.start import steered
from tokenworks.serve.upstreams.engine_page import state_of

FILE = """
factory: quick
systems: [{id: box, system: dgx-h100}]
services:
  - name: chat
    model: llama-3.1-8b
    precision: fp8
    workers: 3
    scaling: {min: 0, max: 3, start: 0, every: 1 s, calm: 2 s, idle: 4 s, start_up: 3 s, predictor: constant}
workload: [{service: chat, arrivals: {kind: poisson}, scale: 2 req/s}]
run: {horizon: 60 s, seed: 1}
"""
SPEED = 5.0
BODY = json.dumps({"model": "chat", "max_tokens": 8, "messages": [{"role": "user", "content": "hi"}]}).encode()


POOLS = FILE.replace(
    "    workers: 3\n    scaling: {min: 0, max: 3, start: 0, ",
    "    engine: vllm\n"
    "    prefill: {workers: 2, scaling: {min: 0, start: 0, RULES}}\n"
    "    decode: {workers: 2, scaling: {min: 1, start: 2, RULES}}\n#",
).replace("RULES", "every: 1 s, calm: 2 s, idle: 4 s, start_up: 3 s, predictor: constant")


@asynccontextmanager
async def steering(tmp_path, text):
    """Services, pilots and a gateway over emulated workers."""
    file = tmp_path / "factory.yaml"
    file.write_text(text)
    factory = load(str(file))
    async with emulated(factory, SPEED, 8) as upstreams:
        services = services_of(factory, upstreams)
        with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
            async with (
                steered(factory, services, SPEED) as pilots,
                gateway(factory, services, ledger, None, "127.0.0.1", 0) as front,
            ):
                yield services, pilots, front


@pytest.mark.usefixtures("fast_machine")
def test_each_pool_follows_the_demand_by_itself(tmp_path):
    """A prefill replica starts for the first caller and goes when nobody asks; of two decode replicas one stays."""

    async def main():
        async with steering(tmp_path, POOLS) as (services, pilots, front):
            assert [p.pool for p in pilots] == ["chat/prefill", "chat/decode"]
            prefill, decode = services[0].prefill, services[0].router
            assert (prefill.up, decode.up) == ([False, False], [True, True])
            status, _, body = await call(front.port, "POST", CHAT, BODY)
            assert (status, json.loads(body)["error"]["code"]) == (503, "starting")
            await until(lambda: prefill.up == [True, False])
            assert (await call(front.port, "POST", CHAT, BODY))[0] == 200
            await until(lambda: not any(prefill.up))
            assert decode.up == [True, False]
            return prefill.fetched, decode.fetched

    assert run(main()) == ([0, 0], [0, 0])


@pytest.mark.usefixtures("fast_machine")
def test_from_nothing_and_back_to_nothing(tmp_path):
    """The first caller is told when to come back; a replica starts for him; when nobody asks any more it stops."""

    async def main():
        async with steering(tmp_path, FILE) as (services, _, front):
            router = services[0].router
            assert not any(router.up)
            assert (await call(front.port, "GET", "/v1/health/ready"))[0] == 200
            status, headers, body = await call(front.port, "POST", CHAT, BODY)
            assert (status, json.loads(body)["error"]["code"]) == (503, "starting")
            assert int(headers["retry-after"]) >= 1
            await until(lambda: router.up == [True, False, False])
            assert (await call(front.port, "POST", CHAT, BODY))[0] == 200
            await until(lambda: not any(router.up))
            return [await joules(upstream) for _ in range(2) for upstream in router.upstreams]

    first, *others = run(main())
    assert first > 0
    assert others == [0.0, 0.0, first, 0.0, 0.0]  # replicas that are off, or never were on, draw nothing


async def joules(upstream):
    """By its own page, after a moment."""
    await asyncio.sleep(0.1)
    _, _, page = await call(upstream._address.port, "GET", f"{upstream._address.base}/metrics")
    return state_of(page.decode()).joules


async def until(true):
    while not true():
        await asyncio.sleep(0.02)
