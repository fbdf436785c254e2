"""Two gateways as processes of their own, over one ledger or two, one store of budgets, and an engine in the test's loop."""

import asyncio
import json
import os
import sys
from contextlib import asynccontextmanager

from live_gateway import call

FACTORY = """
factory: two
systems: [{{id: box, system: laptop-rtx-4090}}]
services: [{{name: chat, model: llama-3.1-8b, precision: fp8}}]
workload: [{{service: chat, trace: azure-2023-conversation, scale: 10% of sustainable}}]
serve:
  upstreams: [{{service: chat, url: "http://127.0.0.1:{port}"}}]
  bounds: [{{service: chat, template_tokens: 64, context_tokens: 4096}}]
  {more}
"""
PLAN = """
plan: list
currency: USD
versions:
  - id: v1
    from: 2020-01-01
    prices:
      - {id: in, meter: tokens, price: '3', per: 1000000, buckets: [input_fresh, cache_read, cache_write]}
      - {id: out, meter: tokens, price: '15', per: 1000000, buckets: [output_visible, output_reasoning, output_tool]}
"""
RUN = """
import asyncio, sys
from pathlib import Path
from tokenworks.api import load
from tokenworks.ledger import Ledger
from tokenworks.serve.building import services_of, upstreams_of
from tokenworks.serve.limits.start import Place
from tokenworks.serve.http.loop import run_loop, until_asked
from tokenworks.serve.start import gateway

async def main(file, ledger, base, folder):
    factory = load(file)
    with Ledger.open(ledger) as book:
        async with gateway(factory, services_of(factory, upstreams_of(factory)), book, None, "127.0.0.1", 0,
                           Place(base, Path(folder))) as listening:
            await until_asked(lambda: print(listening.port, flush=True))

run_loop(main(*sys.argv[1:]))
"""


class Process:
    def __init__(self, process, port):
        self.process, self.port = process, port

    async def post(self, body, headers=()):
        return await call(self.port, "POST", "/v1/chat/completions", json.dumps(body).encode(), headers)

    async def kill(self):
        self.process.kill()
        await self.process.wait()

    async def stop(self):
        if self.process.returncode is None:
            self.process.terminate()
            assert await self.process.wait() == 0


async def start(tmp_path, port, more, ledger, base):
    file = tmp_path / "two.yaml"
    file.write_text(FACTORY.format(port=port, more=more))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", RUN, str(file), ledger, base, str(tmp_path / "journals"), stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"TOKENWORKS_KEYS": ""},
    )  # fmt: skip
    return Process(process, int(await process.stdout.readline()))


@asynccontextmanager
async def gateways(tmp_path, port, more, places):
    """``places``: (ledger, base of budgets) of each."""
    started = await asyncio.gather(*(start(tmp_path, port, more, *place) for place in places))
    try:
        yield started
    finally:
        await asyncio.gather(*(one.stop() for one in started))
