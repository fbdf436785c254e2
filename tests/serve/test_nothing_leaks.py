"""Trouble beside the calls: of files, of plans that run out, of engines that tell absurd figures, of callers who leave. No event
is lost by it, nothing stays reserved, and nobody gets more than his limit."""

import asyncio
import json
import os
import socket
from datetime import date
from types import SimpleNamespace

import pytest
from live_gateway import ANSWER, Engine, front, run
from pool_front import ASK, failing, handing, pool_front

from tokenworks.errors import InputError
from tokenworks.ledger import Receipt
from tokenworks.ledger.ingest.buckets import Buckets
from tokenworks.pricing.plan import Plan
from tokenworks.pricing.reading import parsed
from tokenworks.serve.access import keys
from tokenworks.serve.access.keys import KeyRing, add, revoke
from tokenworks.serve.body.usage import MISSING, MOST_TOKENS, Told, told_of_answer
from tokenworks.serve.call.tally import Tally
from tokenworks.serve.http import client
from tokenworks.serve.limits import records
from tokenworks.serve.limits.book import Account
from tokenworks.serve.limits.bound import Bounded
from tokenworks.serve.limits.desk import Desk
from tokenworks.serve.limits.grant import Grant, Plea
from tokenworks.serve.limits.journal import Journal
from tokenworks.serve.limits.leases import Leases
from tokenworks.serve.limits.rates import PriceBook
from tokenworks.serve.limits.records import Closed, Known, Opened, Owner, Settled, replay
from tokenworks.serve.limits.recovery import boot, settle_dead
from tokenworks.serve.limits.rules import Rule, Windows
from tokenworks.serve.limits.store import BudgetStore, SqliteBase
from tokenworks.serve.limits.throttle import Gate, take
from tokenworks.serve.metering import Attempt, Meter, nobody, unchanged
from tokenworks.serve.telemetry.metrics import ServiceMetrics
from tokenworks.spec.limits import Budget

TOLD = Told(Buckets(3, None, None, 4, None, 0), "engine", "final")
BUDGETS = {
    "budgets": [{"name": "b", "tokens": 10**6}],
    "bounds": [{"service": "chat", "template_tokens": 64, "context_tokens": 4096}],
}
CALL = {"model": "chat", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 10}


def attempt(name="a"):
    return Attempt(name, "t", "s", "m", "m", "chat", 1_700_000_000_000_000)


class Group:
    """A ledger that takes everything a little later."""

    def __init__(self):
        self.stored = []

    def tell(self, event, heard):
        self.stored.append(event.id)
        asyncio.get_running_loop().call_later(0.002, heard, Receipt("stored", 1))


# ------------------------------------------------------------------ rates


@pytest.mark.parametrize("busy", [False, True])
def test_who_leaves_pays_the_bound_whatever_else_is_under_way(busy):
    async def case():
        meter, gate = Meter(Group(), "s"), Gate("t", None, 10_000, None)
        if busy:
            meter.write(attempt("x"), MISSING, nobody, unchanged)
        for number in range(20):
            ticket = take((gate,), 400)
            tally = Tally(attempt(f"a{number}"), meter, ServiceMetrics(), 0.0, Grant(None, ticket, None, None))
            tally.begin()
            tally.write(MISSING, failed=True)
            tally.end(499)
        await meter.settle()
        return gate.tokens.level(0), gate.calls

    assert run(case()) == (2000, 0)


def test_what_was_never_asked_is_given_back():
    gate = Gate("t", None, 10_000, 5)
    ticket = take((gate,), 400)
    ticket.end()
    ticket.end()
    assert (gate.tokens.level(0), gate.calls) == (10_000, 0)


# ------------------------------------------------------------------ files that cannot be read for a moment


def test_a_key_that_was_revoked_while_its_file_could_not_be_read_is_so_afterwards(tmp_path, monkeypatch):
    key, text = add(tmp_path / "keys", "acme")
    ring = KeyRing(tmp_path / "keys")
    revoke(tmp_path / "keys", key.id)
    whole = keys.load

    def fails(path):
        raise InputError("cannot read the key file: Too many open files")

    monkeypatch.setattr(keys, "load", fails)
    assert [bool(ring.refresh()), bool(ring.refresh())] == [True, False]  # told once, tried again
    monkeypatch.setattr(keys, "load", whole)
    assert ring.find(text.encode(), 0.0) is not None
    assert ring.refresh() == ""
    assert ring.find(text.encode(), 0.0) is None


def test_the_look_for_dead_gateways_outlives_what_it_finds(tmp_path, monkeypatch):
    """A folder that is called a journal, then no more open files; a gateway that died meanwhile is settled all the same."""
    folder = tmp_path / "ledger.db.reservations"
    whole = os.open

    def none_left(path, *more, **named):
        if str(path).endswith(".journal"):
            raise OSError(24, "Too many open files")
        return whole(path, *more, **named)

    async def case():
        async with front(tmp_path, Engine(), **BUDGETS) as gate:
            (folder / "x.journal").mkdir()
            with monkeypatch.context() as patch:
                patch.setattr(os, "open", none_left)
                await asyncio.sleep(1.2)
            dead = Journal(folder, Owner("dead", "gateway/x", boot(), socket.gethostname()))
            dead.write(Opened(1, ["b||total"], [100], attempt("lost")), {})
            dead.close()
            events = await gate.events(1)
            assert [(e["id"], e["usage_status"]) for e in events] == [("lost", "missing")]
            while (folder / "dead.journal").exists():
                await asyncio.sleep(0.01)
            (folder / "x.journal").rmdir()

    run(case())
    assert list(folder.iterdir()) == []


# ------------------------------------------------------------------ journals


def desk_on(folder):
    desk = Desk(Journal(folder, Owner("g", "g", "boot", "host"), size=2048))
    desk.leases = SimpleNamespace(used=lambda amounts: None)
    account = Account("b||total", 10**6)
    account.held = 10**6
    return desk, account


def test_a_disk_that_is_full_when_the_use_is_known_loses_no_event_and_no_reservation(tmp_path, monkeypatch):
    desk, account = desk_on(tmp_path)
    whole, rule = os.posix_fallocate, Rule.of(Budget(name="b", tokens=10**6))

    def full(*_):
        raise OSError(28, "No space left on device")

    async def case():
        group, heard, tallies = Group(), [], []
        meter = Meter(group, "s")
        for number in range(5):
            plea = Plea([rule], ["b||total"], [(account, 1000)], [1000], Bounded(500, 500, 1), None, None)
            one = attempt(f"a{number}")
            grant = Grant(None, None, desk, plea, None, desk.reserve(plea, one))
            tallies.append(Tally(one, meter, ServiceMetrics(), 0.0, grant))
        monkeypatch.setattr(os, "posix_fallocate", full)
        desk._journal._size = desk._journal._place + 8  # nothing more goes in
        for tally in tallies:
            tally.begin()
            tally.write(TOLD, heard.append)
            tally.end(200)
        await meter.settle()
        return group.stored, heard

    stored, heard = run(case())
    assert (len(stored), heard) == (5, [True] * 5)
    assert (account.spent, account.open) == (35, 0)
    monkeypatch.setattr(os, "posix_fallocate", whole)
    desk.tell_settled()
    assert desk.open == 0
    found = replay((tmp_path / "g.journal").read_bytes())
    assert (found.opened, found.spent) == ({}, {"b||total": 35})


def test_any_page_of_a_journal_may_be_lost_with_the_machine(tmp_path):
    """What is before it is read, and nothing raises."""
    journal = Journal(tmp_path, Owner("g", "g", "boot", "host"), size=1 << 20)
    for number in range(1, 400):
        one = attempt(f"{number:036}")
        journal.open[number] = journal.write(Opened(number, ["b|t|total"], [100], one), {})
        if number % 5 == 0:
            journal.write(Closed(number), {})
            continue
        journal.write(Known(number, [50], one, MISSING), {})
        if number % 32 == 31:
            journal.write(Settled([n for n in range(number - 30, number + 1) if n % 5]), {})
    data = (tmp_path / "g.journal").read_bytes()
    used = data.rstrip(b"\0")
    for place in range(0, len(used), 512):
        replay(data[:place] + bytes(512) + data[place + 512 :])
        replay(data[:place])


def test_a_journal_that_cannot_be_read_is_put_aside_and_its_slices_count_as_spent(tmp_path):
    (tmp_path / "gone.journal").write_bytes(b"\x05\0\0\0hello")
    finished = []

    async def finish(gateway, spent):
        finished.append((gateway, spent))

    assert run(settle_dead(tmp_path, None, finish)) == 0
    assert finished == [("gone", None)]
    assert [p.name for p in tmp_path.iterdir()] == ["gone.unreadable"]


def test_an_event_that_is_none_keeps_no_other_of_a_dead_gateway(tmp_path):
    journal = Journal(tmp_path, Owner("dead", "gateway/x", boot(), socket.gethostname()))
    for number in (1, 2):
        journal.write(Opened(number, ["b||total"], [1000], attempt(f"a{number}")), {})
    journal.close()
    stored, finished = [], []

    class Ledger:
        async def submit(self, event):
            if event.id == "a1":
                raise InputError("no event")
            stored.append(event.id)
            return Receipt("stored", 1)

    async def finish(gateway, spent):
        finished.append(spent)

    assert run(settle_dead(tmp_path, Ledger(), finish)) == 2
    assert (stored, finished, list(tmp_path.iterdir())) == (["a2"], [{"b||total": 2000}], [])


# ------------------------------------------------------------------ prices


PLAN = """
plan: list
currency: USD
versions:
  - {{id: v1, from: 2026-01-01, until: 2026-06-01, prices: [{{id: all, meter: tokens, price: '{old}', per: 1000000}}]}}
{more}
"""


def book(new=None, old="2", today=date(2026, 5, 30)):
    more = (
        f"  - {{id: v2, from: 2026-06-01, prices: [{{id: all, meter: tokens, price: '{new}', per: 1000000}}]}}"
        if new
        else ""
    )
    return PriceBook(parsed(PLAN.format(old=old, more=more), Plan), ("m",), today)


MAY_31, JUNE_1 = 1_780_185_600.0, 1_780_272_000.0


def test_a_plan_that_runs_out_stops_no_traffic(caplog):
    prices = book()
    assert prices.of("m", MAY_31).input == 2_000_000
    assert prices.of("m", JUNE_1).input == 2_000_000
    assert "no version covers 2026-06-01: calls go on at the prices before; no invoice will take them" in caplog.text
    assert prices.of("another", JUNE_1) is None
    with pytest.raises(InputError, match="no version covers 2026-07-01"):
        book(today=date(2026, 7, 1))


@pytest.mark.parametrize(("old", "new"), [("2", "3"), ("3", "2")])
def test_a_call_that_may_end_tomorrow_is_reserved_at_the_dearer_price_and_settled_at_that_of_its_end(old, new):
    prices = book(new, old)
    assert prices.most("m", MAY_31 - 86_400).input == int(old) * 10**6
    assert prices.most("m", MAY_31).input == 3_000_000
    assert prices.most("m", JUNE_1).input == int(new) * 10**6
    rule = Rule.of(Budget(name="b", usd=5.0))
    plea = Plea([rule], ["b"], [], [70 * 10**6], Bounded(3, 4, 1), prices.most("m", MAY_31), None)
    over_midnight = attempt()
    over_midnight.began_us, over_midnight.duration_us = int(JUNE_1 * 1e6) - 5, 10
    found = []
    desk = SimpleNamespace(
        known=lambda plea, number, attempt, told, rates: (found.append(rates), ([1], 1))[1], settle=nobody
    )
    Grant(None, None, desk, plea, prices).known(1, over_midnight, TOLD, nobody)
    assert found[0].input == int(new) * 10**6


# ------------------------------------------------------------------ engines


@pytest.mark.parametrize("tokens", [MOST_TOKENS + 1, 2**63, 10**40])
def test_figures_of_no_world_are_no_figures(tokens):
    usage = {"prompt_tokens": 1, "completion_tokens": tokens, "total_tokens": tokens + 1}
    assert told_of_answer(json.dumps({"usage": usage}).encode()) == MISSING
    more = usage | {"completion_tokens_details": {"reasoning_tokens": 1}}
    assert told_of_answer(json.dumps({"usage": more}).encode()) == MISSING
    assert told_of_answer(b'{"usage":{"prompt_tokens":1,"total_tokens":1,"energy_uj":%d}}' % 2**62).energy_uj is None


def test_who_leaves_before_anything_was_sent_pays_nothing(tmp_path, monkeypatch):
    async def never(*_, **__):
        await asyncio.sleep(60)

    async def case():
        async with front(tmp_path, Engine(), connect="30 s", **BUDGETS) as gate:
            reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
            monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", never)
            text = json.dumps(CALL).encode()
            writer.write(
                b"POST /v1/chat/completions HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text)
            )
            desk = gate.listening.app.limits.desk
            while not desk.open:
                await asyncio.sleep(0.005)
            writer.close()
            while desk.open:
                await asyncio.sleep(0.005)
            assert [account.spent for account in desk.leases.accounts.values()] == [0]
            assert gate.ledger.usage_table().num_rows == 0

    run(case())


def test_an_engine_that_worked_and_died_is_no_closed_connection(tmp_path, monkeypatch):
    """Over a connection that was kept: the attempt is metered, and counts at its bound."""
    monkeypatch.setattr(client, "STALE_S", 0.05)
    asked = []

    async def script(request, connection):
        asked.append(request)
        if len(asked) == 2:
            await asyncio.sleep(0.1)
            connection.abort()
        else:
            connection.respond(200, json.dumps(ANSWER).encode())

    async def case():
        async with front(tmp_path, Engine(script), **BUDGETS) as gate:
            assert [(await gate.post(CALL))[0] for _ in range(2)] == [200, 502]
            return [e["failed"] for e in await gate.events(2)]

    assert run(case()) == [False, True]


@pytest.mark.parametrize(
    ("decodes", "status", "attempts"),
    [
        ([failing(503), Engine()], 200, 2),
        ([failing(503)], 503, 1),
        ([failing(429), failing(503)], None, 2),
        ([failing(400)], 400, 1),
    ],
)
def test_a_prompt_that_was_read_for_a_decode_engine_that_refuses_is_metered(tmp_path, decodes, status, attempts):
    async def case():
        prefill = handing()
        async with pool_front(tmp_path, [prefill], decodes, **BUDGETS) as gate:
            found = (await gate.post({**ASK, "max_tokens": 10}))[0]
            events = await gate.events(attempts)
            await asyncio.sleep(0.05)
            assert found == status or (status is None and found >= 429)
            assert len(events) == len(prefill.asked) == attempts
            refused = events if status != 200 else events[:-1]
            assert [(e["failed"], e["input_fresh"], e["output_visible"]) for e in refused] == [(True, 11, 1)] * len(
                refused
            )
            assert gate.listening.app.limits.desk.open == 0

    run(case())


def test_no_run_of_one_tenant_is_a_run_of_another():
    rule, windows = Rule.of(Budget(name="b", per="run", tokens=5)), Windows().at(0.0)
    names = [
        rule.account(tenant, "k", run_, windows)
        for tenant, run_ in (("acme", "eu/x"), ("acme/eu", "x"), ("acme%2Feu", "x"))
    ]
    assert len(set(names)) == 3
    assert names[0] == "b|acme/eu/x|total"


def test_a_record_that_does_not_fit_ends_what_can_be_read():
    rows = [records.encode(r) for r in (Owner("g", "s", "b", "h"), Opened(1, ["x"], [5], attempt()), Closed(7), Opened(2, ["x"], [5], attempt()))]  # fmt: skip
    data = b"".join(len(row).to_bytes(4, "little") + row for row in rows) + bytes(4)
    assert list(replay(data).opened) == [1]


def test_the_first_call_of_a_run_is_lowered_as_any_other_where_its_tenant_has_little_left(tmp_path):
    async def case():
        budgets = [{"name": "a", "per": "tenant", "tokens": 3000}, {"name": "task", "per": "run", "tokens": 10**6}]
        async with front(tmp_path, Engine(), budgets=budgets, bounds=BUDGETS["bounds"]) as gate:
            body = {**CALL, "max_tokens": 4000}
            answers = [await gate.post(body, headers=[f"X-Tokenworks-Run: r{number}"]) for number in range(3)]
        assert [a[0] for a in answers] == [200] * 3
        assert [2800 < int(a[1]["x-tokenworks-max-tokens"]) < 3000 for a in answers] == [True] * 3

    run(case())


def test_figures_that_no_database_holds_keep_no_other_account_from_its_lease(tmp_path, caplog):
    store = BudgetStore(SqliteBase(tmp_path / "b"))
    clock = SimpleNamespace(time=lambda: 100.0)
    leases = Leases(store, "g", None, clock, nobody)
    absurd, well = leases.account("absurd", 100), leases.account("well", 100)
    absurd.spent = absurd.held = 2**63
    heard = []
    leases.wait([(absurd, 5), (well, 5)], lambda: heard.append(True))
    asks = leases.asks()
    leases.take(asks, store.turn("g", list(asks.values())))
    assert (well.held >= 5, [a.name for a in asks]) == (True, ["well"])
    assert "the budget absurd has figures that no database holds" in caplog.text
    store.close()


def test_gateways_of_other_budgets_may_keep_their_journals_in_the_same_folder(tmp_path):
    """Whoever opens the same budgets by another name settles them; nobody else does."""
    stores = [BudgetStore(SqliteBase(tmp_path / name)) for name in ("a", "b")]
    (tmp_path / "same").symlink_to(tmp_path / "a")
    again = BudgetStore(SqliteBase(tmp_path / "same"))
    assert stores[0].id == again.id != stores[1].id
    folder = tmp_path / "journals"
    for number, store in enumerate(stores):
        Journal(folder, Owner(f"g{number}", "s", boot(), socket.gethostname(), store.id)).close()
    finished = []

    async def finish(gateway, spent):
        finished.append(gateway)

    run(settle_dead(folder, None, finish, again.id))
    assert (finished, [p.name for p in folder.iterdir()]) == (["g0"], ["g1.journal"])
    for store in (*stores, again):
        store.close()
