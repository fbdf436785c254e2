"""Where reservations are made and settled: the book in memory, the journal beside it."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from tokenworks.errors import OutputError
from tokenworks.serve.body.usage import Told
from tokenworks.serve.http.request import Refused
from tokenworks.serve.limits import book
from tokenworks.serve.limits.book import Account
from tokenworks.serve.limits.grant import Plea
from tokenworks.serve.limits.journal import Journal
from tokenworks.serve.limits.leases import Leases
from tokenworks.serve.limits.rates import Rates
from tokenworks.serve.limits.records import Closed, Dropped, Known, Opened, Record, Settled
from tokenworks.serve.limits.rules import if_lost, truth
from tokenworks.serve.metering import Attempt, Then

log = logging.getLogger("tokenworks.serve")
TOGETHER = 32  # calls whose end is written down in one record


class Desk:
    """Of one gateway."""

    def __init__(self, journal: Journal):
        self._journal = journal
        self._number = 0
        self.spent: dict[str, int] = {}  # by account, since it was opened here
        self._settled: list[tuple[int, Sequence[str], list[int]]] = []  # not written down yet: number, accounts, spent
        self._unwritten: dict[int, Known] = {}  # for which a full disk had no place
        self.leases: Leases  # set before the first call
        self.overruns = 0  # calls that used more than their bound

    @property
    def open(self) -> int:
        """Reservations that wait for the truth."""
        return len(self._journal.open) - len(self._settled)

    def reserve(self, plea: Plea, attempt: Attempt) -> int:
        """The number of the reservation; 0 where a lease does not hold it. It is in the journal before anybody is asked. Raises
        Refused where the journal cannot be kept."""
        amounts = plea.amounts
        if not book.reserve(amounts):
            return 0
        self._number = number = self._number + 1
        self.leases.used(amounts)
        lost = if_lost(plea.rules, amounts, plea.rates) if plea.rates else plea.most
        record = Opened(number, plea.names, lost, attempt)
        try:
            self._journal.open[number] = self._journal.write(record, self.spent)
        except OutputError as error:
            book.release(amounts)
            log.error("%s", error)
            raise Refused(503, "no_journal", "budgets cannot be kept at present", retry_after_s=1.0) from error
        return number

    def known(
        self, plea: Plea, number: int, attempt: Attempt, told: Told, rates: Rates | None
    ) -> tuple[list[int], int | None]:
        """What the attempt spends of each account, for `settle` once its event is durable, and its dollars (10⁻¹²), where a
        budget counts them. ``rates``: of the day on which it ended."""
        spent, usd = [], None
        for rule, most in zip(plea.rules, plea.most, strict=True):
            amount = truth(rule, most, plea.bounded, rates, told, attempt.failed)
            spent.append(amount)
            if usd is None and rule.in_usd:
                usd = amount
        record = Known(number, spent, attempt, told)
        if not self._note(record):
            self._unwritten[number] = record
        return spent, usd

    def _note(self, record: Known) -> bool:
        """Whether it is written down. Until then a crash would count the bound, and the ledger keep the event that it has."""
        try:
            self._journal.known[record.number] = self._journal.write(record, self.spent)
        except OutputError as error:
            log.error("%s", error)
            return False
        return True

    def settle(self, plea: Plea, number: int, spent: list[int], then: Then, durable: bool) -> None:
        """The ledger has answered; ``then`` hears it. What was spent is spent, whether or not it is on record."""
        if not book.settle(plea.amounts, spent):
            self.overruns += 1
            log.error("a call used more than the bound of its service (serve.bounds): budgets may overrun")
        settled = self._settled
        settled.append((number, plea.names, spent))
        if len(settled) >= TOGETHER or len(settled) == len(self._journal.open):
            self.tell_settled()
        then(durable)

    def tell_settled(self) -> None:
        """Writes down what is over. Until then, or while it cannot be written, a file that is written anew has it as open, and not
        in its totals."""
        settled, journal, totals = self._settled, self._journal, self.spent
        for record in list(self._unwritten.values()):
            if not self._note(record):
                return
            del self._unwritten[record.number]
        if not settled or not self._written(Settled([number for number, _, _ in settled])):
            return
        self._settled = []
        for number, names, spent in settled:
            del journal.open[number], journal.known[number]
            for name, amount in zip(names, spent, strict=True):
                totals[name] = totals.get(name, 0) + amount

    def release(self, plea: Plea, number: int) -> None:
        book.release(plea.amounts)
        self._written(Closed(number))
        del self._journal.open[number]
        self._journal.known.pop(number, None)

    def dropped(self, account: Account) -> None:
        """The store has closed the account; what is spent from now on counts anew."""
        self.tell_settled()
        self.spent.pop(account.name, None)
        self._written(Dropped(account.name))

    def _written(self, record: Record) -> bool:
        """What cannot be written down counts too much after a crash, never too little."""
        try:
            self._journal.write(record, self.spent)
        except OutputError as error:
            log.error("%s", error)
            return False
        return True
