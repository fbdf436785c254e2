"""A real engine (llama.cpp) is killed in the middle of a stream; another one goes on where it stopped.

A token of the tiny model is a byte, but its tokenizer reads a blank as three: what it reads is not quite what it said, as
with any tokenizer, so its text may go another way from there. That texts are the same to the end is tested with emulated
engines.
"""

import asyncio
import json
import os
import signal

import pytest
from live_gateway import CHAT, call, run

pytest.importorskip("xllamacpp")
pytest.importorskip("gguf")

import tiny_engine
import tiny_model

from tokenworks.api import load
from tokenworks.ledger import Ledger
from tokenworks.serve.building import services_of, upstreams_of
from tokenworks.serve.start import gateway

TOKENS = 600
CHATS = {"model": "chat", "messages": [{"role": "user", "content": "Tell me something."}]}
COMPLETES = {"model": "chat", "prompt": "Tell me something."}


def texts(data):
    events = [json.loads(e[6:]) for e in data.split(b"\n\n") if e.startswith(b"data: {")]
    return "".join(
        (c.get("delta") or {}).get("content") or c.get("text") or "" for e in events for c in e["choices"]
    ), events


@pytest.mark.parametrize(("path", "asked"), [("/v1/completions", COMPLETES), (CHAT, CHATS)])
def test_a_killed_engines_stream_goes_on_at_another(tmp_path, path, asked):
    model = tmp_path / "tiny.gguf"
    tiny_model.write(model)
    body = json.dumps({**asked, "stream": True, "max_tokens": TOKENS, "temperature": 0}).encode()

    async def case(first, second):
        rows = [{"service": "chat", "url": e.address, "model": "tiny", "continues": True} for e in (first, second)]
        factory = load("laptop").replace_all(
            {"serve": {"upstreams": rows, "drain": "1 s"}, "services.chat.routing": "round-robin"}
        )
        with Ledger.open(tmp_path / "ledger.db") as ledger:
            async with gateway(
                factory, services_of(factory, upstreams_of(factory)), ledger, None, "127.0.0.1", 0
            ) as front:
                killer = asyncio.create_task(kill_after_some(front.app.services[0].router, first))
                moved = await call(front.port, "POST", path, body)
                await killer
                whole = await call(front.port, "POST", path, body)
            return moved, whole, ledger.usage_table().to_pylist()

    with tiny_engine.started(model) as first, tiny_engine.started(model) as second:
        moved, whole, events = run(case(first, second))
    assert (moved[0], whole[0]) == (200, 200)
    first_part, second_part, last = sorted(events, key=lambda e: (e["time_us"], e["attempt"]))
    assert [e["usage_status"] for e in (first_part, second_part, last)] == ["partial", "final", "final"]
    made, text = first_part["output_visible"], texts(moved[2])[0]
    assert 0 < made < TOKENS
    assert made + second_part["output_visible"] == len(text) == TOKENS
    assert text[:made] == texts(whole[2])[0][:made]
    read = lambda event: event["input_fresh"] + (event["cache_read"] or 0)  # noqa: E731
    said = made + 2 * text[:made].count(" ")
    assert read(second_part) == read(last) + said  # the prompt, and what was said: neither more nor less
    assert len({e["id"] for e in texts(moved[2])[1]}) == 1


async def kill_after_some(router, engine):
    """As soon as it works on the stream, and has had time for some tokens."""
    while not router.outstanding[0]:
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.06)
    os.kill(engine.pid, signal.SIGKILL)
