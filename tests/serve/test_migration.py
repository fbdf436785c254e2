"""Streams whose engine is killed go on at another one: no token repeated, none missing, one id, one usage."""

import asyncio
import json

import numpy as np
import pytest
from live_gateway import CHAT, CHUNK, DONE, Engine, call, front, run
from worker_farm import farm

from tokenworks.api import load
from tokenworks.ledger import Ledger
from tokenworks.serve.building import services_of, upstreams_of
from tokenworks.serve.emulate.text import Message, state_of_chat, state_of_prompt, words
from tokenworks.serve.start import gateway

COMPLETIONS = "/v1/completions"


def compact(value):
    """JSON as the SDKs send it."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def expected(body):
    """What the emulated engine says, from its definition."""
    if "prompt" in body:
        state = state_of_prompt(body["prompt"])
    else:
        state = state_of_chat([Message(m["role"], m["content"]) for m in body["messages"]], None)
    return words(state, body.get("max_tokens", 128))[0]


def events_of(data):
    return [json.loads(e[6:]) for e in data.decode().split("\n\n") if e.startswith("data: {")]


def text_of(events):
    choices = [c for e in events for c in e.get("choices", ())]
    return "".join((c.get("delta") or {}).get("content") or c.get("text") or "" for c in choices)


def asked(number, dice):
    """A call: chats and completions, with and without a limit or the wish for usage."""
    body = {"model": "chat", "stream": True}
    text = f"prompt {number} {'é' * int(dice.integers(0, 60))}\n"
    if dice.random() < 0.5:
        body |= {"prompt": text, "max_tokens": int(dice.integers(20, 150))}
    else:
        body["messages"] = [{"role": "system", "content": "s"}, {"role": "user", "content": text}]
        body |= {"max_tokens": int(dice.integers(20, 150))} if dice.random() < 0.7 else {}
    return body | ({"stream_options": {"include_usage": True}} if dice.random() < 0.5 else {})


def check(body, answer):
    """One stream as the caller saw it. Returns its id."""
    status, _, data = answer
    events = events_of(data)
    assert status == 200, data[-400:]
    assert data.endswith(b"data: [DONE]\n\n")
    assert text_of(events) == expected(body)
    assert len({(e["id"], e["created"], e["model"], e["object"]) for e in events}) == 1
    choices = [c for e in events for c in e["choices"]]
    assert sum("role" in (c.get("delta") or {}) for c in choices) == ("messages" in body)
    reasons = [c["finish_reason"] for c in choices if c["finish_reason"]]
    assert reasons == ["length" if "max_tokens" in body else "stop"]
    if "stream_options" in body and not events[-1]["choices"]:  # else it was lost after its last word, its usage untold
        told = events[-1]["usage"]
        assert told["completion_tokens"] == body.get("max_tokens", 128)
        assert told["total_tokens"] == told["prompt_tokens"] + told["completion_tokens"]
        if "messages" in body:  # of a begun text the emulated engine cannot tell what was prompt
            assert told["prompt_tokens"] == -(-len(compact(body["messages"])) // 4)


def test_the_emulated_engine_goes_on_word_for_word():
    """Its definition, without a gateway: a text cut anywhere is gone on with as if it had not been cut."""
    messages = [Message("user", "hi")]
    whole, _ = words(state_of_chat(messages, None), 200)
    assert len(set(whole.split())) > 190  # a repeated or missing word would show
    for cut in (0, 6, 60, 600):
        assert whole[cut:] == words(state_of_chat(messages, whole[:cut]), 200 - cut // 6)[0]
    begun, state = words(state_of_prompt("once"), 50)
    assert words(state_of_prompt("once" + begun), 9)[0] == words(state, 9)[0]


async def kills(tmp_path, workers, wanted, callers, seed, every_s=(0.02, 0.1)):
    """So many kills of random workers under load, never of the last two that live. Returns (bodies, answers, events, gate)."""
    dice = np.random.default_rng(seed)
    rows = [
        {"service": "chat", "url": f"http://127.0.0.1:{p}/0", "continues": True, "continuous_usage": i % 2 == 0}
        for i, p in enumerate(workers.ports)
    ]
    serve = {"upstreams": rows, "retries": 10, "pause": "50 ms", "failures": 1, "drain": "1 s"}
    factory = load("laptop").replace_all({"serve": serve, "services.chat.routing": "least-loaded"})
    answers, over = [], asyncio.Event()

    async def killer(router):
        while workers.killed < wanted:
            await asyncio.sleep(float(dice.uniform(*every_s)))
            alive = [p for p in workers.ports if workers.pids[p]]
            known = sum(b.closed for b in router.breakers)
            if len(alive) > 2 and known > 2:
                workers.kill(int(dice.choice(alive)))
        over.set()

    async def caller(number, port):
        while not over.is_set():
            body = asked(number, dice)
            number += callers
            path = COMPLETIONS if "prompt" in body else CHAT
            answers.append((body, await call(port, "POST", path, compact(body))))

    with Ledger.open(tmp_path / "ledger.db") as ledger:
        async with gateway(
            factory, services_of(factory, upstreams_of(factory)), ledger, None, "127.0.0.1", 0
        ) as listening:
            router = listening.app.services[0].router
            await asyncio.gather(killer(router), *(caller(i, listening.port) for i in range(callers)))
            outstanding, lost = list(router.outstanding), listening.app.meter.lost
        return answers, ledger.usage_table().to_pylist(), outstanding, lost


def look(answers, events, outstanding, lost):
    """What must hold after any number of kills. Returns (streams, streams that went on elsewhere)."""
    for body, answer in answers:
        check(body, answer)
    assert outstanding == [0] * len(outstanding)
    assert lost == 0
    by_request = {}
    for event in events:
        by_request.setdefault(json.loads(event["tags"] or "{}").get("request") or event["id"], []).append(event)
    assert len(by_request) == len(answers)
    moved = 0
    for attempts in by_request.values():
        attempts.sort(key=lambda e: e["attempt"])
        assert len({e["attempt"] for e in attempts}) == len(attempts)
        *lost_ones, last = attempts
        assert last["usage_status"] == "final" or last["output_visible"]
        assert {e["usage_status"] for e in lost_ones} <= {"partial", "missing"}
        moved += any(e["usage_status"] == "partial" for e in attempts)
    return len(answers), moved


def test_killed_workers_cost_no_token_and_repeat_none(tmp_path):
    with farm(4) as workers:
        streams, moved = look(*run(kills(tmp_path, workers, 8, 8, 1)))
        assert moved > 3


@pytest.mark.prove
def test_two_hundred_killed_workers_cost_no_token_and_repeat_none(tmp_path, record_property):
    with farm(5, speed=8.0) as workers:
        streams, moved = look(*run(kills(tmp_path, workers, 200, 16, 2), 900))
        record_property("figure", f"{workers.killed} kills, {streams:,} streams whole, {moved:,} of them moved")
        assert workers.killed == 200
        assert moved > 100


def breaking(after, tail=b"", end=None):
    """A script: an engine that says ``after`` chunks and then dies; ``tail``: the beginning of an event before it does."""

    async def script(request, connection):
        connection.begin(200, b"text/event-stream")
        for _ in range(after):
            connection.chunk(CHUNK)
            await asyncio.sleep(0.002)
        if tail:
            connection.chunk(tail)
            await asyncio.sleep(0.01)
        connection.transport.abort() if end is None else connection.finish(end)

    return script


PLAIN = {"model": "chat", "messages": [{"role": "user", "content": "hi"}], "stream": True}
ABLE = {"continues": True}


def played(tmp_path, body, *engines, path=CHAT, events=1, upstream=ABLE):
    async def case():
        async with front(tmp_path, *engines, upstream=upstream) as gate:
            answer = await gate.post(body, path)
            asked = [[json.loads(r.body) for r in e.asked] for e in gate.engines]
            return answer, asked, await gate.events(events), gate.served[0].router.outstanding

    return run(case())


def test_the_other_engine_is_asked_to_go_on_and_limits_shrink(tmp_path):
    body = {**PLAIN, "max_tokens": 50, "min_tokens": 3, "temperature": 0.5, "seed": 7}
    (status, _, data), asked, events, outstanding = played(
        tmp_path, body, Engine(breaking(4, b'data: {"half')), Engine(), events=2
    )
    assert (status, outstanding) == (200, [0, 0])
    assert data == CHUNK * 7 + DONE  # what was cut in the middle was never said
    (first,), (second,) = asked
    assert second["messages"] == [*body["messages"], {"role": "assistant", "content": "wwww"}]
    assert (second["continue_final_message"], second["add_generation_prompt"]) == (True, False)
    assert (second["max_tokens"], second["min_tokens"], second["seed"], second["temperature"]) == (46, 0, 7, 0.5)
    assert "continue_final_message" not in first
    assert [(e["attempt"], e["usage_status"], e["output_visible"]) for e in events] == [
        (1, "partial", 4),
        (2, "final", 3),
    ]
    assert json.loads(events[1]["tags"]) == {"request": events[0]["id"]}
    assert events[1]["ttft_us"] is None  # its caller had his first token long before


def test_an_answer_whose_text_is_whole_is_ended_in_the_engines_place(tmp_path):
    """All tokens that the limit allows were there: nobody else is asked."""
    body = {**PLAIN, "max_tokens": 4}
    (status, _, data), asked, events, _ = played(tmp_path, body, Engine(breaking(4)), Engine())
    assert (status, asked[1]) == (200, [])
    assert data.startswith(CHUNK * 4)
    assert data.endswith(DONE)
    assert [c["finish_reason"] for e in events_of(data)[4:] for c in e["choices"]] == ["length"]
    assert [(e["usage_status"], e["output_visible"]) for e in events] == [("partial", 4)]


def test_the_reason_of_the_end_is_said_once(tmp_path):
    """An engine that dies between the reason and the end of the stream: the answer is whole."""
    stop = CHUNK.replace(b'"delta":{"content":"w"}', b'"delta":{},"finish_reason":"stop"')
    (status, _, data), asked, _, _ = played(tmp_path, PLAIN, Engine(breaking(3, stop)), Engine())
    assert (status, data, asked[1]) == (200, CHUNK * 3 + stop + DONE, [])


def test_an_engine_that_ends_before_the_end_has_broken_off(tmp_path):
    (status, _, data), asked, _, _ = played(tmp_path, PLAIN, Engine(breaking(2, end=CHUNK)), Engine(), events=2)
    assert (status, data) == (200, CHUNK * 6 + DONE)
    assert asked[1][0]["messages"][-1]["content"] == "www"


def test_an_engine_that_says_that_it_failed_is_left(tmp_path):
    """As vLLM does where its engine has died and its server has not: an error among the events, and [DONE]."""
    error = b'data: {"error":{"message":"EngineCore died","code":500}}\n\n'
    (status, _, data), asked, events, _ = played(
        tmp_path, PLAIN, Engine(breaking(2, CHUNK + error, DONE)), Engine(), events=2
    )
    assert (status, data) == (200, CHUNK * 6 + DONE)
    assert asked[1][0]["messages"][-1]["content"] == "www"
    assert [e["usage_status"] for e in events] == ["partial", "final"]


UNABLE = {
    "no engine that can": (PLAIN, {}),
    "several answers": ({**PLAIN, "n": 2}, ABLE),
    "tools": ({**PLAIN, "tools": [{"type": "function", "function": {"name": "f"}}]}, ABLE),
    "a prescribed form": ({**PLAIN, "response_format": {"type": "json_object"}}, ABLE),
    "a completion without a limit": ({"model": "chat", "prompt": "hi", "stream": True}, ABLE),
}


@pytest.mark.parametrize("name", UNABLE)
def test_what_cannot_be_gone_on_with_breaks_off(tmp_path, name):
    body, upstream = UNABLE[name]
    path = COMPLETIONS if "prompt" in body else CHAT
    (status, _, data), asked, events, outstanding = played(
        tmp_path, body, Engine(breaking(3)), Engine(), path=path, upstream=upstream
    )
    assert (status, asked[1], outstanding) == (0, [], [0, 0])
    assert b'"code":"upstream_failed"' in data
    assert b"[DONE]" not in data
    assert [(e["usage_status"], e["output_visible"]) for e in events] == [("partial", 3)]


def test_thoughts_are_not_gone_on_with(tmp_path):
    """A chat's last message holds what was said, not what was thought."""
    thought = CHUNK.replace(b'"content"', b'"reasoning_content"')
    (status, _, data), asked, _, _ = played(tmp_path, PLAIN, Engine(breaking(2, thought)), Engine())
    assert (status, asked[1]) == (0, [])


def test_a_role_that_comes_with_text_is_said_once(tmp_path):
    """SGLang and others put both into one event; the text of the second engine's stays."""
    both = CHUNK.replace(b'"delta":{', b'"delta":{"role":"assistant",')
    ends = CHUNK.replace(b'"delta":{"content":"w"}', b'"delta":{},"finish_reason":"stop"') + DONE
    (status, _, data), _, _, _ = played(
        tmp_path, PLAIN, Engine(breaking(0, both)), Engine(breaking(0, both + CHUNK, ends)), events=2
    )
    assert (status, text_of(events_of(data))) == (200, "www")
    assert data.count(b'"role"') == 1


def test_an_error_only_where_no_worker_is_left(tmp_path):
    """Every engine dies; each is tried once as long as none adds to the answer."""
    silent = Engine(breaking(0))
    (status, _, data), asked, events, _ = played(
        tmp_path, PLAIN, Engine(breaking(3)), silent, Engine(breaking(0)), events=3
    )
    assert (status, [len(a) for a in asked]) == (0, [1, 1, 1])
    assert data.startswith(CHUNK * 3)
    assert data.count(b'"error"') == 1
    assert sorted((e["attempt"], e["usage_status"]) for e in events) == [(1, "partial"), (2, "missing"), (3, "missing")]


def test_an_engine_that_refuses_to_go_on_is_passed_over(tmp_path):
    """Full ones would wait, so only errors count: the third one answers."""
    refusing = Engine(lambda request, connection: connection.respond(400, b"{}"))
    (status, _, data), asked, events, _ = played(tmp_path, PLAIN, Engine(breaking(3)), refusing, Engine(), events=2)
    assert (status, data, [len(a) for a in asked]) == (200, CHUNK * 6 + DONE, [1, 1, 1])


def test_a_caller_who_leaves_after_a_move_pays_for_both_parts(tmp_path):
    async def case():
        forever = Engine(
            lambda request, connection: (
                (connection.begin(200, b"text/event-stream"), connection.chunk(CHUNK))[:0] or None
            )
        )
        async with front(tmp_path, Engine(breaking(3)), forever, upstream=ABLE) as gate:
            text = json.dumps(PLAIN).encode()
            reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
            writer.write(
                b"POST %b HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n%b" % (CHAT.encode(), len(text), text)
            )
            came = b""
            while came.count(b'"content":"w"') < 4:
                came += await reader.read(10_000)
            writer.close()
            events = await gate.events(2)
            while not forever.gone:
                await asyncio.sleep(0.01)
            return events, gate.served[0].router.outstanding

    events, outstanding = run(case())
    assert [(e["usage_status"], e["output_visible"]) for e in events] == [("partial", 3), ("partial", 1)]
    assert outstanding == [0, 0]
