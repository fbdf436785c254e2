"""Where reservations are made and settled: the book in memory, the journal beside it."""

from __future__ import annotations

import logging
from collections.abc import Callable

from tokenworks.serve.body.usage import Told
from tokenworks.serve.limits import book
from tokenworks.serve.limits.book import Account
from tokenworks.serve.limits.grant import Plea, Reservation
from tokenworks.serve.limits.journal import Journal
from tokenworks.serve.limits.leases import Leases
from tokenworks.serve.limits.records import Closed, Dropped, Known, Opened, Settled
from tokenworks.serve.limits.rules import if_lost, truth
from tokenworks.serve.metering import Attempt

log = logging.getLogger("tokenworks.serve")
TOGETHER = 32  # calls whose end is written down in one record


class Desk:
    """Of one gateway."""

    def __init__(self, journal: Journal):
        self._journal = journal
        self._number = 0
        self.spent: dict[str, int] = {}  # by account, since it was opened here
        self._settled: list[tuple[Reservation, tuple[int, ...]]] = []  # not written down yet
        self.leases: Leases  # set before the first call
        self.overruns = 0  # calls that used more than their bound

    @property
    def open(self) -> int:
        """Reservations that wait for the truth."""
        return len(self._journal.open) - len(self._settled)

    def reserve(self, plea: Plea, attempt: Attempt) -> Reservation | None:
        """None where a lease does not hold it. It is in the journal before anybody is asked."""
        amounts = plea.amounts
        if not book.reserve(amounts):
            return None
        self._number = number = self._number + 1
        names, lost = [], []
        for rule, (account, amount) in zip(plea.rules, amounts, strict=True):
            names.append(account.name)
            lost.append(if_lost(rule, amount, plea.rates))
            self.leases.used(account)
        record = Opened(number, tuple(names), tuple(lost), attempt)
        self._journal.open[number] = self._journal.write(record, self.spent)
        return Reservation(number, amounts)

    def known(
        self, plea: Plea, reservation: Reservation, attempt: Attempt, told: Told
    ) -> tuple[Callable[[], None], int | None]:
        """What to call when the event is durable, and the dollars of the attempt (10⁻¹²), where a budget counts them."""
        amounts, usd = [], None
        for rule, cost in zip(plea.rules, plea.costs, strict=True):
            amount = truth(rule, cost, plea.bounded, plea.rates, told, attempt.failed)
            amounts.append(amount)
            if rule.in_usd and usd is None:
                usd = amount
        spent = tuple(amounts)
        record = Known(reservation.number, spent, attempt, told)
        self._journal.known[reservation.number] = self._journal.write(record, self.spent)
        return lambda: self._settle(reservation, spent), usd

    def _settle(self, reservation: Reservation, spent: tuple[int, ...]) -> None:
        if not book.settle(reservation.amounts, spent):
            self.overruns += 1
            log.error("a call used more than the bound of its service (serve.bounds): budgets may overrun")
        self._settled.append((reservation, spent))
        if len(self._settled) >= TOGETHER or not self.open:
            self.tell_settled()

    def tell_settled(self) -> None:
        """Writes down what is over. Until then a file that is written anew has it as open, and not in its totals."""
        settled, self._settled = self._settled, []
        if not settled:
            return
        self._journal.write(Settled(tuple(reservation.number for reservation, _ in settled)), self.spent)
        for reservation, spent in settled:
            del self._journal.open[reservation.number], self._journal.known[reservation.number]
            for (account, _), amount in zip(reservation.amounts, spent, strict=True):
                self.spent[account.name] = self.spent.get(account.name, 0) + amount

    def release(self, reservation: Reservation) -> None:
        book.release(reservation.amounts)
        self._journal.write(Closed(reservation.number), self.spent)
        del self._journal.open[reservation.number]
        self._journal.known.pop(reservation.number, None)

    def dropped(self, account: Account) -> None:
        """The store has closed the account; what is spent from now on counts anew."""
        self.tell_settled()
        self.spent.pop(account.name, None)
        self._journal.write(Dropped(account.name), self.spent)
