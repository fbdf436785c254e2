"""Budgets under any interleaving of calls, leases, returns, crashes and recoveries: never more than the limit, and in the end
exactly what was used."""

import asyncio
import shutil
import tempfile
from functools import partial
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tokenworks.ledger import Receipt
from tokenworks.ledger.ingest.buckets import Buckets
from tokenworks.serve.body.usage import Told
from tokenworks.serve.limits.bound import Bounded
from tokenworks.serve.limits.desk import Desk
from tokenworks.serve.limits.grant import Plea
from tokenworks.serve.limits.journal import Journal
from tokenworks.serve.limits.leases import Leases
from tokenworks.serve.limits.records import Owner
from tokenworks.serve.limits.recovery import boot, settle_dead
from tokenworks.serve.limits.rules import Rule, worst
from tokenworks.serve.limits.store import Ask, BudgetStore, SqliteBase
from tokenworks.serve.metering import Attempt, nobody
from tokenworks.spec.limits import Budget

LIMITS = {"small": 150, "large": 600}
RULES = [Rule.of(Budget(name=name, tokens=limit)) for name, limit in LIMITS.items()]


class Clock:
    now_s = 100.0

    def time(self):
        return self.now_s


class Book(list):
    """A ledger: events by key."""

    def submit(self, event):
        future = asyncio.get_running_loop().create_future()
        status = "duplicate" if event in self else "conflict" if event.id in [e.id for e in self] else "stored"
        if status == "stored":
            self.append(event)
        future.set_result(Receipt(status))
        return future


class Gateway:
    def __init__(self, number, store, folder, clock):
        self.name = f"g{number}"
        self.journal = Journal(folder, Owner(self.name, self.name, boot(), "here"), size=2048)
        self.desk = Desk(self.journal)
        self.leases = self.desk.leases = Leases(store, self.name, None, clock, self.desk.dropped)
        self.open = []  # (reservation, plea, attempt)
        self.pending = []  # settlements that wait for the ledger


class Budgets(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.base = SqliteBase(self.folder / "budgets")
        self.base.run("PRAGMA synchronous=OFF")
        self.store, self.clock, self.ledger = BudgetStore(self.base), Clock(), Book()
        self.number = self.calls = 0
        self.gateways, self.dead = [], []
        self.used = dict.fromkeys(LIMITS, 0)  # the truth, of all that is over
        self.start()
        self.start()

    def teardown(self):
        for gateway in list(self.gateways):
            self.stop(gateway)
        self.recover()
        rows = self.base.run("SELECT account, leased, settled FROM budget_accounts")
        found = {account.split("|")[0]: (leased, settled) for account, leased, settled in rows}
        for name, used in self.used.items():
            assert found.get(name, (0, 0)) == (used, used)
        assert self.base.run("SELECT * FROM budget_holdings") == []
        assert not list(self.folder.glob("*.journal"))
        self.store.close()
        shutil.rmtree(self.folder)

    def start(self):
        self.number += 1
        self.gateways.append(Gateway(self.number, self.store, self.folder, self.clock))

    def any(self, pick):
        return self.gateways[pick % len(self.gateways)]

    @rule(
        pick=st.integers(0, 3),
        inputs=st.integers(1, 60),
        outputs=st.integers(20, 90),
        which=st.sampled_from([[0], [1], [0, 1]]),
    )
    def reserve(self, pick, inputs, outputs, which):
        gateway, bounded = self.any(pick), Bounded(inputs, outputs, 1)
        rules = [RULES[i] for i in which]
        names = [r.account("t", "", "", {"total": "total"}) for r in rules]
        amounts = [
            (gateway.leases.account(name, r.limit), worst(r, bounded, None, None))
            for name, r in zip(names, rules, strict=True)
        ]
        plea = Plea(rules, names, amounts, [amount for _, amount in amounts], bounded, None, None)
        self.calls += 1
        attempt = Attempt(f"a{self.calls}", "t", "s", "m", "m", "chat", 1)
        reservation = gateway.desk.reserve(plea, attempt)
        if not reservation:  # it waits for a lease
            gateway.leases.wait([(a, n) for a, n in plea.amounts if a.free < n], lambda: None)
            self.turn_of(gateway)
            reservation = gateway.desk.reserve(plea, attempt)
        if reservation:
            gateway.open.append((reservation, plea, attempt))

    @rule(pick=st.integers(0, 3), place=st.integers(0, 50), share=st.floats(0, 1), known=st.booleans())
    def tell(self, pick, place, share, known):
        """The engine's word, or none; the event is on its way."""
        gateway = self.any(pick)
        if not gateway.open:
            return
        reservation, plea, attempt = gateway.open.pop(place % len(gateway.open))
        made = round(plea.bounded.outputs * share) if known else None
        told = Told(Buckets(plea.bounded.inputs, 0, 0, made, 0, 0), "engine", "final")
        spent, _ = gateway.desk.known(plea, reservation, attempt, told, None)
        truth = plea.bounded.inputs + (plea.bounded.outputs if made is None else made)
        gateway.pending.append((partial(gateway.desk.settle, plea, reservation, spent, nobody, True), plea, truth))

    @rule(pick=st.integers(0, 3))
    def durable(self, pick):
        gateway = self.any(pick)
        for settle, plea, truth in gateway.pending:
            settle()
            self.use(plea, truth)
        gateway.pending.clear()

    @rule(pick=st.integers(0, 3), place=st.integers(0, 50))
    def refused_upstream(self, pick, place):
        gateway = self.any(pick)
        if gateway.open:
            reservation, plea, _ = gateway.open.pop(place % len(gateway.open))
            gateway.desk.release(plea, reservation)

    @rule(
        pick=st.integers(0, 3),
        wait_s=st.sampled_from([0.0, 0.3, 2.0, 20.0]),
        lost=st.sampled_from(["", "", "", "answer", "question"]),
    )
    def turn(self, pick, wait_s, lost):
        """``lost``: the store took it, and the gateway never learns; or it never came to the store."""
        self.clock.now_s += wait_s
        self.turn_of(self.any(pick), lost)

    def turn_of(self, gateway, lost=""):
        asks = gateway.leases.asks()
        if asks:
            leases = self.store.turn(gateway.name, list(asks.values())) if lost != "question" else []
            if lost:
                gateway.leases.unanswered(asks)
            else:
                gateway.leases.take(asks, leases)

    @rule(pick=st.integers(0, 3))
    def crash(self, pick):
        gateway = self.any(pick)
        self.gateways.remove(gateway)
        gateway.journal.close()
        for _, plea, _ in gateway.open:
            self.use(plea, plea.bounded.tokens)
        for _, plea, truth in gateway.pending:
            self.use(plea, truth)
        self.dead.append(gateway)
        self.start()

    @precondition(lambda self: self.dead)
    @rule()
    def recover(self):
        async def finish(of, spent):
            self.store.finish(of, spent)

        asyncio.run(settle_dead(self.folder, self.ledger, finish))
        self.dead.clear()

    @rule(pick=st.integers(0, 3))
    def leave(self, pick):
        self.stop(self.any(pick))
        self.start()

    def stop(self, gateway):
        self.gateways.remove(gateway)
        for reservation, plea, _ in gateway.open:
            gateway.desk.release(plea, reservation)
        for settle, plea, truth in gateway.pending:
            settle()
            self.use(plea, truth)
        self.store.finish(gateway.name, gateway.desk.spent)
        gateway.journal.remove()

    def use(self, plea, truth):
        for r in plea.rules:
            self.used[r.budget.name] += truth

    @invariant()
    def within(self):
        """What was used, and what is open at its bound, of every gateway that lives."""
        total = dict(self.used)
        for gateway in self.gateways:
            for account in gateway.leases.accounts.values():
                assert account.held - account.spent - account.open >= 0
            for _, plea, *_ in [*gateway.open, *((None, plea) for _, plea, _ in gateway.pending)]:
                for r in plea.rules:
                    total[r.budget.name] += plea.bounded.tokens
        assert all(total[name] <= limit for name, limit in LIMITS.items())


Budgets.TestCase.settings = settings(max_examples=80, stateful_step_count=60, deadline=None)
test_never_more_than_the_limit_and_in_the_end_what_was_used = Budgets.TestCase


@pytest.mark.parametrize("lost", ["answer", "question"])
def test_what_a_turn_left_uncertain_is_cleared_up_by_the_next_one(lost):
    """A slice that was given back, a grant that was not heard of, and a close: nothing stays leased that nobody holds, and nothing
    counts twice."""
    book = Budgets()
    (gateway, _) = book.gateways

    def leased():
        return book.base.run("SELECT leased, settled FROM budget_accounts")

    def use(tokens):
        book.reserve(0, 1, tokens - 1, [0])
        book.tell(0, 0, 1.0, True)
        book.durable(0)

    use(30)
    held = next(iter(gateway.leases.accounts.values())).held
    assert held > 30
    book.turn(0, 2.0, lost)  # it gives back
    book.turn(0, 0.0, "")
    assert leased() == [(30, 0)]
    gateway.leases.wait([(next(iter(gateway.leases.accounts.values())), 50)], lambda: None)
    book.turn(0, 0.0, lost)  # it asks
    book.turn(0, 2.0, "")
    book.turn(0, 2.0, "")
    assert leased() == [(30, 0)]
    book.turn(0, 20.0, lost)  # it closes
    book.reserve(0, 1, 19, [0])  # it is wanted again before it knows: first it learns of its close
    assert (gateway.open, leased()) == ([], [(30, 30)])
    use(20)
    assert [a.spent for a in gateway.leases.accounts.values()] == [20]
    book.stop(gateway)
    assert leased() == [(50, 50)]


def test_an_account_that_was_closed_counts_anew_and_a_crash_after_it_counts_once():
    """Ten tokens, a closed account, twenty tokens, a crash: thirty are settled."""
    book = Budgets()
    (gateway, _) = book.gateways

    def call(tokens):
        book.reserve(0, 1, tokens - 1, [0])
        book.tell(0, 0, 1.0, True)
        book.durable(0)

    call(10)
    book.turn(0, 20.0, "")  # long unused: closed
    assert gateway.leases.accounts == {}
    call(20)
    book.crash(0)
    book.teardown()
    assert book.used["small"] == 30


def test_a_machine_that_was_started_again_and_one_that_is_not_this_one():
    """After another start of the machine the whole slice counts as spent; another machine's journal is left alone."""
    import socket

    book = Budgets()
    for owner in (("g1", "old start", socket.gethostname()), ("g2", "other start", "elsewhere")):
        name, started, host = owner
        book.store.turn(name, [Ask("small|x|total", 150, 40, 0, 0, 0, False)])
        Journal(book.folder / "more", Owner(name, name, started, host)).close()

    async def finish(of, spent):
        book.store.finish(of, spent)

    asyncio.run(settle_dead(book.folder / "more", book.ledger, finish))
    assert [p.stem for p in (book.folder / "more").glob("*.journal")] == ["g2"]
    assert book.base.run("SELECT leased, settled FROM budget_accounts") == [(80, 40)]
    assert book.base.run("SELECT gateway, held FROM budget_holdings") == [("g2", 40)]
