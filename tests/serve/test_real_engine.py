"""A real engine (llama.cpp) behind the gateway, asked through the official OpenAI SDK."""

import asyncio

import pytest
from live_gateway import run

pytest.importorskip("xllamacpp")
pytest.importorskip("gguf")
openai = pytest.importorskip("openai")

import tiny_engine  # noqa: E402
import tiny_model  # noqa: E402
from test_keys import ring_with  # noqa: E402

from tokenworks.api import load  # noqa: E402
from tokenworks.ledger import Ledger  # noqa: E402
from tokenworks.serve.building import services_of, upstreams_of  # noqa: E402
from tokenworks.serve.start import gateway  # noqa: E402

ASK = [{"role": "user", "content": "Tell me something."}]


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    model = tmp_path_factory.mktemp("engine") / "tiny.gguf"
    tiny_model.write(model)
    with tiny_engine.running(model) as address:
        yield address


def through(tmp_path, engine, work, ring=None, key="any"):
    """What ``work(client, ledger)`` gives with a gateway in front of the engine."""

    async def case():
        factory = load("laptop").replace(
            "serve", {"upstreams": [{"service": "chat", "url": engine, "model": "tiny"}], "drain": "1 s"}
        )
        with Ledger.open(tmp_path / "ledger.db") as ledger:
            async with (
                gateway(
                    factory, services_of(factory, upstreams_of(factory)), ledger, ring, "127.0.0.1", 0
                ) as listening,
                openai.AsyncOpenAI(
                    base_url=f"http://127.0.0.1:{listening.port}/v1", api_key=key, max_retries=0
                ) as client,
            ):
                found = await work(client, ledger)
            return found, ledger.usage_table().to_pylist()

    return run(case())


async def streamed(client, **more):
    """(text, usage, chunks) of a stream."""
    text, usage, chunks = "", None, 0
    async for chunk in await client.chat.completions.create(
        model="chat", messages=ASK, stream=True, temperature=0, **more
    ):
        chunks += 1
        usage = chunk.usage or usage
        text += "".join(c.delta.content or "" for c in chunk.choices)
    return text, usage, chunks


def test_ledger_and_engine_count_the_same_tokens(tmp_path, engine):
    """Whole answers and streams, some at a time, one after the other on kept connections: sums and single events."""
    before = tiny_engine.counters(engine)

    async def work(client, ledger):
        whole = await client.chat.completions.create(model="chat", messages=ASK, max_tokens=24, temperature=0)
        silent = await streamed(client, max_tokens=24)
        asked = await streamed(client, max_tokens=24, stream_options={"include_usage": True})
        many = await asyncio.gather(*(streamed(client, max_tokens=5 + i) for i in range(12)))
        done = await client.completions.create(model="chat", prompt="abc", max_tokens=7, temperature=0)
        return whole, silent, asked, many, done

    (whole, silent, asked, many, done), events = through(tmp_path, engine, work)
    assert silent[0] == asked[0] == whole.choices[0].message.content
    assert len(silent[0]) == 24
    assert silent[1] is None
    assert asked[1] == whole.usage
    assert asked[2] == silent[2] + 1
    assert [len(text) for text, _, _ in many] == [5 + i for i in range(12)]
    assert len(events) == 16
    assert {(e["usage_source"], e["usage_status"]) for e in events} == {("engine", "final")}
    after = tiny_engine.counters(engine)
    told = sum(e["input_fresh"] + (e["cache_read"] or 0) for e in events)
    assert (told, sum(e["output_visible"] for e in events)) == (after[0] - before[0], after[1] - before[1])
    assert done.usage.completion_tokens == 7


def test_a_stream_that_the_caller_closes_stops_in_the_engine(tmp_path, engine):
    before = tiny_engine.counters(engine)

    async def work(client, ledger):
        stream = await client.chat.completions.create(
            model="chat", messages=ASK, stream=True, max_tokens=1900, temperature=0
        )
        seen = 0
        async for chunk in stream:
            seen += sum(bool(c.delta.content) for c in chunk.choices)
            if seen >= 5:
                break
        await stream.close()
        for _ in range(500):
            if tiny_engine.counters(engine)[2] == 0 and ledger.usage_table().num_rows:
                return seen
            await asyncio.sleep(0.01)
        raise AssertionError("the engine still works on it")

    seen, events = through(tmp_path, engine, work)
    assert [(e["usage_status"], e["usage_source"]) for e in events] == [("partial", "estimate")]
    made = tiny_engine.counters(engine)[1] - before[1]
    assert made < 1900
    assert seen <= events[0]["output_visible"] < 1900


def test_what_the_engine_refuses_reaches_the_sdk_as_its_error(tmp_path, engine):
    async def work(client, ledger):
        with pytest.raises(openai.BadRequestError) as refused:
            await client.chat.completions.create(
                model="chat", messages=[{"role": "user", "content": "x" * 9000}], max_tokens=5
            )
        with pytest.raises(openai.NotFoundError) as unknown:
            await client.chat.completions.create(model="nobody", messages=ASK)
        return refused.value, unknown.value

    (refused, unknown), events = through(tmp_path, engine, work)
    assert "context" in str(refused)
    assert unknown.code == "model_not_found"
    assert events == []


def test_the_sdk_with_a_key(tmp_path, engine):
    ring, text = ring_with(tmp_path, tenant="acme")

    async def work(client, ledger):
        models = [m.id async for m in client.models.list()]
        await client.chat.completions.create(model="chat", messages=ASK, max_tokens=2)
        with pytest.raises(openai.AuthenticationError):
            await client.with_options(api_key=text[:-1] + "x").chat.completions.create(model="chat", messages=ASK)
        return models

    models, events = through(tmp_path, engine, work, ring, text)
    assert models == ["chat", "llama-3.1-8b"]
    assert [e["tenant"] for e in events] == ["acme"]
