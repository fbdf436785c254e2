"""A call at the desk: it gets its reservation at once, waits for a lease, asks for less, or is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from msgspec.structs import replace

from tokenworks.serve.access.keys import Key
from tokenworks.serve.body.splice import Body
from tokenworks.serve.http.request import Refused
from tokenworks.serve.http.server import ServerConnection
from tokenworks.serve.limits import book
from tokenworks.serve.limits.asked import lowered
from tokenworks.serve.limits.book import Account
from tokenworks.serve.limits.desk import Desk
from tokenworks.serve.limits.grant import Grant, Plea
from tokenworks.serve.limits.rates import PriceBook
from tokenworks.serve.limits.rules import affordable, cost
from tokenworks.serve.limits.throttle import Ticket
from tokenworks.serve.metering import Attempt

WAIT_S = 2.0  # that a call waits for a lease
NO_RETRY = b"x-should-retry: false\r\n"  # what OpenAI's clients heed


class Call(Protocol):
    """Who wants to be admitted. ``limits``: the members of the body that limit its answer, (): it makes no tokens; ``metered``
    False: nothing that is asked of an upstream is paid for."""

    key: Key
    attempt: Attempt
    body: Body
    limits: Sequence[str]
    metered: bool

    def go(self, grant: Grant | None) -> None:
        """It is admitted; None: no limit, no price. Raises Refused."""

    def refuse(self, refused: Refused) -> None:
        """After a wait."""


def granted(
    desk: Desk, call: Call, plea: Plea, ticket: Ticket | None, prices: PriceBook | None, body: Body, lowered_to: int = 0
) -> bool:
    """Whether the leases held it, so that it has gone on. ``lowered_to``: tokens of each answer; 0: as it was asked."""
    reservation = desk.reserve(plea, call.attempt)
    if not reservation:
        return False
    grant = Grant(body, ticket, desk, plea, prices, reservation, lowered_to)
    try:
        call.go(grant)
    except BaseException:  # a refusal, or a defect of ours
        grant.end()
        raise
    return True


class Waiting:
    """A call that its leases do not hold; while it waits for one, it is what the caller's connection talks to."""

    __slots__ = ("_call", "_came_s", "_connection", "_desk", "_over", "_plea", "_prices", "_ticket")

    def __init__(self, desk: Desk, call: Call, plea: Plea, ticket: Ticket | None, prices: PriceBook | None):
        self._desk, self._call, self._plea, self._ticket, self._prices = desk, call, plea, ticket, prices
        self._over = False

    def _served(self, plea: Plea, body: Body, lowered_to: int = 0) -> bool:
        self._over = granted(self._desk, self._call, plea, self._ticket, self._prices, body, lowered_to)
        return self._over

    def admit(self, connection: ServerConnection) -> None:
        lacking = book.short(self._plea.amounts)
        loop = asyncio.get_running_loop()
        self._came_s = loop.time()
        asked = self._worth_asking(lacking)
        if not asked:
            self._lower(lacking)
            return
        self._connection = connection
        connection.listener = self
        loop.call_later(WAIT_S, self._expire)
        self._desk.leases.wait(asked, self._leased)

    def _worth_asking(self, lacking: Sequence[tuple[Account, int]]) -> list[tuple[Account, int]]:
        """Those whose store was not found empty since the call came, or just before."""
        return [(account, amount) for account, amount in lacking if account.dry_until_s <= self._came_s]

    def _lower(self, lacking: Sequence[tuple[Account, int]]) -> None:
        """What is left affords fewer tokens, or nothing. Raises Refused."""
        plea, limit, call = self._plea, self._plea.bounded, self._call
        if limit.outputs:
            costs = [cost(rule, limit, plea.rates, plea.joules) for rule in plea.rules]
            most = affordable(costs, [account.free for account, _ in plea.amounts], limit.answers)
            if most >= 1:
                limit = replace(limit, outputs=min(most, limit.outputs))
                amounts = [(a, each.of(limit)) for (a, _), each in zip(plea.amounts, costs, strict=True)]
                fewer = replace(plea, bounded=limit, amounts=amounts, most=[amount for _, amount in amounts])
                body = lowered(call.body, call.limits, limit.outputs)
                if self._served(fewer, body, limit.outputs):
                    return
        raise self._refusal(lacking)

    def _refusal(self, lacking: Sequence[tuple[Account, int]]) -> Refused:
        short = [account for account, _ in lacking]
        names = [
            rule.budget.name for rule, (a, _) in zip(self._plea.rules, self._plea.amounts, strict=True) if a in short
        ]
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
            if self._served(self._plea, self._call.body):
                return
            lacking = book.short(self._plea.amounts)
            asked = self._worth_asking(lacking)
            if asked:
                self._desk.leases.wait(asked, self._leased)
            else:
                self._lower(lacking)
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
        self._call.refuse(refused)

    def client_gone(self) -> None:
        self._over = True
        if self._ticket:
            self._ticket.end()

    def hold(self) -> None: ...

    def resume(self) -> None: ...
