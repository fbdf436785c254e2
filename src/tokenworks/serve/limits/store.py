"""What is left of each budget, in a database that all gateways share: they lease from it in slices, and tell what they spent.

``leased`` of an account is all that gateways hold or have spent; it never passes the limit, whatever is asked at the same
time, for a turn locks the accounts that it is about.

A turn may be taken although its answer was lost, so it may be repeated: a gateway says what it holds, not what it gives back, and
the store brings its own row to that. The row is never less than what the gateway knows of, so nothing is leased twice, and what
it did not hear of goes back. A close is repeated as it was until it is answered; a row that is gone has been counted.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from tokenworks.errors import InputError, OutputError
from tokenworks.ledger.sqlite_transaction import transaction
from tokenworks.serve.uuids import uuid7

TABLES = (
    "CREATE TABLE IF NOT EXISTS budget_identity (one INTEGER PRIMARY KEY CHECK (one = 1), id TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS budget_accounts (account TEXT PRIMARY KEY, leased BIGINT NOT NULL, settled BIGINT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS budget_holdings (gateway TEXT, account TEXT, held BIGINT NOT NULL, spent BIGINT NOT NULL,"
    " PRIMARY KEY (gateway, account))",
)
AHEAD_PART = 4  # of what is left a gateway leases at most this part ahead of its needs


class Ask(NamedTuple):
    """Of one account: what callers wait for, what may be leased ahead, what is held before that, what was spent of it; ``close``:
    nothing is held beyond what was spent, and its gateway forgets it."""

    account: str
    limit: int
    need: int
    ahead: int
    held: int
    spent: int
    close: bool


class Lease(NamedTuple):
    granted: int
    left: int


class Database(Protocol):
    lock: str  # what a query says that locks its rows

    def prepare(self, tables: Sequence[str]) -> None: ...

    def transaction(self) -> Any: ...

    def alone(self, gateway: str) -> None:
        """Until the transaction ends no other is about this gateway, one that is cut off while it commits included."""

    def run(self, sql: str, values: Sequence[Any] = ()) -> list[Any]: ...

    def close(self) -> None: ...


class BudgetStore:
    """Leases of budgets. Each call is one transaction. Raises OutputError where the database does not answer."""

    def __init__(self, base: Database):
        self._base = base
        base.prepare(TABLES)
        with base.transaction():
            base.run("INSERT INTO budget_identity VALUES (1, ?) ON CONFLICT DO NOTHING", (uuid7(),))
            self.id = str(base.run("SELECT id FROM budget_identity")[0][0])  # whoever opens it, by whatever name

    def turn(self, gateway: str, asks: Sequence[Ask]) -> list[Lease]:
        """In the order of accounts, so that no two gateways wait for each other."""
        with self._base.transaction():
            self._base.alone(gateway)
            found = {ask.account: self._one(gateway, ask) for ask in sorted(asks)}
        return [found[ask.account] for ask in asks]

    def _one(self, gateway: str, ask: Ask) -> Lease:
        run, granted = self._base.run, 0
        run("INSERT INTO budget_accounts VALUES (?, 0, 0) ON CONFLICT DO NOTHING", (ask.account,))
        leased = self._leased(ask.account)
        if ask.close:
            leased -= self._close(gateway, ask.account, ask.spent)
        else:
            leased += ask.held - self._held(gateway, ask.account)
            granted = _granted(ask, ask.limit - leased)
            leased += granted
            run(
                "INSERT INTO budget_holdings VALUES (?, ?, ?, ?) ON CONFLICT (gateway, account) DO UPDATE SET"
                " held = excluded.held, spent = excluded.spent",
                (gateway, ask.account, ask.held + granted, ask.spent),
            )
        run("UPDATE budget_accounts SET leased = ? WHERE account = ?", (leased, ask.account))
        return Lease(granted, max(0, ask.limit - leased))

    def _held(self, gateway: str, account: str) -> int:
        rows = self._base.run("SELECT held FROM budget_holdings WHERE gateway = ? AND account = ?", (gateway, account))
        return int(rows[0][0]) if rows else 0

    def _leased(self, account: str) -> int:
        rows = self._base.run(f"SELECT leased FROM budget_accounts WHERE account = ? {self._base.lock}", (account,))
        return int(rows[0][0])

    def _close(self, gateway: str, account: str, spent: int) -> int:
        """What was held beyond what was spent. Once: a holding that is gone has been counted."""
        rows = self._base.run(
            "DELETE FROM budget_holdings WHERE gateway = ? AND account = ? RETURNING held", (gateway, account)
        )
        if not rows:
            return 0
        self._base.run("UPDATE budget_accounts SET settled = settled + ? WHERE account = ?", (spent, account))
        return int(rows[0][0]) - spent

    def finish(self, gateway: str, spent: Mapping[str, int] | None) -> None:
        """A gateway is gone: what it held beyond what it spent goes back. ``spent`` None: nobody knows, so all of it was."""
        run = self._base.run
        with self._base.transaction():
            self._base.alone(gateway)
            held = run("SELECT account, held FROM budget_holdings WHERE gateway = ?", (gateway,))
            for account, amount in sorted(held):  # as a turn does it: databases have orders of their own
                leased = self._leased(account)
                back = self._close(gateway, account, int(amount) if spent is None else spent.get(account, 0))
                run("UPDATE budget_accounts SET leased = ? WHERE account = ?", (leased - back, account))

    def spent(self) -> dict[str, int]:
        """By account, as far as gateways have told; what they have reserved is not in it."""
        sql = (
            "SELECT account, settled + coalesce((SELECT sum(spent) FROM budget_holdings h WHERE h.account = a.account), 0)"
            " FROM budget_accounts a"
        )
        with self._base.transaction():
            return {account: int(spent) for account, spent in self._base.run(sql)}

    def close(self) -> None:
        self._base.close()


def _granted(ask: Ask, left: int) -> int:
    """All that callers wait for, where it is there; ahead of that less and less, so that the last of a budget is not held
    where nobody needs it."""
    left = max(0, left)
    needed = min(ask.need, left)
    return needed + min(ask.ahead, (left - needed) // AHEAD_PART)


class SqliteBase:
    """A file of its own beside the ledger; several processes of one machine may share it."""

    lock = ""

    def __init__(self, path: Path):
        try:
            self._base = sqlite3.connect(path, isolation_level=None, timeout=10)
            self._base.execute("PRAGMA journal_mode=WAL")
            self._base.execute("PRAGMA synchronous=FULL")
        except sqlite3.Error as error:
            raise InputError(f"cannot keep budgets in {path}: {error}") from error
        self._path = path

    def prepare(self, tables: Sequence[str]) -> None:
        with self.transaction():
            for sql in tables:
                self.run(sql)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        try:
            with transaction(self._base):
                yield
        except sqlite3.Error as error:
            raise OutputError(f"budgets in {self._path}: {error}") from error

    def alone(self, gateway: str) -> None:
        """One transaction writes at a time anyway."""

    def run(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        return self._base.execute(sql, values).fetchall()

    def close(self) -> None:
        self._base.close()
