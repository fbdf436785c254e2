"""Emulated workers: the twin's own steps, however late they are looked at; answers in OpenAI's shape; a stated pace."""

import asyncio
import json

import numpy as np
import pytest
from live_gateway import CHAT, call, run
from random_cases import random_model

from tokenworks.api import load
from tokenworks.errors import InputError
from tokenworks.events.requests import Requests
from tokenworks.serve.emulate import start as emulate_start
from tokenworks.serve.emulate.pace import most_tokens_s, require_pace
from tokenworks.serve.emulate.start import emulated
from tokenworks.serve.emulate.text import WORD_BYTES
from tokenworks.twin.cell import FINISHED, Cell, ServicePlan, TwinOptions
from tokenworks.twin.live import LiveWorker
from tokenworks.twin.simulate import simulate


def drawn(dice, model):
    n = int(dice.integers(1, 25))
    spread = int(dice.choice([1, 10**4, 10**10, 10**15]))
    return Requests(
        arrival=np.sort(dice.integers(0, spread, n)), input_tokens=dice.integers(1, 40, n).astype(np.int32),
        output_tokens=dice.integers(1, 20, n).astype(np.int32), service=np.zeros(n, np.int16), tenant=np.zeros(n, np.int32),
        session=np.full(n, -1), priority=np.zeros(n, np.int8), timeout=np.zeros(n, np.int64), think=np.zeros(n, np.int64),
        block_start=np.zeros(n + 1, np.int64), block_hash=np.zeros(0, np.uint64), hash_block_tokens=1,
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(60))
def test_a_live_worker_ends_every_request_at_the_tick_at_which_the_twin_ends_it(seed):
    """Against the compiled kernel, on nasty models: first tokens, last tokens and counts; looked at now and then."""
    dice = np.random.default_rng(seed)
    model = random_model(dice, 0)
    asked = drawn(dice, model)
    log = simulate(Cell((model,), (0,), (ServicePlan("s", workers=(0,)),)), asked, TwinOptions(record=True)).log
    worker, first, finish, made, numbers = LiveWorker(model), {}, {}, {}, {}

    def look(now):
        for tick, steps in worker.advance(now):
            for step in steps:
                number = numbers[step.request.number]
                first.setdefault(number, tick)
                made[number] = made.get(number, 0) + step.tokens
                if step.finished:
                    finish[number] = tick

    for number in range(len(asked)):
        now = int(asked.arrival[number])
        if dice.random() < 0.5:
            look(now - 1)
        look(now) if now not in asked.arrival[:number] else None
        entered = worker.enter(int(asked.input_tokens[number]), int(asked.output_tokens[number]), now)
        if entered is not None:
            numbers[entered.number] = number
    look(2**62)
    done = [i for i in range(len(asked)) if log.status[i] == FINISHED]
    ties = len(set(asked.arrival.tolist())) < len(asked)
    if not ties:  # of requests that come in one tick the twin builds a step when all are there
        assert {i: int(log.finish[i]) for i in done} == finish
        assert {i: int(log.first_token[i]) for i in done} == first
    assert {i: int(asked.output_tokens[i]) for i in done} == made
    assert worker.outstanding == 0


def test_a_dropped_request_gives_back_its_place():
    model = random_model(np.random.default_rng(3), 0)
    worker = LiveWorker(model)
    entered = [worker.enter(3, 5, 0) for _ in range(8)]
    for request in entered:
        worker.drop(request)
    assert worker.outstanding == 0
    assert [rank.free for rank in worker._worker.ranks] == [model.kv_blocks] * model.ranks


def chat(**more):
    return json.dumps({"model": "chat", "messages": [{"role": "user", "content": "hi"}], **more}).encode()


@pytest.fixture
def fast_machine(monkeypatch):
    async def chunks_s():
        return 1e9

    monkeypatch.setattr(emulate_start, "chunks_s", chunks_s)


def asked_of_emulated(*bodies, path=CHAT, streams=0):
    """Answers of the emulated workers of `laptop` at 50 times the speed."""

    async def case():
        async with emulated(load("laptop"), 50.0, streams) as upstreams:
            address = upstreams["chat"][0]._address
            return await asyncio.gather(*(call(address.port, "POST", address.base + path, body) for body in bodies))

    return run(case())


def test_answers_have_openais_shape_and_the_tokens_that_were_asked_for(fast_machine):
    whole, stream, stated = asked_of_emulated(
        chat(max_tokens=7),
        chat(max_completion_tokens=5, stream=True, stream_options={"include_usage": True}),
        chat(emulate={"input_tokens": 100, "output_tokens": 3}),
    )
    answer = json.loads(whole[2])
    assert answer["object"] == "chat.completion"
    said = answer["choices"][0]["message"]["content"]
    assert len(set(said.split())) == 7
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 7
    events = [json.loads(e[6:]) for e in stream[2].decode().split("\n\n") if e.startswith("data: {")]
    assert events[0]["choices"][0]["delta"]["role"] == "assistant"
    assert "".join(c["delta"].get("content", "") for e in events for c in e["choices"]) == said[: 5 * WORD_BYTES]
    assert events[-1]["usage"]["completion_tokens"] == 5
    assert stream[2].endswith(b"data: [DONE]\n\n")
    told = json.loads(stated[2])
    assert told["usage"] == {
        "prompt_tokens": 100,
        "completion_tokens": 3,
        "total_tokens": 103,
        "energy_uj": told["usage"]["energy_uj"],
    }
    assert told["choices"][0]["finish_reason"] == "stop"


def test_a_begun_answer_is_gone_on_with(fast_machine):
    """Chats by their last message, completions by the end of their prompt; an answer that was complete has no more words."""
    user = {"role": "user", "content": "hi"}

    def begun(text, **more):
        return chat(messages=[user, {"role": "assistant", "content": text}], continue_final_message=True, **more)

    whole = json.loads(asked_of_emulated(chat(max_tokens=30))[0][2])["choices"][0]["message"]["content"]
    half = whole[: 12 * WORD_BYTES]
    rest, stated, over, wrong = asked_of_emulated(
        begun(half, max_tokens=18),
        begun(half, emulate={"output_tokens": 14}),
        begun(half, emulate={"output_tokens": 12}),
        begun([{"type": "text", "text": "x"}]),
    )
    told = [json.loads(a[2]) for a in (rest, stated, over)]
    assert [half + t["choices"][0]["message"]["content"] for t in told] == [whole, whole[: 14 * WORD_BYTES], half]
    assert [t["usage"]["completion_tokens"] for t in told] == [18, 2, 0]
    assert wrong[0] == 400
    once = json.dumps({"model": "chat", "prompt": "once", "max_tokens": 9}).encode()
    first = json.loads(asked_of_emulated(once, path="/v1/completions")[0][2])["choices"][0]["text"]
    more = json.dumps({"model": "chat", "prompt": "once" + first[: 4 * WORD_BYTES], "max_tokens": 5}).encode()
    assert (
        json.loads(asked_of_emulated(more, path="/v1/completions")[0][2])["choices"][0]["text"]
        == first[4 * WORD_BYTES :]
    )


def test_what_is_not_emulated_is_refused(fast_machine):
    wrong = [
        chat(n=2),
        chat(emulate={"output": 3}),
        b"{}",
        chat(emulate={"input_tokens": 10_000_000}),
        chat(max_tokens=0),
    ]
    assert [a[0] for a in asked_of_emulated(*wrong)] == [400] * 5
    assert asked_of_emulated(chat(), path="/v1/images")[0][0] == 404


def test_no_more_answers_at_a_time_than_stated(fast_machine):
    found = asked_of_emulated(*[chat(max_tokens=200)] * 5, streams=3)
    assert sorted(a[0] for a in found) == [200] * 3 + [429] * 2
    assert {a[1].get("retry-after") for a in found if a[0] == 429} == {"1"}


def test_a_caller_who_leaves_leaves_the_batch(fast_machine):
    async def case():
        async with emulated(load("laptop"), 1.0, 0) as upstreams:
            address = upstreams["chat"][0]._address
            _, writer = await asyncio.open_connection("127.0.0.1", address.port)
            body = chat(max_tokens=5000, stream=True)
            writer.write(
                b"POST %b%b HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n%b"
                % (address.base.encode(), CHAT.encode(), len(body), body)
            )
            await asyncio.sleep(0.1)
            writer.close()
            return await call(address.port, "POST", address.base + CHAT, chat(max_tokens=1))

    assert run(case())[0] == 200


def test_a_pace_that_the_machine_cannot_stream_is_refused_with_one_that_it_can():
    with pytest.raises(InputError, match=r"--speed 0\.06 or a limit") as refused:
        require_pace("tulsa-1", 1_000_000.0, 100_000.0, 1.0, 0)
    assert "this machine can stream 60,000" in str(refused.value)
    require_pace("tulsa-1", 1_000_000.0, 100_000.0, 0.06, 0)
    with pytest.raises(InputError, match=r"--streams 60"):
        require_pace("tulsa-1", 100_000.0, 100_000.0, 1.0, 100)
    require_pace("tulsa-1", 60_000.0, 100_000.0, 1.0, 60)


def test_the_most_that_workers_make_is_that_of_their_step_tables():
    """By hand: full batches at the step time of the last entry, or so many answers at that of a single one."""
    model = random_model(np.random.default_rng(1), 0)
    table = model.levels[0]
    step = lambda n: (table.decode[:, n] + table.shared_decode[:, n * model.ranks]).max() / 2**20 / 1e11  # noqa: E731
    rates = [n * model.ranks * model.tokens_per_step / step(n) for n in range(1, model.max_seqs + 1)]
    assert most_tokens_s([model], [0, 0, 0], 0) == pytest.approx(3 * max(rates))
    assert most_tokens_s([model], [0, 0, 0], 2) == pytest.approx(min(3 * max(rates), 2 * rates[0]))
