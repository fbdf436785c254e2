"""Embeddings at emulated workers: vectors that depend on the text alone, metered, and refused where the model has none."""

import asyncio
import base64
import json

import numpy as np
import pytest
from live_gateway import CHAT, call, run
from test_emulate import fast_machine  # noqa: F401 - a fixture

from tokenworks.api import load
from tokenworks.ledger import Ledger
from tokenworks.serve.building import services_of
from tokenworks.serve.emulate.start import emulated
from tokenworks.serve.emulate.vectors import vector
from tokenworks.serve.start import gateway

EMBEDDINGS = "/v1/embeddings"


def embedding_factory():
    return load("laptop").replace_all(
        {"services.chat.model": "qwen3-embedding-0.6b", "services.chat.precision": "bf16"}
    )


def asked(tmp_path, *bodies, path=EMBEDDINGS, factory=None, work=None):
    """(answers, events) through a gateway in front of emulated workers."""
    factory = factory or embedding_factory()

    async def case():
        with Ledger.open(tmp_path / "ledger.db") as ledger:
            async with emulated(factory, 50.0, 0) as upstreams:
                services = services_of(factory, upstreams)
                async with gateway(factory, services, ledger, None, "127.0.0.1", 0) as front:
                    if work:
                        answers = await work(front.port)
                    else:
                        calls = (
                            call(front.port, "POST", path, json.dumps({"model": "chat", **b}).encode()) for b in bodies
                        )
                        answers = await asyncio.gather(*calls)
            return answers, ledger.usage_table().to_pylist()

    return run(case())


def of(answer):
    return [row["embedding"] for row in json.loads(answer[2])["data"]]


def test_vectors_are_of_length_one_and_of_the_text_alone():
    one, same, other = vector(b"a", 1024), vector(b"a", 1024), vector(b"b", 1024)
    assert np.array_equal(one, same)
    assert one.dtype == np.float32
    assert np.linalg.norm(one) == pytest.approx(1.0, abs=1e-6)
    assert abs(float(one @ other)) < 0.15  # 1/√1024 is 0.03
    few = vector(b"a", 64)
    assert few == pytest.approx(one[:64] / np.linalg.norm(one[:64]), abs=1e-6)
    assert vector(b"a", 1) in (np.array([-1.0]), np.array([1.0]))


@pytest.mark.usefixtures("fast_machine")
def test_answers_have_openais_shape_and_every_token_is_metered(tmp_path):
    bodies = [
        {"input": "x" * 9},
        {"input": ["x" * 9, "ä", "x" * 9]},
        {"input": [11, 12, 13]},
        {"input": [[11, 12, 13], [14]], "encoding_format": "base64"},
        {"input": "x" * 9, "dimensions": 64, "emulate": {"input_tokens": 500}},
        {"input": ["a", "b", "c"], "emulate": {"input_tokens": 8}},
    ]
    answers, events = asked(tmp_path, *bodies)
    assert [status for status, _, _ in answers] == [200] * 6
    plain, several, tokens, packed, few, _ = map(of, answers)
    assert [len(v) for v in (plain[0], few[0])] == [1024, 64]
    assert several[0] == several[2] == plain[0] != several[1]
    assert np.frombuffer(base64.b64decode(packed[0]), "<f4").tolist() == tokens[0]
    said = [json.loads(body) for _, _, body in answers]
    assert [row["index"] for row in said[1]["data"]] == [0, 1, 2]
    assert {(one["object"], one["model"], one["data"][0]["object"]) for one in said} == {("list", "chat", "embedding")}
    told = [one["usage"]["prompt_tokens"] for one in said]
    assert told == [3, 7, 3, 4, 500, 8]
    assert sorted(e["input_fresh"] for e in events) == sorted(told)
    assert {(e["operation"], e["output_visible"], e["usage_source"], e["usage_status"]) for e in events} == {
        ("embeddings", 0, "engine", "final")
    }
    assert sum(e["energy_uj"] for e in events) == sum(one["usage"]["energy_uj"] for one in said) > 0
    longest = max(events, key=lambda e: e["input_fresh"])
    assert longest["energy_uj"] > min(e["energy_uj"] for e in events)


@pytest.mark.usefixtures("fast_machine")
def test_openais_sdk_gets_its_vectors(tmp_path):
    openai = pytest.importorskip("openai")

    async def work(port):
        async with openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="any", max_retries=0) as client:
            found = await client.embeddings.create(model="qwen3-embedding-0.6b", input=["a", "b"])
            return found.data, found.usage.prompt_tokens

    (data, tokens), _ = asked(tmp_path, work=work)
    assert [d.embedding for d in data] == [vector(text, 1024).tolist() for text in (b"a", b"b")]
    assert tokens == 2


@pytest.mark.usefixtures("fast_machine")
def test_what_is_no_call_is_refused_and_not_metered(tmp_path):
    wrong = [
        {}, {"input": ""}, {"input": []}, {"input": ["a", ""]}, {"input": [[]]}, {"input": [1, -2]}, {"input": [1, "a"]},
        {"input": [True]}, {"input": {"a": 1}}, {"input": "a", "dimensions": 0}, {"input": "a", "dimensions": 1025},
        {"input": "a", "encoding_format": "hex"}, {"input": "a", "emulate": {"output_tokens": 3}},
        {"input": ["a", "b"], "emulate": {"input_tokens": 1}}, {"input": "a", "stream": True},
        {"input": ["a", "b"], "emulate": {"input_tokens": 9_000_000}},
    ]  # fmt: skip
    answers, events = asked(tmp_path, *wrong, {"input": "a"})
    assert [status for status, _, _ in answers] == [400] * len(wrong) + [200]
    assert "between 1 and the model's 1024" in json.loads(answers[10][2])["error"]["message"]
    assert "does not fit" in json.loads(answers[-2][2])["error"]["message"]
    assert len(events) == 1


@pytest.mark.usefixtures("fast_machine")
def test_models_say_which_calls_they_have_not_in_vllms_words(tmp_path):
    (chat,), events = asked(tmp_path, {"messages": [{"role": "user", "content": "hi"}]}, path=CHAT)
    assert (chat[0], json.loads(chat[2])["error"]["message"]) == (
        400,
        "The model does not support Chat Completions API",
    )
    (embed,), more = asked(tmp_path, {"input": "hi"}, factory=load("laptop"))
    assert (embed[0], json.loads(embed[2])["error"]["message"]) == (400, "The model does not support Embeddings API")
    assert events + more == []


@pytest.mark.usefixtures("fast_machine")
def test_embeddings_are_prefills_and_make_no_tokens(tmp_path):
    """The worker's own count of prompts is the ledger's; of answers there are none."""
    from tokenworks.serve.telemetry.samples import samples

    factory, texts = embedding_factory(), ["x" * (40 * n) for n in range(1, 9)]

    async def case():
        async with emulated(factory, 50.0, 0) as upstreams:
            address = upstreams["chat"][0]._address
            body = json.dumps({"model": "m", "input": texts}).encode()
            answer = await call(address.port, "POST", address.base + EMBEDDINGS, body)
            return answer, (await call(address.port, "GET", "/0/metrics"))[2].decode()

    answer, page = run(case())
    found = samples(page)
    assert found.total("vllm:prompt_tokens_total") == json.loads(answer[2])["usage"]["prompt_tokens"] == 360
    assert found.total("vllm:generation_tokens_total") == 0
    assert found.total("vllm:time_to_first_token_seconds_count") == 0
    assert found.total("vllm:e2e_request_latency_seconds_count") == 8
    assert found.total("vllm:num_requests_running") == 0
