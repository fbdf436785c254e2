"""A disk that takes no larger journal: calls are refused, nothing that was reserved is forgotten, and later all is well."""

import os
from types import SimpleNamespace

import pytest

from tokenworks.ledger.ingest.buckets import Buckets
from tokenworks.serve.body.usage import Told
from tokenworks.serve.http.request import Refused
from tokenworks.serve.limits.book import Account
from tokenworks.serve.limits.bound import Bounded
from tokenworks.serve.limits.desk import Desk
from tokenworks.serve.limits.grant import Grant, Plea
from tokenworks.serve.limits.journal import Journal
from tokenworks.serve.limits.records import Owner, replay
from tokenworks.serve.limits.rules import Rule
from tokenworks.serve.metering import Attempt, nobody
from tokenworks.spec.limits import Budget

RULES = (Rule.of(Budget(name="b", tokens=10**6)),)
TOLD = Told(Buckets(3, None, None, 4, None, 0), "engine", "final")


def filled(tmp_path):
    """(a desk whose journal has no room for another call, its account, its open reservations)."""
    desk = Desk(Journal(tmp_path, Owner("g", "g", "boot", "host"), size=2048))
    desk.leases = SimpleNamespace(used=lambda amounts: None)
    account = Account("b||total", 10**6)
    account.held = 10**6
    return desk, account


def reserve(desk, account, number):
    plea = Plea(RULES, ["b||total"], [(account, 10)], [10], Bounded(5, 5, 1), None, None)
    attempt = Attempt(f"a{number}", "t", "s", "m", "m", "chat", 1)
    return plea, desk.reserve(plea, attempt), attempt


def test_calls_are_refused_and_nothing_is_forgotten(tmp_path, monkeypatch):
    desk, account = filled(tmp_path)
    whole = os.posix_fallocate

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    opened = []
    with pytest.raises(Refused) as refused:
        for number in range(1000):
            opened.append(reserve(desk, account, number))
    assert (refused.value.status, refused.value.code) == (503, "no_journal")
    assert not Grant(None, None, desk, opened[0][0]).again(opened[0][2])  # no other attempt is made either
    assert account.open == 10 * len(opened) > 0
    assert not list(tmp_path.glob("*.draft"))
    file = (tmp_path / "g.journal").read_bytes()
    assert sorted(replay(file).opened) == [number for _, number, _ in opened]

    plea, number, _ = opened.pop()
    desk.release(plea, number)  # cannot be written down either
    assert account.open == 10 * len(opened)

    monkeypatch.setattr(os, "posix_fallocate", whole)
    for plea, number, attempt in opened:
        spent, _ = desk.known(plea, number, attempt, TOLD, None)
        desk.settle(plea, number, spent, nobody, True)
    assert (desk.open, account.open, account.spent) == (0, 0, 7 * len(opened))
    found = replay((tmp_path / "g.journal").read_bytes())
    assert (found.opened, found.spent) == ({}, {"b||total": 7 * len(opened)})
    assert reserve(desk, account, "later")[1] > 0


def test_ends_that_cannot_be_written_down_are_written_later(tmp_path, monkeypatch):
    desk, account = filled(tmp_path)
    calls = [reserve(desk, account, number) for number in range(2)]
    known = [(plea, number, desk.known(plea, number, attempt, TOLD, None)[0]) for plea, number, attempt in calls]
    journal, heard = desk._journal, []
    whole, journal._begin = journal._begin, lambda *_: (_ for _ in ()).throw(journal._trouble(OSError(28, "full")))
    journal._size, size = journal._place, journal._size
    for plea, number, spent in known:
        desk.settle(plea, number, spent, heard.append, True)
    assert heard == [True, True]  # callers do not wait for it
    assert (account.open, account.spent, desk.spent) == (0, 14, {})
    journal._size, journal._begin = size, whole
    desk.tell_settled()
    assert desk.spent == {"b||total": 14}
    assert replay((tmp_path / "g.journal").read_bytes()).spent == desk.spent
