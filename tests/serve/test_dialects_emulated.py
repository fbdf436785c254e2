"""All dialects against emulated engines: features that need no tokenizer, and clear words for what they do not emulate."""

import asyncio
import json
import re

import pytest
from live_gateway import CHAT, call, run
from test_emulate import fast_machine  # noqa: F401 - a fixture

from tokenworks.api import load
from tokenworks.ledger import Ledger
from tokenworks.serve.building import services_of
from tokenworks.serve.emulate.start import emulated
from tokenworks.serve.start import gateway

SAID = [{"role": "user", "content": "hi"}]
FUNCTION = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


def asked(tmp_path, *requests):
    """(answers, events) of (path, body) through a gateway in front of emulated engines."""

    async def case():
        factory = load("laptop")
        with Ledger.open(tmp_path / "ledger.db") as ledger:
            async with emulated(factory, 50.0, 8) as upstreams:
                services = services_of(factory, upstreams)
                async with gateway(factory, services, ledger, None, "127.0.0.1", 0) as listening:
                    answers = await asyncio.gather(
                        *(
                            call(listening.port, "POST", path, json.dumps({"model": "chat", **b}).encode())
                            for path, b in requests
                        )
                    )
            return answers, ledger.usage_table().to_pylist()

    return run(case())


@pytest.mark.usefixtures("fast_machine")
def test_all_dialects_get_the_tokens_that_they_asked_for(tmp_path):
    requests = [
        (path, {**body, **stream})
        for stream in ({}, {"stream": True})
        for path, body in (
            (CHAT, {"messages": SAID, "max_tokens": 6, "tools": [FUNCTION], "seed": 1, "stop": ["x"], "response_format": {"type": "json_object"}}),
            ("/v1/completions", {"prompt": "hi", "max_tokens": 6}),
            ("/v1/messages", {"messages": SAID, "max_tokens": 6}),
            ("/v1/responses", {"input": "hi", "max_output_tokens": 6}),
        )
    ]  # fmt: skip
    answers, events = asked(tmp_path, *requests)
    assert [status for status, _, _ in answers] == [200] * 8
    assert all(re.search(rb'" ?[0-9a-f]{5}', body) for _, _, body in answers)  # words of emulated engines
    assert [e["output_visible"] for e in events] == [6] * 8
    assert {e["usage_status"] for e in events} == {"final"}


@pytest.mark.usefixtures("fast_machine")
def test_what_is_not_emulated_is_said(tmp_path):
    answers, events = asked(tmp_path, (CHAT, {"messages": SAID, "n": 2}), ("/v1/embeddings", {"input": "hi"}))
    assert [status for status, _, _ in answers] == [400, 400]
    assert "n is 1" in json.loads(answers[0][2])["error"]["message"]
    assert "does not support Embeddings API" in json.loads(answers[1][2])["error"]["message"]
    assert events == []
