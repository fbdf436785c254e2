"""A call at the desk: it gets its reservation at once, waits for a lease, asks for less, or is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tokenworks.serve.body.splice import Body
from tokenworks.serve.http.request import Refused
from tokenworks.serve.http.server import ServerConnection
from tokenworks.serve.keys import Key
from tokenworks.serve.limits import book
from tokenworks.serve.limits.asked import Asked, lowered
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


@dataclass(frozen=True, slots=True)
class Call:
    """What is admitted. ``limits``: the members of the body that limit its answer, (): it makes no tokens; ``metered`` False:
    nothing that is asked of an upstream is paid for."""

    key: Key
    body: Body
    attempt: Attempt
    limits: tuple[str, ...]
    metered: bool


class Waiting:
    """A call before its reservation; while it waits for a lease, it is what the caller's connection talks to."""

    __slots__ = (
        "_asked", "_call", "_connection", "_deadline_s", "_desk", "_go", "_over", "_plea", "_prices", "_refuse", "_ticket",
    )  # fmt: skip

    def __init__(
        self, desk: Desk, call: Call, asked: Asked, plea: Plea, ticket: Ticket | None, prices: PriceBook | None, go: Go
    ):  # fmt: skip
        self._desk, self._call, self._asked, self._plea, self._ticket = desk, call, asked, plea, ticket
        self._prices = prices
        self._go = go
        self._over = False

    def admit(self, connection: ServerConnection, refuse: Refuse) -> None:
        if self._reserve(self._plea, 0):
            return
        lacking = book.short(self._plea.amounts)
        loop = asyncio.get_running_loop()
        if any(account.dry_until_s > loop.time() for account, _ in lacking):
            self._lower(lacking)
            return
        self._connection, self._refuse = connection, refuse
        connection.listener = self
        self._deadline_s = loop.time() + WAIT_S
        loop.call_later(WAIT_S, self._expire)
        self._desk.leases.wait(lacking, self._leased)

    def _reserve(self, plea: Plea, lowered_to: int) -> bool:
        body = lowered(self._call.body, self._asked, self._call.limits, lowered_to) if lowered_to else self._call.body
        reservation = self._desk.reserve(plea, self._call.attempt)
        if not reservation:
            return False
        self._over = True
        grant = Grant(body, self._ticket, self._desk, plea, self._prices)
        grant.hold(reservation, lowered_to)
        try:
            self._go(grant)
        except Refused:
            grant.end()
            raise
        return True

    def _lower(self, lacking: Sequence[tuple[Account, int]]) -> None:
        """What is left affords fewer tokens, or nothing. Raises Refused."""
        plea, limit = self._plea, self._plea.bounded
        if limit.outputs:
            most = affordable(plea.costs, [account.free for account in plea.accounts], limit.answers)
            if most >= 1:
                limit = limit._replace(outputs=min(most, limit.outputs))
                if self._reserve(Plea(plea.rules, plea.accounts, limit, plea.rates, plea.costs), limit.outputs):
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
            if self._reserve(self._plea, 0):
                return
            lacking = book.short(self._plea.amounts)
            now_s = asyncio.get_running_loop().time()
            if any(account.dry_until_s > now_s for account, _ in lacking):
                self._lower(lacking)
            else:
                self._desk.leases.wait(lacking, self._leased)
        except Refused as refused:
            self._give_up(refused)

    def _expire(self) -> None:
        if not self._over:
            self._give_up(Refused(503, "no_lease", "the budget cannot be reached at present", retry_after_s=1.0))

    def _give_up(self, refused: Refused) -> None:
        self._over = True
        self._connection.listener = None
        if self._ticket:
            self._ticket.end()
        self._refuse(refused)

    def client_gone(self) -> None:
        self._over = True
        if self._ticket:
            self._ticket.end()

    def hold(self) -> None: ...

    def resume(self) -> None: ...
