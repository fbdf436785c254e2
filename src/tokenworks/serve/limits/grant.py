"""What a call was granted: its reservation until the truth is known, and what its caller is told of it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from tokenworks.serve.body.splice import Body
from tokenworks.serve.body.usage import Told
from tokenworks.serve.http.request import Refused
from tokenworks.serve.limits.bound import Bounded
from tokenworks.serve.limits.joules import ServiceJoules
from tokenworks.serve.limits.rates import PICO, PriceBook, Rates
from tokenworks.serve.limits.rules import Rule, told_sides
from tokenworks.serve.limits.throttle import Ticket
from tokenworks.serve.metering import Attempt, Then

if TYPE_CHECKING:
    from tokenworks.serve.limits.book import Account
    from tokenworks.serve.limits.desk import Desk


class Plea(msgspec.Struct, eq=False):
    """What a call wants of budgets: of each an amount, at most."""

    rules: Sequence[Rule]
    names: Sequence[str]  # of the accounts
    amounts: list[tuple[Account, int]]
    most: list[int]  # the amounts alone
    bounded: Bounded
    rates: Rates | None
    joules: ServiceJoules | None


class Grant(msgspec.Struct, eq=False):
    """Of one call, all its attempts. ``body`` is what to ask upstream: with fewer tokens, where the budget affords no more.
    ``prices``: the caller is told what the call cost."""

    body: Body
    _ticket: Ticket | None
    _desk: Desk | None
    _plea: Plea | None
    _prices: PriceBook | None = None
    _reservation: int = 0  # of the present attempt; 0: none
    _lowered: int = 0  # to so many tokens of each answer; 0: it was not
    spent_pico: int | None = None  # dollars, 10⁻¹², of the last attempt

    @property
    def reserves(self) -> bool:
        """Whether a budget holds something for it, and not rates alone."""
        return self._plea is not None

    def again(self, attempt: Attempt) -> bool:
        """Before another attempt: whether it is paid for. What an attempt before it may have used stays counted."""
        if self._reservation or not self._desk or not self._plea:
            return True
        try:
            self._reservation = self._desk.reserve(self._plea, attempt)
        except Refused:
            return False
        return self._reservation > 0

    def claim(self) -> int:
        """What is reserved for the present attempt, which is over: `known` will say what it used."""
        if self._ticket:
            self._ticket.awaited = True
        reservation, self._reservation, self.spent_pico = self._reservation, 0, None
        return reservation

    def known(self, reservation: int, attempt: Attempt, told: Told, then: Then) -> Then:
        """The truth, before the ledger hears of it. What it used of what was reserved counts once that is durable; ``then`` is
        told after it."""
        desk, plea = self._desk, self._plea
        if self._ticket:
            inputs, outputs = told_sides(told.buckets, told.source)
            self._ticket.known(None if inputs is None or outputs is None else inputs + outputs)
        rates = self._prices.of(attempt.model, attempt.ended_us / 1e6) if self._prices else None
        if reservation and desk is not None and plea is not None:
            spent, self.spent_pico = desk.known(plea, reservation, attempt, told, rates or plea.rates)
            then = partial(desk.settle, plea, reservation, spent, then)
        if self.spent_pico is None and rates:  # a service that stands in has prices of its own
            self.spent_pico = rates.cost(told.buckets, attempt.failed)
        return then

    def end(self) -> None:
        """The call is over. What is still reserved was never used."""
        if self._ticket:
            self._ticket.end()
        reservation, self._reservation = self._reservation, 0
        if reservation and self._desk and self._plea:
            self._desk.release(self._plea, reservation)

    def lines(self) -> bytes:
        """Header lines: rates, what is left of budgets, and a limit that was lowered."""
        out = self._ticket.lines() if self._ticket else b""
        if self._lowered:
            out += b"X-Tokenworks-Max-Tokens: %d\r\n" % self._lowered
        if plea := self._plea:
            pairs = zip(plea.rules, plea.amounts, strict=True)
            if said := [f"{r.budget.name}={r.remaining(a.free + a.left)}" for r, (a, _) in pairs if r.shown]:
                out += f"X-Tokenworks-Budget-Remaining: {', '.join(said)}\r\n".encode()
        return out

    def cost_usd(self) -> bytes:
        """What the answer cost by the price plan, exactly; b"" where there is none."""
        return b"" if self.spent_pico is None else b"%d.%012d" % divmod(self.spent_pico, PICO)
