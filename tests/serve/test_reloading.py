"""A factory file that changes under a running gateway: calls under way are not touched, a bad file changes nothing."""

import asyncio
import json
import logging
from contextlib import asynccontextmanager

import pytest
from live_gateway import ANSWER, CHUNK, DONE, USAGE, Engine, Front, run, several

from tokenworks.api import load
from tokenworks.ledger import GroupCommit, Ledger
from tokenworks.serve.building import services_of, upstreams_of
from tokenworks.serve.limits.start import beside
from tokenworks.serve.start import Door, front

PLAIN = {"model": "chat", "messages": []}


def factory_of(ports, **serve):
    rows = [{"service": "chat", "url": f"http://127.0.0.1:{port}"} for port in ports]
    return load("laptop").replace_all(
        {"serve": {"upstreams": rows, "drain": "200 ms", **serve}, "services.chat.routing": "round-robin"}
    )


@asynccontextmanager
async def changing(tmp_path, *engines):
    """A gateway over the first engine, and the queue of what takes its place."""
    async with several(engines) as ports:
        factory, factories = factory_of(ports[:1]), asyncio.Queue()
        services = services_of(factory, upstreams_of(factory))
        with Ledger.open(tmp_path / "ledger.db") as ledger:
            door = Door(factories=factories)
            async with GroupCommit(ledger) as group, front(factory, services, group, None, door) as listening:

                async def take(factory):
                    factories.put_nowait(factory)
                    await asyncio.sleep(0.02)

                yield Front(listening, engines, ledger), ports, take


def test_upstreams_that_stay_keep_their_state_and_new_ones_take_calls(tmp_path):
    async def case():
        async with changing(tmp_path, Engine(), Engine()) as (gate, ports, take):
            router = gate.served[0].router
            for _ in range(4):
                await gate.post(PLAIN)
            warm = router.upstreams[0].pool._idle[0]
            await take(factory_of(ports))
            for _ in range(4):
                await gate.post(PLAIN)
            kept = warm in router.upstreams[0].pool._idle
            page = (await gate.get("/v1/metrics"))[2].decode()
            await take(factory_of(ports[1:]))
            for _ in range(4):
                await gate.post(PLAIN)
            return kept, [len(e.asked) for e in gate.engines], page, router.outstanding

    kept, asked, page, outstanding = run(case())
    assert kept
    assert asked == [6, 6]
    assert 'requests_total{service="chat",status="200"} 8' in page
    assert outstanding == [0, 0]


def test_a_stream_goes_on_over_an_upstream_that_is_gone(tmp_path):
    go = asyncio.Event()

    async def slow(request, connection):
        connection.begin(200, b"text/event-stream")
        connection.chunk(CHUNK)
        await go.wait()
        connection.chunk(CHUNK)
        connection.finish(DONE)

    async def case():
        async with changing(tmp_path, Engine(slow), Engine()) as (gate, ports, take):
            asking = asyncio.ensure_future(gate.post({**PLAIN, "stream": True}))
            await asyncio.sleep(0.05)
            router = gate.served[0].router
            before = list(router.outstanding)
            await take(factory_of(ports[1:]))
            other = await gate.post(PLAIN)
            go.set()
            status, _, body = await asking
            for _ in range(100):
                if not router.upstreams[0].pool._idle and not gate.listening.sweep.members:
                    break
                await asyncio.sleep(0.01)
            return before, other[0], status, body, router.outstanding, len(router.upstreams[0].pool._idle)

    before, other, status, body, after, idle = run(case())
    assert before == [1]
    assert (other, status, body) == (200, 200, CHUNK * 2 + DONE)
    assert (after, idle) == ([0, 0], 0)


def test_aliases_and_sizes_change_on_connections_that_are_open(tmp_path):
    async def case():
        async with changing(tmp_path, Engine()) as (gate, ports, take):
            reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)

            async def ask(model, padding=""):
                body = json.dumps({"model": model, "messages": [], "user": padding}).encode()
                head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: t\r\nContent-Length: {len(body)}\r\n\r\n"
                writer.write(head.encode() + body)
                line = await reader.readuntil(b"\r\n\r\n")
                size = int(line.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                await reader.readexactly(size)
                return int(line.split()[1])

            first = [await ask("gpt"), await ask("chat", "x" * 1_200_000)]
            await take(factory_of(ports, aliases={"gpt": "chat"}, body="1 MB"))
            second = [await ask("gpt"), await ask("chat", "x" * 1_200_000)]
            writer.close()
            return first, second

    assert run(case()) == ([404, 200], [200, 413])


def test_a_limit_of_an_upstream_holds_from_then_on(tmp_path):
    go = asyncio.Event()

    async def slow(request, connection):
        await go.wait()
        connection.respond(200, json.dumps({**ANSWER, "usage": USAGE}).encode())

    async def case():
        async with changing(tmp_path, Engine(slow)) as (gate, ports, take):
            first = asyncio.ensure_future(gate.post(PLAIN))
            await asyncio.sleep(0.05)
            rows = [{"service": "chat", "url": f"http://127.0.0.1:{ports[0]}", "max_requests": 1}]
            await take(factory_of([]).replace("serve.upstreams", rows))
            second = await gate.post(PLAIN)
            go.set()
            return second[0], (await first)[0]

    assert run(case()) == (429, 200)


def test_what_does_not_fit_changes_nothing(tmp_path, caplog):
    async def case():
        async with changing(tmp_path, Engine()) as (gate, ports, take):
            with caplog.at_level(logging.ERROR, "tokenworks.serve"):
                await take(factory_of([]))
            return (await gate.post(PLAIN))[0]

    assert run(case()) == 200
    assert "no service has an upstream" in caplog.text


@pytest.mark.parametrize("again", [False, True])
def test_an_address_listed_twice_counts_twice(tmp_path, again):
    async def case():
        async with changing(tmp_path, Engine()) as (gate, ports, take):
            await take(factory_of(ports * 2))
            if again:
                await take(factory_of(ports * 2))
            for _ in range(4):
                await gate.post(PLAIN)
            router = gate.served[0].router
            return len(router.listed), len(router.upstreams), (await gate.get("/v1/health/ready"))[0]

    listed, known, ready = run(case())
    assert (listed, ready) == (2, 200)
    assert known == (3 if again else 2)  # of twins only one is known again


def limited(ports, *more, **rules):
    """The factory, with services of these names and models beside its own."""
    factory = factory_of(ports, **rules)
    chat = factory.services[0]
    rows = [{"service": name, "url": f"http://127.0.0.1:{ports[0]}"} for name in ("chat", *dict(more))]
    serve = type(factory.serve).model_validate({"upstreams": rows, "drain": "200 ms", **rules})
    added = tuple(chat.model_copy(update={"name": name, "model": model}) for name, model in more)
    return factory.model_copy(update={"services": (*factory.services, *added), "serve": serve})


@asynccontextmanager
async def limiting(tmp_path, rules):
    async with several([Engine()]) as ports:
        factory, factories = limited(ports, **rules), asyncio.Queue()
        services = services_of(factory, upstreams_of(factory))
        with Ledger.open(tmp_path / "ledger.db") as ledger:
            door = Door(factories=factories, budgets=beside(ledger.store.place))
            async with GroupCommit(ledger) as group, front(factory, services, group, None, door) as listening:

                async def take(factory):
                    factories.put_nowait(factory)
                    await asyncio.sleep(0.05)

                yield Front(listening, (), ledger), ports, take


BOUNDS = [{"service": "chat", "template_tokens": 64, "context_tokens": 4096}]


@pytest.mark.parametrize(
    ("rules", "status"),
    [
        ({"limits": [{"per": "tenant", "tpm": 100_000}]}, 200),
        ({"budgets": [{"name": "b", "tokens": 100_000}], "bounds": BOUNDS}, 400),  # it has no bound
    ],
)
def test_a_service_that_is_added_is_limited_too(tmp_path, rules, status):
    async def case():
        async with limiting(tmp_path, rules) as (gate, ports, take):
            model = gate.served[0].model
            await take(limited(ports, ("more", model), **rules))
            return [(await gate.post({**PLAIN, "max_tokens": 5, "model": name}))[:2] for name in ("chat", "more")]

    chat, more = run(case())
    assert (chat[0], more[0]) == (200, status)
    assert status != 200 or "x-ratelimit-remaining-tokens" in more[1]


@pytest.mark.parametrize("after", [{}, {"limits": [{"per": "tenant", "rpm": 99}]}])
def test_limits_that_change_are_refused_and_the_old_ones_hold(tmp_path, caplog, after):
    async def case():
        async with limiting(tmp_path, {"limits": [{"per": "tenant", "rpm": 1}]}) as (gate, ports, take):
            with caplog.at_level(logging.ERROR, "tokenworks.serve"):
                await take(limited(ports, **after))
            return [(await gate.post(PLAIN))[0] for _ in range(2)]

    assert run(case()) == [200, 429]
    assert "limits and budgets change at a new start alone" in caplog.text


def test_what_an_upstream_speaks_changes_with_its_file(tmp_path):
    def speaking(ports, dialects):
        row = {"service": "chat", "url": f"http://127.0.0.1:{ports[0]}", **dialects}
        return factory_of(ports).replace_all({"serve.upstreams": [row]})

    async def case():
        async with changing(tmp_path, Engine()) as (gate, ports, take):
            found = []
            for dialects in ({}, {"serves": ["responses"]}, {"dialect": "anthropic"}, {}):
                await take(speaking(ports, dialects))
                router = gate.served[0].router
                found.append((sorted(gate.served[0].speaks), sorted(router.upstreams[router.positions[0]].speaks)))
            return found

    assert run(case()) == [
        (["chat"], ["chat"]), (["chat", "responses"], ["chat", "responses"]), (["messages"], ["messages"]), (["chat"], ["chat"]),
    ]  # fmt: skip


def test_a_model_under_a_budget_stays_until_a_new_start(tmp_path, caplog):
    bounds = [{"service": "chat", "template_tokens": 8}]
    budgets = [{"name": "b", "per": "tenant", "tokens": 1000}]

    async def case():
        async with several([Engine()]) as ports:
            factory, factories = factory_of(ports, bounds=bounds, budgets=budgets), asyncio.Queue()
            services = services_of(factory, upstreams_of(factory))
            with Ledger.open(tmp_path / "ledger.db") as ledger:
                door = Door(factories=factories, budgets=beside(str(tmp_path / "ledger.db")))
                async with GroupCommit(ledger) as group, front(factory, services, group, None, door):
                    factories.put_nowait(factory.replace("services.chat.model", "qwen3-8b"))
                    await asyncio.sleep(0.05)
            return services[0].model

    with caplog.at_level(logging.ERROR):
        assert run(case()) != "qwen3-8b"
    assert "its model changes at a new start alone" in caplog.text


@pytest.mark.parametrize("changed", ["max_requests", "upstreams"])
def test_who_waits_gets_the_places_that_a_new_file_has(tmp_path, changed):
    def factory(ports, most):
        rows = [{"service": "chat", "url": f"http://127.0.0.1:{port}", "max_requests": most} for port in ports]
        return factory_of([], queue={"longest": "30 s"}).replace("serve.upstreams", rows)

    go = asyncio.Event()

    async def slow(request, connection):
        await go.wait()
        connection.respond(200, json.dumps({**ANSWER, "usage": USAGE}).encode())

    async def case():
        async with changing(tmp_path, Engine(slow), Engine(slow)) as (gate, ports, take):
            await take(factory(ports[:1], 1))
            asking = [asyncio.ensure_future(gate.post(PLAIN)) for _ in range(3)]
            while gate.served[0].queue.length < 2:
                await asyncio.sleep(0.005)
            await take(factory(ports[:1], 2) if changed == "max_requests" else factory(ports, 1))
            while gate.served[0].queue.length > 1 or sum(len(e.asked) for e in gate.engines) < 2:
                await asyncio.sleep(0.005)
            go.set()
            return [(await one)[0] for one in asking]

    assert run(case()) == [200] * 3


def test_an_endpoint_that_zeromq_refuses_changes_nothing(tmp_path, caplog):
    pytest.importorskip("zmq")

    async def case():
        async with changing(tmp_path, Engine(), Engine()) as (gate, ports, take):
            chat = factory_of(ports[:1])
            aware = load("laptop").replace("services.chat.routing", "kv-aware").services[0]

            def beside(events):
                rows = [
                    *({"service": "more", "url": f"http://127.0.0.1:{p}", "kv_events": events} for p in ports),
                    {"service": "chat", "url": f"http://127.0.0.1:{ports[0]}"},
                ]
                serve = type(chat.serve).model_validate({"upstreams": rows, "drain": "200 ms"})
                more = aware.model_copy(update={"name": "more"})
                return chat.model_copy(update={"services": (*chat.services, more), "serve": serve})

            statuses = []
            for factory in (beside("tcp://127.0.0.1:noport"), chat, beside("tcp://127.0.0.1:5557")):
                with caplog.at_level(logging.WARNING, "tokenworks.serve"):
                    await take(factory)
                await asyncio.sleep(0.05)
                statuses.append((await gate.post({**PLAIN, "model": "more"}))[0])
            return statuses

    assert run(case()) == [404, 404, 200]
    assert "ZeroMQ refuses tcp://127.0.0.1:noport" in caplog.text
