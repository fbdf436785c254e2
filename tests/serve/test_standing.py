"""What limits a key's calls is found once, until a key is read again or a day ends."""

from types import SimpleNamespace

import pytest

from tokenworks.serve.access.keys import Key
from tokenworks.serve.body.splice import read
from tokenworks.serve.dialects.way import CHAT_LIMITS
from tokenworks.serve.limits.admission import Limits
from tokenworks.serve.limits.book import Account
from tokenworks.serve.limits.bound import Bounds
from tokenworks.serve.limits.rules import Rule
from tokenworks.serve.limits.throttle import Throttle
from tokenworks.serve.metering import Attempt
from tokenworks.spec.limits import Budget

DAY_US = 86_400_000_000
NOON_US = 1_700_000_000_000_000 // DAY_US * DAY_US + DAY_US // 2  # of 2023-11-14


class Desk:
    """Holds everything, and keeps in which accounts."""

    def __init__(self):
        self.names, self.leases = [], SimpleNamespace(accounts={}, account=self.account)

    def account(self, name, limit):
        return self.leases.accounts.setdefault(name, Account(name, limit))

    def reserve(self, plea, attempt):
        assert [account.name for account, _ in plea.amounts] == list(plea.names)
        self.names.append(list(plea.names))
        return 1


def asking(limits, key, began_us, run=None):
    grants = []
    attempt = Attempt("a", key.tenant, "chat", "m", "chat", "chat", began_us, {"root_run": run} if run else {})
    call = SimpleNamespace(
        key=key, attempt=attempt, body=read(b'{"model":"chat"}'), limits=CHAT_LIMITS, metered=True, go=grants.append
    )
    limits.admit(call, None)
    return grants


@pytest.fixture
def desk():
    return Desk()


def limits_of(desk, *budgets):
    rules = [Rule.of(Budget(tokens=1000, **budget)) for budget in budgets]
    return Limits(Throttle(()), rules, {"chat": Bounds("chat", 10, 100)}, None, desk)


def test_a_budget_of_a_day_begins_anew_at_midnight_for_a_key_that_goes_on_asking(desk):
    limits = limits_of(desk, {"name": "daily", "per": "tenant", "window": "day"}, {"name": "all"})
    key = Key("k", "", "acme")
    for began_us in (NOON_US, NOON_US + DAY_US // 2 - 1, NOON_US + DAY_US // 2, NOON_US + 20 * DAY_US):
        asking(limits, key, began_us)
    assert [names[0] for names in desk.names] == [
        "daily|acme|2023-11-14", "daily|acme|2023-11-14", "daily|acme|2023-11-15", "daily|acme|2023-12-04",
    ]  # fmt: skip
    assert {names[1] for names in desk.names} == {"all||total"}


def test_each_run_has_an_account_of_its_own_and_who_is_of_none_is_not_limited(desk):
    limits = limits_of(desk, {"name": "run", "per": "run"})
    key = Key("k", "", "acme")
    for run in ("r1", "r2", None, "r1"):
        asking(limits, key, NOON_US, run)
    assert desk.names == [["run|acme/r1|total"], ["run|acme/r2|total"], ["run|acme/r1|total"]]


def test_a_key_that_was_read_again_is_looked_at_again(desk):
    limits = limits_of(desk, {"name": "b", "tenant": "acme"})
    assert asking(limits, Key("k", "", "acme"), NOON_US)[0] is not None
    assert asking(limits, Key("k", "", "zeta"), NOON_US) == [None]
    assert len(desk.names) == 1
