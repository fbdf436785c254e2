"""Who may ask now: rates first, then budgets. A call whose slice has run dry waits shortly for the next."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tokenworks.serve.body.splice import Body
from tokenworks.serve.http.request import Refused
from tokenworks.serve.http.server import ServerConnection
from tokenworks.serve.keys import Key
from tokenworks.serve.limits import book
from tokenworks.serve.limits.asked import Asked, lowered
from tokenworks.serve.limits.book import Account
from tokenworks.serve.limits.bound import Bounded, Bounds, bounded
from tokenworks.serve.limits.desk import Desk
from tokenworks.serve.limits.grant import Grant, Plea
from tokenworks.serve.limits.rates import PriceBook
from tokenworks.serve.limits.rules import Rule, Windows, affordable, worst
from tokenworks.serve.limits.throttle import Gate, Throttle, Ticket, take
from tokenworks.serve.metering import Attempt

WAIT_S = 2.0  # that a call waits for a lease
Go = Callable[[Grant | None], None]
Refuse = Callable[[Refused], None]
NO_RETRY = b"x-should-retry: false\r\n"  # what OpenAI's clients heed


@dataclass(frozen=True, slots=True)
class Call:
    """What is admitted. ``answers`` False: embeddings."""

    key: Key
    body: Body
    attempt: Attempt
    answers: bool


class Limits:
    """All rates and budgets of a gateway."""

    def __init__(
        self, throttle: Throttle, rules: Sequence[Rule], bounds: Mapping[str, Bounds], prices: PriceBook | None,
        desk: Desk | None,
    ):  # fmt: skip
        self._throttle, self._rules, self._bounds, self._prices = throttle, rules, bounds, prices
        self.desk = desk
        self._windows = Windows()
        self._matching: dict[tuple[str, str], tuple[Key, list[Rule]]] = {}

    def admit(self, call: Call, connection: ServerConnection, go: Go, refuse: Refuse) -> None:
        """Calls ``go`` with the grant, at once unless it has to wait for a lease; None: nothing is limited. Raises Refused, or
        tells ``refuse`` after a wait."""
        service = call.attempt.service
        gates, rules = self._throttle.gates(call.key, service), self._rules_of(call.key, service)
        if not gates and not rules:
            go(None)
            return
        asked, limit = self._bounded(call, gates, rules)
        ticket = take(gates, limit.tokens) if gates else None
        try:
            plea = self._plea(call, rules, limit) if rules else None
            if not plea or not self.desk:
                go(Grant(call.body, ticket, None, None))
                return
            _Waiting(self.desk, call, asked, plea, ticket, go).admit(connection, refuse)
        except Refused:
            if ticket:
                ticket.end()
            raise

    def _rules_of(self, key: Key, service: str) -> list[Rule]:
        found = self._matching.get((key.id, service))
        if found is None or found[0] is not key:
            rules = [rule for rule in self._rules if rule.concerns(key, service)]
            found = self._matching[key.id, service] = key, rules
        return found[1]

    def _bounded(self, call: Call, gates: Sequence[Gate], rules: Sequence[Rule]) -> tuple[Asked, Bounded]:
        bounds = self._bounds[call.attempt.service]
        if rules:
            bounds.require()
        elif not any(gate.tokens for gate in gates):
            return Asked(), Bounded(0, 0, 1)
        return bounded(bounds, call.body, call.answers)

    def _plea(self, call: Call, rules: list[Rule], limit: Bounded) -> Plea | None:
        """None where every budget is about runs, and the call is of none."""
        attempt, now_s = call.attempt, time.time()
        windows = self._windows.at(now_s)
        run = str(attempt.run.get("root_run", ""))
        named = [(rule, rule.account(attempt.tenant, call.key.id, run, windows)) for rule in rules]
        named = [(rule, name) for rule, name in named if name]
        if not named or not self.desk:
            return None
        rates = self._prices.of(attempt.model, now_s) if self._prices else None
        accounts = [self.desk.leases.account(name, rule.limit) for rule, name in named]
        held = [rule for rule, _ in named]
        return Plea(held, accounts, limit, rates, [worst(rule, limit, rates) for rule in held])


class _Waiting:
    """A call before its reservation; while it waits for a lease, it is what the caller's connection talks to."""

    __slots__ = (
        "_asked",
        "_call",
        "_connection",
        "_deadline_s",
        "_desk",
        "_go",
        "_over",
        "_plea",
        "_refuse",
        "_ticket",
    )

    def __init__(self, desk: Desk, call: Call, asked: Asked, plea: Plea, ticket: Ticket | None, go: Go):
        self._desk, self._call, self._asked, self._plea, self._ticket = desk, call, asked, plea, ticket
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
        body = lowered(self._call.body, self._asked, lowered_to) if lowered_to else self._call.body
        reservation = self._desk.reserve(plea, self._call.attempt)
        if not reservation:
            return False
        self._over = True
        grant = Grant(body, self._ticket, self._desk, plea)
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
