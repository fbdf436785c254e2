"""A gateway whose last commit failed is not ready, until events can be stored again, whether calls come or not."""

import asyncio
import json

import pytest
from budget_books import schema
from live_gateway import Engine, front, run
from postgres import SERVER

from tokenworks.errors import OutputError
from tokenworks.ledger import Receipt, postgres_connection
from tokenworks.serve import ledger_health
from tokenworks.serve.ledger_health import LedgerHealth

PLAIN = {"model": "chat", "messages": [{"role": "user", "content": "hello"}]}


async def ready(gate):
    status, _, body = await gate.get("/v1/health/ready")
    return status, json.loads(body)["message"]


async def until_ready(gate):
    while (await ready(gate))[0] != 200:
        await asyncio.sleep(0.02)


def cut(ledger):
    import psycopg

    (backend,) = ledger.store.rows("SELECT pg_backend_pid()")[0]
    with psycopg.connect(SERVER, autocommit=True) as base:
        base.execute("SELECT pg_terminate_backend(%s, 5000)", (backend,))


def test_a_cut_connection_of_the_ledger_loses_no_event_and_no_call(tmp_path):
    async def case(url):
        async with front(tmp_path, Engine(), place=url) as gate:
            found = []
            for _ in range(3):
                found.append(((await gate.post(PLAIN))[0], (await ready(gate))[0]))
                cut(gate.ledger)
            return found, gate.listening.app.meter.lost, len(await gate.events(3))

    with schema() as url:
        assert run(case(url)) == ([(200, 200)] * 3, 0, 3)


def test_while_the_server_is_away_the_gateway_is_not_ready_and_it_comes_back_by_itself(tmp_path, monkeypatch):
    monkeypatch.setattr(ledger_health, "PAUSE_S", 0.05)
    monkeypatch.setattr(postgres_connection, "PATIENCE_S", 0.0)

    async def case(url):
        async with front(tmp_path, Engine(), place=url) as gate:
            connection = gate.ledger.store._connection
            there, connection._url = connection._url, "postgresql://postgres@127.0.0.1:1/test"
            cut_and_asked = cut(gate.ledger), await gate.post(PLAIN)
            said = []
            for _ in range(4):
                said.append(await ready(gate))
                await asyncio.sleep(0.1)
            connection._url = there
            await until_ready(gate)
            return (
                cut_and_asked[1],
                said,
                await gate.post(PLAIN),
                len(await gate.events(1)),
                gate.listening.app.meter.lost,
            )

    with schema() as url:
        (status, _, body), said, (after, _, _), events, lost = run(case(url))
    assert (status, json.loads(body)["error"]["code"]) == (503, "not_metered")
    assert said == [(503, "not ready: the ledger stores no events")] * 4
    assert (after, events, lost) == (200, 1, 1)


@pytest.mark.parametrize("calls", [False, True])
def test_a_disk_that_cannot_sync_makes_the_gateway_not_ready_until_it_can(tmp_path, monkeypatch, calls):
    """The next call that is metered says so at once; without calls a probe does."""
    monkeypatch.setattr(ledger_health, "PAUSE_S", 3600.0 if calls else 0.05)

    def no_sync():
        raise OutputError("the disk failed to sync")

    async def case():
        async with front(tmp_path, Engine()) as gate:
            sync, gate.ledger.store.sync = gate.ledger.store.sync, no_sync
            first = (await gate.post(PLAIN))[0]
            before = [(await ready(gate))[0], await asyncio.sleep(0.1), (await ready(gate))[0]]
            gate.ledger.store.sync = sync
            if calls:
                assert (await gate.post(PLAIN))[0] == 200
                return first, before, await ready(gate)
            await until_ready(gate)
            return first, before, await ready(gate)

    assert run(case()) == (503, [503, None, 503], (200, "ready"))


class Ledger:
    """Its probes fail until it is well, and wait until they are let go on."""

    def __init__(self):
        self.probes, self.well, self.go_on = 0, False, asyncio.Event()

    async def probe(self):
        self.probes += 1
        await self.go_on.wait()
        if not self.well:
            raise OutputError("the disk is full")


async def turns():
    for _ in range(5):
        await asyncio.sleep(0)


def test_only_a_failed_commit_is_followed_by_probes_and_these_one_at_a_time(monkeypatch):
    monkeypatch.setattr(ledger_health, "PAUSE_S", 0.0)

    async def case():
        ledger = Ledger()
        health = LedgerHealth(ledger)
        for said in (Receipt("stored", 1), Receipt("refused")):  # an event that is refused says nothing of the ledger
            health.heard(said)
            assert health.well()
        health.heard(OutputError("the disk is full"))
        for _ in range(3):
            assert not health.well()
            await turns()
        assert (ledger.probes, health.probing) == (1, True)
        ledger.go_on.set()
        await turns()
        assert not health.well()  # and the next probe begins
        ledger.well = True
        await turns()
        assert (ledger.probes, health.probing, health.well()) == (2, False, True)

    run(case())


def test_probes_have_a_second_between_them_and_come_a_second_after_the_commit(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(ledger_health.time, "monotonic", lambda: now[0])

    async def case():
        ledger = Ledger()
        ledger.go_on.set()
        health = LedgerHealth(ledger)
        health.heard(OutputError("the disk is full"))
        found = []
        for now[0] in (100.0, 100.9, 101.1, 102.0, 102.2):
            assert not health.well()
            await turns()
            found.append(ledger.probes)
        return found

    assert run(case()) == [0, 0, 1, 1, 2]
