"""Embeddings of a real engine (llama.cpp) behind the gateway: the ledger's tokens are the engine's own."""

import asyncio

import pytest

pytest.importorskip("xllamacpp")
pytest.importorskip("gguf")
openai = pytest.importorskip("openai")

import tiny_engine  # noqa: E402
import tiny_model  # noqa: E402
from test_real_engine import through  # noqa: E402


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    model = tmp_path_factory.mktemp("embedding") / "tiny.gguf"
    tiny_model.write(model)
    with tiny_engine.running(model, "embeddings") as address:
        yield address


def test_ledger_and_engine_count_the_same_tokens(tmp_path, engine):
    before = tiny_engine.counters(engine)
    inputs = ["Tell me something.", ["a", "bc", "def"], "x" * 500, [40, 41, 42]]

    async def work(client, ledger):
        return await asyncio.gather(*(client.embeddings.create(model="chat", input=text) for text in inputs))

    answers, events = through(tmp_path, engine, work)
    after = tiny_engine.counters(engine)
    told = [answer.usage.prompt_tokens for answer in answers]
    assert [len(answer.data) for answer in answers] == [1, 3, 1, 1]
    assert {len(one.embedding) for answer in answers for one in answer.data} == {tiny_model.WIDE}
    assert sum(x * x for x in answers[0].data[0].embedding) == pytest.approx(1.0, abs=1e-4)
    assert sorted(e["input_fresh"] + (e["cache_read"] or 0) for e in events) == sorted(told)
    assert sum(told) == after[0] - before[0]
    assert {(e["operation"], e["output_visible"], e["usage_source"], e["usage_status"]) for e in events} == {
        ("embeddings", 0, "engine", "final")
    }


def test_an_engine_without_embeddings_says_so_and_nothing_is_metered(tmp_path, tmp_path_factory):
    model = tmp_path_factory.mktemp("chat") / "tiny.gguf"
    tiny_model.write(model)

    async def work(client, ledger):
        with pytest.raises(openai.APIStatusError) as refused:
            await client.embeddings.create(model="chat", input="hi")
        return refused.value

    with tiny_engine.running(model) as address:
        refused, events = through(tmp_path, address, work)
    assert refused.status_code in (400, 501)
    assert "embeddings" in str(refused)
    assert events == []
