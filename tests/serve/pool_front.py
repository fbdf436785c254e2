"""A gateway over scripted engines of a service with prefill and decode pools."""

import json
from contextlib import asynccontextmanager

from live_gateway import ANSWER, Engine, Front, several

from tokenworks.api import load
from tokenworks.ledger import Ledger
from tokenworks.serve.building import services_of, upstreams_of
from tokenworks.serve.start import gateway

MODEL = {"model": "llama-3.1-8b", "precision": "fp8", "engine": "vllm"}
CHAT = {"name": "chat", **MODEL, "prefill": {"workers": 2}, "decode": {"workers": 2}}
PLAIN = {"name": "plain", **MODEL, "workers": 1}
POOLS = {"systems.box.count": 8, "services": [CHAT]}
PARAMS = {"do_remote_prefill": True, "do_remote_decode": False, "remote_engine_id": "e1", "remote_block_ids": [[1, 2]]}
ASK = {"model": "chat", "messages": [{"role": "user", "content": "hi"}]}


@asynccontextmanager
async def pool_front(
    tmp_path, prefills, decodes, handover="vllm", routing="round-robin", upstream=None, beside=None, **serve
):
    """``upstream``: more of each. ``beside``: an engine of another service, `plain`, without pools."""
    async with several([*prefills, *decodes, *([beside] if beside else [])]) as ports:
        roles = ["prefill"] * len(prefills) + ["decode"] * len(decodes)
        rows = [
            {
                "service": "chat",
                "url": f"http://127.0.0.1:{port}",
                "role": role,
                "handover": handover,
                **(upstream or {}),
            }
            for port, role in zip(ports, roles, strict=False)
        ]
        if beside:
            rows.append({"service": "plain", "url": f"http://127.0.0.1:{ports[-1]}", "model": "small"})
        services = [{**CHAT, "routing": routing}, *([PLAIN] if beside else [])]
        work = [
            {
                "service": s["name"],
                "arrivals": {"kind": "poisson", "rate": 1},
                "input": {"mean": 9},
                "output": {"mean": 9},
            }
            for s in services
        ]
        factory = load("laptop").replace_all(
            {**POOLS, "services": services, "workload": work, "serve": {"upstreams": rows, "drain": "200 ms", **serve}}
        )
        with Ledger.open(tmp_path / "ledger.db") as ledger:
            async with gateway(
                factory, services_of(factory, upstreams_of(factory)), ledger, None, "127.0.0.1", 0
            ) as listening:
                yield Front(listening, [*prefills, *decodes], ledger)


def handing(params=PARAMS):
    """A prefill engine of vLLM's."""

    def script(request, connection):
        body = json.loads(request.body)
        usage = {"prompt_tokens": 11, "completion_tokens": 1, "total_tokens": 12}
        answer = {**ANSWER, "model": body["model"], "usage": usage, "kv_transfer_params": params}
        connection.respond(200, json.dumps(answer).encode())

    return Engine(script)


def failing(status):
    return Engine(lambda request, connection: connection.respond(status, b'{"error":{"message":"no"}}'))


def asked_of(engine):
    return [json.loads(r.body) for r in engine.asked]
