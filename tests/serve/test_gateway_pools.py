"""Prefill and decode pools behind the gateway: what each engine is asked, in which order; one event a call; lost engines."""

import asyncio
import json

import numpy as np
import pytest
from live_gateway import CHUNK, DONE, USAGE_CHUNK, Engine, run
from pool_front import ASK, PARAMS, asked_of, failing, handing, pool_front
from test_one_life import until

from tokenworks.api import load
from tokenworks.control.routing import choose
from tokenworks.control.tournament import rebuild, tree_for
from tokenworks.errors import SpecError
from tokenworks.serve.upstreams.routing import session_number
from tokenworks.spec.factory import ROUTING

ASKED_FIRST = {
    "do_remote_decode": True, "do_remote_prefill": False, "remote_engine_id": None, "remote_block_ids": None,
    "remote_host": None, "remote_port": None,
}  # fmt: skip


# ---------------------------------------------------------------------- vLLM: one after the other


@pytest.mark.parametrize("streams", [False, True])
def test_the_decode_engine_gets_what_the_prefill_engine_handed_over(tmp_path, streams):
    prefill, decode = handing(), Engine()
    body = {**ASK, "max_completion_tokens": 50, "min_tokens": 4, "temperature": 0.5, "stream": streams}

    async def case():
        async with pool_front(tmp_path, [prefill], [decode]) as gate:
            answer = await gate.post(body)
            return answer, await gate.events(1)

    (status, _, text), (event,) = run(case())
    assert status == 200
    assert text.endswith(DONE) if streams else json.loads(text)["choices"]
    (first,), (second,) = asked_of(prefill), asked_of(decode)
    assert first.pop("stream_options", None) is None
    assert first == {
        **body, "max_completion_tokens": 1, "max_tokens": 1, "min_tokens": 0, "stream": False,
        "kv_transfer_params": ASKED_FIRST,
    }  # fmt: skip
    usage = {"stream_options": {"include_usage": True}} if streams else {}
    assert second == {**body, **usage, "kv_transfer_params": PARAMS}
    assert prefill.asked[0].headers[b"x-request-id"] == decode.asked[0].headers[b"x-request-id"]
    assert (event["input_fresh"], event["output_visible"], event["usage_status"]) == (11, 3, "final")
    assert event["attempt"] == 1


def test_all_that_is_not_changed_goes_on_as_it_came(tmp_path):
    prefill, decode = handing(), Engine()
    body = b'{ "model":"chat" , "messages":[{"role":"user","content":"\\u00e9 \\"kv_transfer_params\\""}],"seed":  7}'

    async def case():
        async with pool_front(tmp_path, [prefill], [decode]) as gate:
            return await gate.post(body)

    assert run(case())[0] == 200
    assert decode.asked[0].body == body[:-1] + b',"kv_transfer_params":%b}' % json.dumps(PARAMS).encode()
    assert prefill.asked[0].body.startswith(body[:-1] + b',"stream":false,"max_tokens":1,"kv_transfer_params":{')


@pytest.mark.parametrize("broken", [failing(503), handing(None)], ids=["refuses", "has no connector"])
def test_a_failed_prefill_is_tried_elsewhere(tmp_path, broken):
    well, decode = handing(), Engine()

    async def case():
        async with pool_front(tmp_path, [broken, well], [decode]) as gate:
            answer = await gate.post(ASK)
            rows = await gate.events(1)
            return answer, rows, gate.served[0]

    (status, _, _), rows, served = run(case())
    assert status == 200
    assert len(well.asked) == len(decode.asked) == 1
    assert [r["usage_status"] for r in rows if r["usage_status"] == "final"] == ["final"]
    assert served.prefill.outstanding == [0, 0]
    assert served.router.outstanding == [0]


def test_a_lost_decode_engine_makes_the_call_begin_with_a_prefill(tmp_path):
    """The cache that one has fetched is gone: the prompt is read again, and the other decode engine gets the new one's."""
    prefill, lost, well = handing(), failing(503), Engine()

    async def case():
        async with pool_front(tmp_path, [prefill], [lost, well]) as gate:
            answer = await gate.post(ASK)
            served = gate.served[0]
            return answer, served.prefill.outstanding, served.router.outstanding

    (status, _, _), first, second = run(case())
    assert status == 200
    assert (len(prefill.asked), len(lost.asked), len(well.asked)) == (2, 1, 1)
    assert (first, second) == ([0], [0, 0])


def test_a_stream_that_has_begun_goes_on_after_another_prefill(tmp_path):
    async def breaks(request, connection):
        connection.begin(200, b"text/event-stream")
        connection.chunk(CHUNK)
        await asyncio.sleep(0.05)
        connection.break_off(b"")

    def ends(request, connection):
        connection.begin(200, b"text/event-stream")
        connection.finish(CHUNK + USAGE_CHUNK + DONE)

    prefill, lost, well = handing(), Engine(breaks), Engine(ends)

    async def case():
        async with pool_front(tmp_path, [prefill], [lost, well], upstream={"continues": True}) as gate:
            return await gate.post({**ASK, "stream": True, "max_tokens": 9})

    status, _, text = run(case())
    assert status == 200
    assert text.endswith(DONE)
    again = asked_of(prefill)[1]
    assert again["messages"][-1] == {"role": "assistant", "content": "w"}
    assert (again["max_tokens"], again["stream"]) == (1, False)
    assert asked_of(well)[0]["messages"] == again["messages"]
    assert asked_of(well)[0]["kv_transfer_params"] == PARAMS


@pytest.mark.parametrize("status", [400, 404])
def test_what_the_prefill_engine_says_of_a_bad_call_is_said_to_the_caller(tmp_path, status):
    decode = Engine()

    async def case():
        async with pool_front(tmp_path, [failing(status), handing()], [decode]) as gate:
            return await gate.post(ASK)

    assert run(case())[0] == status
    assert decode.asked == []


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_no_decode_engine_no_answer_and_what_was_read_is_metered(tmp_path, when):
    prefill, decode, gates = handing(), Engine(), []
    hands = prefill.script

    def script(request, connection):
        gates[0].served[0].router.drain(0, True)
        hands(request, connection)

    prefill.script = script

    async def case():
        async with pool_front(tmp_path, [prefill], [decode]) as gate:
            gates.append(gate)
            gate.served[0].router.drain(0, when == "before")
            answer = await gate.post(ASK)
            await asyncio.sleep(0.1)
            return answer, gate.ledger.usage_table().to_pylist(), [r.outstanding for r in gate.served[0].routers]

    (status, _, text), events, outstanding = run(case())
    assert status == 503
    assert json.loads(text)["error"]["code"] == "no_upstream"
    assert len(prefill.asked) == len(events) == (when == "meanwhile")
    assert all((e["failed"], e["input_fresh"]) == (True, 11) for e in events)
    assert decode.asked == []
    assert outstanding == [[0], [0]]


@pytest.mark.parametrize("how", ["the caller leaves", "a deadline"])
def test_who_gives_up_during_the_prefill_ends_it(tmp_path, how):
    prefill, decode = Engine(lambda request, connection: None), Engine()

    async def case():
        async with pool_front(tmp_path, [prefill], [decode]) as gate:
            headers = ["X-Request-Timeout: 0.05"] if how == "a deadline" else []
            asking = asyncio.create_task(gate.post(ASK, headers=headers))
            await until(lambda: prefill.asked)
            if how == "a deadline":
                assert (await asking)[0] == 504
            else:
                asking.cancel()
            await until(lambda: prefill.gone)
            served = gate.served[0]
            assert [r.outstanding for r in served.routers] == [[0], [0]]
            return await gate.events(1)

    (event,) = run(case())
    assert event["usage_status"] != "final"
    assert decode.asked == []


@pytest.mark.parametrize(
    ("body", "path", "param"),
    [
        ({**ASK, "n": 2}, "/v1/chat/completions", "n"),
        ({**ASK, "kv_transfer_params": PARAMS}, "/v1/chat/completions", "kv_transfer_params"),
        ({**ASK, "bootstrap_room": 4}, "/v1/chat/completions", "bootstrap_room"),
        ({"model": "chat", "input": "a"}, "/v1/embeddings", "model"),
    ],
)
def test_what_pools_are_not_asked_is_refused(tmp_path, body, path, param):
    """A caller's own handover could name the cache of somebody else's prompt."""
    prefill, decode = handing(), Engine()

    async def case():
        async with pool_front(tmp_path, [prefill], [decode]) as gate:
            return await gate.post(body, path)

    status, _, text = run(case())
    assert (status, json.loads(text)["error"]["param"]) == (400, param)
    assert prefill.asked == decode.asked == []


def test_responses_and_messages_are_translated(tmp_path):
    prefill, decode = handing(), Engine()

    async def case():
        async with pool_front(tmp_path, [prefill], [decode]) as gate:
            said = {"model": "chat", "max_tokens": 30, "messages": ASK["messages"]}
            return await gate.post(said, "/v1/messages"), await gate.post(
                {"model": "chat", "input": "hi"}, "/v1/responses"
            )

    answers = run(case())
    assert [a[0] for a in answers] == [200, 200]
    assert [b["kv_transfer_params"] for b in asked_of(decode)] == [PARAMS, PARAMS]


def test_each_pool_has_the_policy_for_itself(tmp_path):
    """Round robin over three and two, as in the twin (`arrivals.route`: a turn for each pool)."""
    prefills, decodes = [handing() for _ in range(3)], [Engine() for _ in range(2)]

    async def case():
        async with pool_front(tmp_path, prefills, decodes) as gate:
            for k in range(6):
                await gate.post({**ASK, "seed": k})

    run(case())
    assert [[b["seed"] for b in asked_of(e)] for e in prefills] == [[0, 3], [1, 4], [2, 5]]
    assert [[b["seed"] for b in asked_of(e)] for e in decodes] == [[0, 2, 4], [1, 3, 5]]


@pytest.mark.parametrize("policy", ["random", "power-of-two", "session", "least-loaded", "kv-aware"])
def test_one_call_after_the_other_goes_where_the_policy_says(tmp_path, policy):
    """The policy's own function, once for each pool: the same number of the call, the loads of an idle pool."""
    prefills, decodes = [handing() for _ in range(3)], [Engine() for _ in range(2)]

    async def case():
        async with pool_front(tmp_path, prefills, decodes, routing=policy) as gate:
            for k in range(8):
                await gate.post({**ASK, "seed": k, "user": f"u{k}"})

    run(case())
    code, seed = ROUTING.index(policy), load("laptop").run.seed
    for engines in (prefills, decodes):
        found = {b["seed"]: n for n, e in enumerate(engines) for b in asked_of(e)}
        loads = np.zeros(len(engines), np.int64)
        tree = tree_for(len(engines))
        rebuild(tree, loads)
        for k in range(8):
            expected = choose(code, loads, tree, k, seed, k, session_number(f"u{k}"))
            assert found[k] == (0 if policy == "kv-aware" else expected), (k, engines is decodes)  # no block is cached


def test_a_budget_holds_one_bound_for_both_legs(tmp_path):
    prefill, decode = handing(), Engine()
    bounds = [{"service": "chat", "template_tokens": 64, "context_tokens": 4096}]
    budgets = [{"name": "b", "tokens": 1000, "per": "tenant"}]

    async def case():
        async with pool_front(tmp_path, [prefill], [decode], budgets=budgets, bounds=bounds) as gate:
            answers = [await gate.post({**ASK, "max_tokens": 5000}) for _ in range(3)]
            return answers, [r["output_visible"] for r in await gate.events(3)]

    answers, made = run(case())
    assert [a[0] for a in answers] == [200] * 3
    assert made == [3, 3, 3]
    assert [b["max_tokens"] for b in asked_of(prefill)] == [1, 1, 1]
    granted = [int(a[1]["x-tokenworks-max-tokens"]) for a in answers]
    assert [b["max_tokens"] for b in asked_of(decode)] == granted
    assert granted == [granted[0], granted[0] - 14, granted[0] - 28]  # what the event says, and nothing for the prefill


def test_a_drained_prefill_upstream_gets_no_calls_and_each_has_a_number(tmp_path):
    prefills, decode = [handing(), handing()], Engine()

    async def case():
        async with pool_front(tmp_path, prefills, [decode]) as gate:
            gate.served[0].places[0].drain(True)
            for _ in range(3):
                await gate.post(ASK)
            return (await gate.get("/v1/metrics"))[2].decode()

    page = run(case())
    assert [len(e.asked) for e in prefills] == [0, 3]
    for number, pool in enumerate(("prefill", "prefill", "decode")):
        assert f'tokenworks_upstream_outstanding{{service="chat",upstream="{number}",pool="{pool}"}} 0' in page


def test_a_fallback_answers_where_no_decode_engine_is_well(tmp_path):
    """The service that stands in has no pools, so no handover is said to it."""
    prefill, decode, other = handing(), Engine(), Engine()

    async def case():
        async with pool_front(tmp_path, [prefill], [decode], beside=other, fallbacks={"chat": ["plain"]}) as gate:
            gate.served[0].router.drain(0, True)
            before = await gate.post(ASK)
            gate.served[0].router.drain(0, False)
            decode.script = lambda request, connection: connection.respond(503, b"{}")
            return before, await gate.post(ASK)

    answers = run(case())
    assert [(a[0], a[1]["x-tokenworks-service"]) for a in answers] == [(200, "plain")] * 2
    assert asked_of(other) == [{**ASK, "model": "small"}] * 2
    assert (len(prefill.asked), len(decode.asked)) == (1, 1)


# ---------------------------------------------------------------------- SGLang: both at once


@pytest.mark.parametrize("streams", [False, True])
def test_both_engines_meet_in_a_room(tmp_path, streams):
    """The prefill engine answers only when the decode engine has been asked, as SGLang's does."""
    decode = Engine()

    async def script(request, connection):
        await until(lambda: decode.asked)
        decode_works(request, connection)

    prefill = Engine(script)
    decode_works = decode.works

    async def case():
        async with pool_front(tmp_path, [prefill], [decode], "sglang", upstream={"bootstrap_port": 9001}) as gate:
            answer = await gate.post({**ASK, "stream": streams})
            await until(lambda: gate.served[0].prefill.outstanding == [0])
            return answer, await gate.events(1)

    (status, _, _), (event,) = run(case())
    assert status == 200
    (first,), (second,) = asked_of(prefill), asked_of(decode)
    assert first == second
    assert (first["bootstrap_host"], first["bootstrap_port"]) == ("127.0.0.1", 9001)
    assert 0 <= first["bootstrap_room"] < 2**63
    assert (event["input_fresh"], event["output_visible"]) == (11, 3)


def test_a_prefill_that_fails_beside_begins_the_call_anew_in_another_room(tmp_path):
    decode = Engine(lambda request, connection: None)  # waits for a cache that does not come

    def script(request, connection):
        if len(decode.asked) > 1:
            decode.works(request, connection)

    decode.script = script
    lost, well = failing(500), Engine()

    async def case():
        async with pool_front(tmp_path, [lost, well], [decode], "sglang") as gate:
            answer = await gate.post(ASK)
            await until(lambda: gate.served[0].prefill.outstanding == [0, 0])
            return answer, await gate.events(2), gate.served[0].router

    (status, _, _), rows, router = run(case())
    assert status == 200
    rooms = [b["bootstrap_room"] for b in asked_of(decode)]
    assert len(set(rooms)) == 2
    assert asked_of(well)[0]["bootstrap_room"] == rooms[1]
    assert decode.gone == 1
    assert sorted(r["usage_status"] == "final" for r in rows) == [False, True]
    assert router.outstanding == [0]
    assert router.breakers[0].closed


def test_who_leaves_ends_both(tmp_path):
    prefill, decode = (Engine(lambda request, connection: None) for _ in range(2))

    async def case():
        async with pool_front(tmp_path, [prefill], [decode], "sglang") as gate:
            asking = asyncio.create_task(gate.post(ASK))
            await until(lambda: prefill.asked and decode.asked)
            asking.cancel()
            await until(lambda: prefill.gone and decode.gone)
            return [r.outstanding for r in gate.served[0].routers]

    assert run(case()) == [[0], [0]]


# ---------------------------------------------------------------------- the file


URL = "http://10.0.0.5:8000"
PREFILL, DECODE = ({"service": "chat", "url": URL, "role": role} for role in ("prefill", "decode"))


@pytest.mark.parametrize(
    ("changes", "upstreams", "said"),
    [
        ({}, [{**PREFILL}], "chat has no pools: leave role out"),
        (POOLED := {"pools": True}, [PREFILL], "chat has no decode upstream; list one with role: decode"),
        (POOLED, [DECODE], "chat has no prefill upstream"),
        (POOLED, [{"service": "chat", "url": URL}], "say role: prefill or role: decode"),
        (POOLED, [{**PREFILL, "role": "prefil"}, DECODE], "prefill"),
        (POOLED, [PREFILL, {**DECODE, "handover": "sglang"}], "hand over in one way, not as sglang and vllm"),
        (POOLED, [PREFILL, {**DECODE, "max_requests": 3}], "limit the prefill upstreams"),
        (POOLED, [{**PREFILL, "serves": ["messages"]}, DECODE], "chat completions and completions alone"),
        ({**POOLED, "engine": "tensorrt-llm"}, [PREFILL, DECODE], "say handover: vllm or sglang"),
    ],
)
def test_a_file_whose_pools_do_not_fit_is_refused(changes, upstreams, said):
    pools = {"systems.box.count": 8, "services.chat.workers": None,
             "services.chat.prefill": {"workers": 1}, "services.chat.decode": {"workers": 1}}  # fmt: skip
    made = pools if changes.get("pools") else {}
    engine = {"services.chat.engine": changes["engine"]} if "engine" in changes else {}
    with pytest.raises(SpecError, match=r"serve\.upstreams") as error:
        load("laptop").replace_all({**made, **engine, "serve": {"upstreams": upstreams}})
    assert said in str(error.value)


@pytest.mark.parametrize("leaves", [False, True])
def test_a_prefill_engine_is_needed_until_the_decode_engine_begins(tmp_path, leaves):
    """Or until nobody wants the answer any more."""
    may = asyncio.Event()

    async def waits(request, connection):
        await may.wait()
        connection.begin(200, b"text/event-stream")
        connection.chunk(CHUNK)
        await asyncio.sleep(0.05)
        connection.finish(USAGE_CHUNK + DONE)

    prefill, decode = handing(), Engine(waits)

    async def case():
        async with pool_front(tmp_path, [prefill], [decode]) as gate:
            pool = gate.served[0].prefill
            asking = asyncio.create_task(gate.post({**ASK, "stream": True}))
            await until(lambda: decode.asked)
            needed = pool.outstanding[0], pool.fetched[0], pool.works_on(0)
            if leaves:
                asking.cancel()
            else:
                may.set()
                await asking
            await until(lambda: not pool.works_on(0))
            may.set()
            return needed

    assert run(case()) == (0, 1, 1)
