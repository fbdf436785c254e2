"""Slices of budgets, leased ahead of need: a task asks the store for all accounts together, so that hardly a call waits.

What is uncertain is not used: after an error of the store nobody knows whether it took the turn; what was given back stays
given back, and what was asked for counts as not granted. The next turn says what is held, which clears it up.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from tokenworks.serve.limits.book import Account, Amounts
from tokenworks.serve.limits.store import Ask, BudgetStore, Lease

log = logging.getLogger("tokenworks.serve")
TICK_S = 0.5  # between turns where nobody is in a hurry
IDLE_S = 1.0  # after which a slice that nobody uses goes back
FORGET_S = 10.0  # after which an account that nobody uses is closed
DRY_S = 0.25  # for which the store is not asked again after it had nothing left
SLICES = 32  # of a limit: what is leased ahead, while the store has plenty
HALVES = 2 * SLICES
LARGEST = 2**63 - 1  # that stands in a row

Waiter = Callable[[], None]


class Leases:
    """The accounts of one gateway. Everything but the store's own work happens on the loop."""

    def __init__(
        self, store: BudgetStore, gateway: str, pool: ThreadPoolExecutor, loop: asyncio.AbstractEventLoop,
        dropped: Callable[[Account], None],
    ):  # fmt: skip
        """``dropped``: told that an account was closed in the store, before its spending counts from 0."""
        self._store, self._gateway, self._pool, self._dropped = store, gateway, pool, dropped
        self.accounts: dict[str, Account] = {}
        self._low: set[Account] = set()
        self._needs: dict[Account, int] = {}
        self._waiters: list[Waiter] = []
        self._told: dict[Account, int] = {}  # spending that the store knows
        self._closing: dict[Account, Ask] = {}  # not answered yet
        self._loop = loop
        self._wake = asyncio.Event()

    def account(self, name: str, limit: int) -> Account:
        account = self.accounts.get(name)
        if account is None:
            account = self.accounts[name] = Account(name, limit)
        return account

    def used(self, amounts: Amounts) -> None:
        """After every reservation: the next slice is asked for while half of this one is left."""
        now_s = self._loop.time()
        for account, _ in amounts:
            account.used_s = now_s
            free = account.held - account.spent - account.open
            if free < account.limit // HALVES and now_s >= account.dry_until_s and account not in self._low:
                self._low.add(account)
                self._wake.set()

    def wait(self, needs: list[tuple[Account, int]], waiter: Waiter) -> None:
        """``waiter`` is called after the next turn that asks for it."""
        now_s = self._loop.time()
        for account, amount in needs:
            account.used_s = now_s
            self._needs[account] = self._needs.get(account, 0) + amount
        self._waiters.append(waiter)
        self._wake.set()

    async def run(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), TICK_S)
            self._wake.clear()
            try:
                await self.turn()
            except Exception as error:  # noqa: BLE001 - of a database or its driver; the next turn may do better
                log.error("budgets: %s", error)
                await asyncio.sleep(TICK_S)

    async def turn(self) -> None:
        """Raises what the store raises."""
        asks, waiters = self.asks(), self._waiters
        self._waiters = []
        try:
            if asks:
                rows = list(asks.values())
                leases = await self._loop.run_in_executor(self._pool, self._store.turn, self._gateway, rows)
                self.take(asks, leases)
        except BaseException:
            self.unanswered(asks)
            raise
        finally:
            for waiter in waiters:
                self._call(waiter)

    def _call(self, waiter: Waiter) -> None:
        """One that cannot bear its lease keeps nobody else from his."""
        try:
            waiter()
        except Exception as error:  # noqa: BLE001
            self._loop.call_exception_handler({"message": "while a call got its lease", "exception": error})

    def unanswered(self, asks: Mapping[Account, Ask]) -> None:
        """Nobody knows whether the store took it: it is asked again."""
        for account in asks:
            self._told.pop(account, None)

    def asks(self) -> dict[Account, Ask]:
        """What the next turn is about. What is given back is no longer held from here on."""
        now_s = self._loop.time()
        for account in self._needs:
            self.accounts.setdefault(account.name, account)  # it was closed while somebody waited for it
        asks = {account: self._ask(account, now_s) for account in self.accounts.values()}
        self._needs = {}
        self._low.clear()
        return {account: ask for account, ask in asks.items() if ask is not None and self._fits(account, ask)}

    def _fits(self, account: Account, ask: Ask) -> bool:
        """Whether a database holds its figures. One that it does not hold keeps no other account from its lease."""
        if max(ask.held + ask.need + ask.ahead, ask.spent) <= LARGEST:
            return True
        log.error("the budget %s has figures that no database holds", ask.account)
        account.left, account.dry_until_s = 0, self._loop.time() + DRY_S
        return False

    def _ask(self, account: Account, now_s: float) -> Ask | None:
        if account in self._closing:
            return self._closing[account]
        need = max(0, self._needs[account] - account.free) if account in self._needs else 0
        wanted = account in self._low or account in self._needs
        idle = account.idle and not wanted and now_s - account.used_s
        back = account.free if idle and idle > IDLE_S else 0  # below 0 where a bound was wrong: then more is leased
        close = bool(idle and idle > FORGET_S)
        if not (wanted or back or close or account.spent != self._told.get(account)):
            return None
        account.held -= back
        ahead = max(0, _slice(account) - account.free) if wanted else 0
        ask = Ask(account.name, account.limit, need, ahead, account.held, account.spent, close)
        if close:
            self._closing[account] = ask
        return ask

    def take(self, asks: Mapping[Account, Ask], leases: Sequence[Lease]) -> None:
        """What the store granted."""
        for (account, ask), lease in zip(asks.items(), leases, strict=True):
            self._take(account, ask, lease)

    def _take(self, account: Account, ask: Ask, lease: Lease) -> None:
        account.held += lease.granted
        account.left = lease.left
        self._told[account] = ask.spent
        if lease.granted < ask.need or (ask.ahead and not lease.left):
            account.dry_until_s = self._loop.time() + DRY_S
        if ask.close:
            self._close(account, ask)

    def _close(self, account: Account, ask: Ask) -> None:
        self._dropped(account)
        account.held -= ask.spent
        account.spent -= ask.spent
        del self._closing[account], self._told[account]
        if account.idle and self._loop.time() - account.used_s > FORGET_S:  # else somebody waits for this very one
            self.accounts.pop(account.name, None)


def _slice(account: Account) -> int:
    return account.limit // SLICES + 1
