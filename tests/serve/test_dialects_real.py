"""A real engine (llama.cpp) that serves all three APIs itself: translated and passed through, both SDKs get the same."""

import asyncio

import pytest
from live_gateway import run

pytest.importorskip("xllamacpp")
pytest.importorskip("gguf")
openai = pytest.importorskip("openai")
anthropic = pytest.importorskip("anthropic")

import tiny_engine  # noqa: E402
import tiny_model  # noqa: E402

from tokenworks.api import load  # noqa: E402
from tokenworks.ledger import Ledger  # noqa: E402
from tokenworks.serve.building import services_of, upstreams_of  # noqa: E402
from tokenworks.serve.start import gateway  # noqa: E402

SAID = [{"role": "user", "content": "Tell me something."}]
ALL = {"serves": ["responses", "messages"]}
ANTHROPIC = {"dialect": "anthropic"}


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    model = tmp_path_factory.mktemp("engine") / "tiny.gguf"
    tiny_model.write(model)
    with tiny_engine.running(model) as address:
        yield address


def through(tmp_path, engine, work, upstream):
    """(what ``work(openai client, anthropic client, ledger)`` gives, events)."""

    async def case():
        row = {"service": "chat", "url": engine, "model": "tiny", **upstream}
        factory = load("laptop").replace("serve", {"upstreams": [row], "drain": "1 s"})
        services = services_of(factory, upstreams_of(factory))
        with Ledger.open(tmp_path / "ledger.db") as ledger:
            async with gateway(factory, services, ledger, None, "127.0.0.1", 0) as listening:
                url = f"http://127.0.0.1:{listening.port}"
                async with (
                    openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0) as one,
                    anthropic.AsyncAnthropic(base_url=url, api_key="any", max_retries=0) as other,
                ):
                    found = await work(one, other, ledger)
            return found, ledger.usage_table().to_pylist()

    return run(case())


async def message(client, **more):
    """(text, stop reason, usage, kinds of events) of a message, and of the same as a stream."""
    asked = {"model": "chat", "messages": SAID, "max_tokens": 12, "extra_body": {"temperature": 0}, **more}
    whole = await client.messages.create(**asked)
    kinds = []
    async with client.messages.stream(**asked) as stream:
        async for event in stream:
            kinds.append(event.type)
        last = await stream.get_final_message()
    figures = lambda m: (m.content[0].text, m.stop_reason, m.usage.input_tokens, m.usage.output_tokens)  # noqa: E731
    return figures(whole), figures(last), kinds


async def response(client, checked):
    """``checked``: the SDK puts the events together, which llama.cpp's own, that lack places, do not stand."""
    asked = {"model": "chat", "input": "Tell me something.", "max_output_tokens": 12, "temperature": 0}
    whole = await client.responses.create(**asked)
    kinds = []
    if checked:
        async with client.responses.stream(**asked) as stream:
            async for event in stream:
                kinds.append(event.type)
    else:
        async for event in await client.responses.create(**asked, stream=True):
            kinds.append(event.type)
    last = event.response
    figures = lambda r: (r.output_text, r.usage.input_tokens, r.usage.output_tokens)  # noqa: E731
    return figures(whole), figures(last), kinds


@pytest.mark.parametrize(
    "upstream", [{}, ALL, ANTHROPIC], ids=["translated", "passed through", "of Anthropic's dialect"]
)
def test_messages(tmp_path, engine, upstream):
    before = tiny_engine.counters(engine)

    async def work(_, client, ledger):
        return await message(client, system="Be brief.")

    (whole, streamed, kinds), events = through(tmp_path, engine, work, upstream)
    after = tiny_engine.counters(engine)
    assert whole == streamed
    assert (len(whole[0]), whole[1], whole[3]) == (12, "max_tokens", 12)
    assert kinds[0] == "message_start"
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert kinds.count("text") == 12
    assert_equal(events, before, after, 2)
    test_messages.seen = {*getattr(test_messages, "seen", ()), (whole, tuple(kinds))}
    assert len(test_messages.seen) == 1  # whichever way it came


@pytest.mark.parametrize("upstream", [{}, ALL], ids=["translated", "passed through"])
def test_responses(tmp_path, engine, upstream):
    before = tiny_engine.counters(engine)

    async def work(client, _, ledger):
        return await response(client, checked=not upstream)

    (whole, streamed, kinds), events = through(tmp_path, engine, work, upstream)
    after = tiny_engine.counters(engine)
    assert whole == streamed
    assert (len(whole[0]), whole[2]) == (12, 12)
    assert kinds[:4] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert kinds.count("response.output_text.delta") == 12
    assert kinds[-4:-1] == ["response.output_text.done", "response.content_part.done", "response.output_item.done"]
    assert kinds[-1] == (
        "response.incomplete" if not upstream else "response.completed"
    )  # llama.cpp calls a cut answer complete
    assert_equal(events, before, after, 2)
    test_responses.seen = {*getattr(test_responses, "seen", ()), whole}
    assert len(test_responses.seen) == 1


def assert_equal(events, before, after, count):
    """The ledger's tokens are those that the engine counted."""
    assert len(events) == count
    assert {(e["usage_source"], e["usage_status"]) for e in events} == {("engine", "final")}
    told = sum(e["input_fresh"] + (e["cache_read"] or 0) for e in events)
    made = sum(e["output_visible"] for e in events)
    assert (told, made) == (after[0] - before[0], after[1] - before[1])


@pytest.mark.parametrize(
    "upstream", [{}, ALL, ANTHROPIC], ids=["translated", "passed through", "of Anthropic's dialect"]
)
def test_a_message_that_the_caller_closes_stops_in_the_engine(tmp_path, engine, upstream):
    before = tiny_engine.counters(engine)

    async def work(_, client, ledger):
        async with client.messages.stream(
            model="chat", messages=SAID, max_tokens=1900, extra_body={"temperature": 0}
        ) as stream:
            seen = 0
            async for event in stream:
                seen += event.type == "text"
                if seen >= 5:
                    break
        for _ in range(500):
            if tiny_engine.counters(engine)[2] == 0 and ledger.usage_table().num_rows:
                return seen
            await asyncio.sleep(0.01)
        raise AssertionError("the engine still works on it")

    seen, events = through(tmp_path, engine, work, upstream)
    assert [(e["usage_status"], e["usage_source"]) for e in events] == [("partial", "estimate")]
    assert tiny_engine.counters(engine)[1] - before[1] < 1900
    assert seen <= events[0]["output_visible"] < 1900


@pytest.mark.parametrize("upstream", [{}, ALL, ANTHROPIC])
def test_counting_tokens_needs_an_engine_that_can(tmp_path, engine, upstream):
    async def work(_, client, ledger):
        if not upstream:
            with pytest.raises(anthropic.NotFoundError, match="do not count tokens"):
                await client.messages.count_tokens(model="chat", messages=SAID)
            return None
        told = await client.messages.create(model="chat", messages=SAID, max_tokens=1)
        return (await client.messages.count_tokens(model="chat", messages=SAID)).input_tokens, told.usage.input_tokens

    found, events = through(tmp_path, engine, work, upstream)
    assert len(events) == (1 if upstream else 0)  # counting makes no tokens, and no event
    assert not upstream or found[0] == found[1]


def test_what_the_engine_refuses_reaches_both_sdks_as_their_error(tmp_path, engine):
    long = [{"role": "user", "content": "x" * 9000}]

    async def work(one, other, ledger):
        with pytest.raises(anthropic.BadRequestError) as refused:
            await other.messages.create(model="chat", messages=long, max_tokens=5)
        with pytest.raises(anthropic.NotFoundError) as unknown:
            await other.messages.create(model="nobody", messages=SAID, max_tokens=5)
        with pytest.raises(openai.BadRequestError) as too_long:
            await one.responses.create(model="chat", input="x" * 9000)
        return refused.value.body, unknown.value.body, str(too_long.value)

    (refused, unknown, too_long), events = through(tmp_path, engine, work, {})
    assert (refused["type"], refused["error"]["type"]) == ("error", "invalid_request_error")
    assert "context" in refused["error"]["message"]
    assert unknown["error"]["type"] == "not_found_error"
    assert "context" in too_long
    assert events == []


def test_an_upstream_of_anthropics_dialect_is_not_asked_in_another(tmp_path, engine):
    async def work(one, _, ledger):
        for ask in (
            one.chat.completions.create(model="chat", messages=SAID),
            one.responses.create(model="chat", input="hi"),
        ):
            with pytest.raises(openai.BadRequestError, match="POST /v1/messages"):
                await ask

    assert through(tmp_path, engine, work, ANTHROPIC) == (None, [])


async def features(client):
    """Of chat completions, through the gateway."""

    def ask(**more):
        return client.chat.completions.create(model="chat", messages=SAID, max_tokens=8, temperature=0, **more)

    plain = await ask()
    several = await ask(n=3)
    likely = await ask(logprobs=True, top_logprobs=3)
    stopped = await ask(stop=[plain.choices[0].message.content[3:5]])
    drawn = [
        await client.chat.completions.create(model="chat", messages=SAID, max_tokens=8, temperature=1.5, seed=s)
        for s in (7, 7, 8)
    ]
    return plain, several, likely, stopped, drawn


def test_features_of_chat_completions(tmp_path, engine):
    async def work(one, _, ledger):
        return await features(one)

    (plain, several, likely, stopped, drawn), events = through(tmp_path, engine, work, {})
    text = plain.choices[0].message.content
    assert [c.message.content for c in several.choices] == [text] * 3
    assert [c.token for c in likely.choices[0].logprobs.content] == list(text)
    assert all(len(c.top_logprobs) == 3 for c in likely.choices[0].logprobs.content)
    assert text.startswith(stopped.choices[0].message.content)
    assert stopped.choices[0].finish_reason == "stop"
    same, again, other = (d.choices[0].message.content for d in drawn)
    assert same == again != other
    assert [e["output_visible"] for e in events] == [
        a.usage.completion_tokens for a in (plain, several, likely, stopped, *drawn)
    ]


def test_log_probabilities_of_responses(tmp_path, engine):
    async def work(one, _, ledger):
        return await one.responses.create(
            model="chat",
            input="hi",
            max_output_tokens=6,
            temperature=0,
            top_logprobs=2,
            include=["message.output_text.logprobs"],
        )

    answer, _ = through(tmp_path, engine, work, {})
    content = answer.output[0].content[0]
    assert [c.token for c in content.logprobs] == list(content.text)
    assert all(len(c.top_logprobs) == 2 for c in content.logprobs)
