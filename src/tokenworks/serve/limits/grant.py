"""What a call was granted: its reservation until the truth is known, and what its caller is told of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from tokenworks.serve.body.splice import Body
from tokenworks.serve.body.usage import Told
from tokenworks.serve.limits.bound import Bounded
from tokenworks.serve.limits.rates import PICO, PriceBook, Rates
from tokenworks.serve.limits.rules import Cost, Rule, told_sides
from tokenworks.serve.limits.throttle import Ticket
from tokenworks.serve.metering import Attempt, Then

if TYPE_CHECKING:
    from tokenworks.serve.limits.book import Account
    from tokenworks.serve.limits.desk import Desk


class Reservation(msgspec.Struct):
    """Of one attempt: what its accounts hold for it."""

    number: int
    amounts: list[tuple[Account, int]]


class Plea(msgspec.Struct):
    """What a call wants of budgets."""

    rules: list[Rule]
    accounts: list[Account]
    bounded: Bounded
    rates: Rates | None
    costs: list[Cost]

    @property
    def amounts(self) -> list[tuple[Account, int]]:
        return [(a, cost.of(self.bounded)) for a, cost in zip(self.accounts, self.costs, strict=True)]


class Grant:
    """Of one call, all its attempts. ``body`` is what to ask upstream: with fewer tokens, where the budget affords no more.
    ``prices``: the caller is told what the call cost."""

    __slots__ = ("_desk", "_lowered", "_plea", "_prices", "_reservation", "_ticket", "body", "spent_pico")

    def __init__(
        self, body: Body, ticket: Ticket | None, desk: Desk | None, plea: Plea | None, prices: PriceBook | None = None
    ):  # fmt: skip
        self.body, self._ticket, self._desk, self._plea, self._prices = body, ticket, desk, plea, prices
        self._reservation: Reservation | None = None
        self._lowered = 0
        self.spent_pico: int | None = None  # dollars, 10⁻¹², of the last attempt

    def hold(self, reservation: Reservation, lowered: int) -> None:
        self._reservation, self._lowered = reservation, lowered

    @property
    def reserves(self) -> bool:
        """Whether a budget holds something for it, and not rates alone."""
        return self._plea is not None

    def again(self, attempt: Attempt) -> bool:
        """Before another attempt: whether it is paid for. What an attempt before it may have used stays counted."""
        if self._reservation or not self._desk or not self._plea:
            return True
        self._reservation = self._desk.reserve(self._plea, attempt)
        return self._reservation is not None

    def known(self, attempt: Attempt, told: Told, then: Then) -> Then:
        """The attempt's event is about to be written; it counts once that is durable, and so much is sure already."""
        if self._ticket:
            inputs, outputs = told_sides(told.buckets, told.source)
            self._ticket.known(None if inputs is None or outputs is None else inputs + outputs)
        reservation, self._reservation = self._reservation, None
        self.spent_pico = None
        if reservation and self._desk and self._plea:
            settle, self.spent_pico = self._desk.known(self._plea, reservation, attempt, told)
            then = _after(settle, then)
        if self.spent_pico is None and self._prices:  # a service that stands in has prices of its own
            self.spent_pico = self._prices.of(attempt.model, time.time()).cost(told.buckets, attempt.failed)
        return then

    def end(self) -> None:
        """The call is over. What is still reserved was never used."""
        if self._ticket:
            self._ticket.end()
        reservation, self._reservation = self._reservation, None
        if reservation and self._desk:
            self._desk.release(reservation)

    def lines(self) -> bytes:
        """Header lines: rates, what is left of budgets, and a limit that was lowered."""
        out = self._ticket.lines() if self._ticket else b""
        if self._lowered:
            out += b"X-Tokenworks-Max-Tokens: %d\r\n" % self._lowered
        if self._plea:
            pairs = zip(self._plea.rules, self._plea.accounts, strict=True)
            said = ", ".join(f"{r.budget.name}={r.remaining(a.free + a.left)}" for r, a in pairs if r.shown)
            if said:
                out += f"X-Tokenworks-Budget-Remaining: {said}\r\n".encode()
        return out

    def cost_usd(self) -> bytes:
        """What the answer cost by the price plan, exactly; b"" where there is none."""
        return b"" if self.spent_pico is None else b"%d.%012d" % divmod(self.spent_pico, PICO)


def _after(settle: Callable[[], None], then: Then) -> Then:
    def settled(durable: bool) -> None:
        settle()
        then(durable)

    return settled
