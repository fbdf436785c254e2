"""A call at the desk: it gets its reservation at once, waits for a lease, asks for less, or is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import msgspec

from tokenworks.serve.body.splice import Body
from tokenworks.serve.http.request import Refused
from tokenworks.serve.http.server import ServerConnection
from tokenworks.serve.keys import Key
from tokenworks.serve.limits import book
from tokenworks.serve.limits.asked import lowered
from tokenworks.serve.limits.book import Account
from tokenworks.serve.limits.desk import Desk
from tokenworks.serve.limits.grant import Grant, Plea
from tokenworks.serve.limits.rates import PriceBook
from tokenworks.serve.limits.rules import affordable
from tokenworks.serve.limits.throttle import Ticket
from tokenworks.serve.metering import Attempt

WAIT_S = 2.0  # that a call waits for a lease
Go = Callable[[Grant | None], None]
Refuse = Callable[[Refused], None]
NO_RETRY = b"x-should-retry: false\r\n"  # what OpenAI's clients heed


class Call(msgspec.Struct, frozen=True):
    """What is admitted. ``limits``: the members of the body that limit its answer, (): it makes no tokens; ``metered`` False:
    nothing that is asked of an upstream is paid for."""

    key: Key
    body: Body
    attempt: Attempt
    limits: tuple[str, ...]
    metered: bool


class Counter(msgspec.Struct, frozen=True):
    """Where a call is at: what it asks for, and who hears of its grant."""

    desk: Desk
    call: Call
    ticket: Ticket | None
    prices: PriceBook | None
    go: Go

    def serve(self, plea: Plea, body: Body, lowered_to: int = 0) -> bool:
        """Whether the leases held it, so that it has gone on. ``lowered_to``: tokens of each answer; 0: as it was asked."""
        reservation = self.desk.reserve(plea, self.call.attempt)
        if not reservation:
            return False
        grant = Grant(body, self.ticket, self.desk, plea, self.prices)
        grant.hold(reservation, lowered_to)
        try:
            self.go(grant)
        except Refused:
            grant.end()
            raise
        return True


class Waiting:
    """A call that its leases do not hold; while it waits for one, it is what the caller's connection talks to."""

    __slots__ = ("_connection", "_counter", "_over", "_plea", "_refuse")

    def __init__(self, counter: Counter, plea: Plea):
        self._counter, self._plea = counter, plea
        self._over = False

    def admit(self, connection: ServerConnection, refuse: Refuse) -> None:
        lacking = book.short(self._plea.amounts)
        loop = asyncio.get_running_loop()
        if any(account.dry_until_s > loop.time() for account, _ in lacking):
            self._lower(lacking)
            return
        self._connection, self._refuse = connection, refuse
        connection.listener = self
        loop.call_later(WAIT_S, self._expire)
        self._counter.desk.leases.wait(lacking, self._leased)

    def _lower(self, lacking: Sequence[tuple[Account, int]]) -> None:
        """What is left affords fewer tokens, or nothing. Raises Refused."""
        plea, limit = self._plea, self._plea.bounded
        if limit.outputs:
            most = affordable(plea.costs, [account.free for account in plea.accounts], limit.answers)
            if most >= 1:
                limit = limit._replace(outputs=min(most, limit.outputs))
                call, fewer = self._counter.call, Plea(plea.rules, plea.accounts, limit, plea.rates, plea.costs)
                body = lowered(call.body, call.limits, limit.outputs)
                if self._counter.serve(fewer, body, limit.outputs):
                    self._over = True
                    return
        raise self._refusal(lacking)

    def _refusal(self, lacking: Sequence[tuple[Account, int]]) -> Refused:
        short = [account for account, _ in lacking]
        names = [rule.budget.name for rule, a in zip(self._plea.rules, self._plea.accounts, strict=True) if a in short]
        refused = Refused(
            429,
            "insufficient_quota",
            f"the budget {', '.join(names)} does not hold this call, not even its first token",
        )
        refused.lines = NO_RETRY
        return refused

    # ------------------------------------------------------------------ while it waits

    def _leased(self) -> None:
        if self._over:
            return
        try:
            if self._counter.serve(self._plea, self._counter.call.body):
                self._over = True
                return
            lacking = book.short(self._plea.amounts)
            now_s = asyncio.get_running_loop().time()
            if any(account.dry_until_s > now_s for account, _ in lacking):
                self._lower(lacking)
            else:
                self._counter.desk.leases.wait(lacking, self._leased)
        except Refused as refused:
            self._give_up(refused)

    def _expire(self) -> None:
        if not self._over:
            self._give_up(Refused(503, "no_lease", "the budget cannot be reached at present", retry_after_s=1.0))

    def _give_up(self, refused: Refused) -> None:
        self._over = True
        self._connection.listener = None
        if self._counter.ticket:
            self._counter.ticket.end()
        self._refuse(refused)

    def client_gone(self) -> None:
        self._over = True
        if self._counter.ticket:
            self._counter.ticket.end()

    def hold(self) -> None: ...

    def resume(self) -> None: ...
